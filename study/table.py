"""The table of results and its figures, made of the records that are there."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from dataclasses import asdict
from typing import Any

import numpy as np

from robometa import suites
from robometa.policies.card_tables import table as markdown_table
from robometa.reports import gap, reference_returns
from robometa.reports.export import count
from robometa.reports.gap import Reference
from study import figure, front_page, learner_pages, plan
from study.cell import git
from study.rows import Row, gain, gap_closed, on_all, on_how_many, row_of, words

REFERENCES = {"oracle", "no-adaptation", "random"}
"""Learners that a suite's reference is made of."""
UNRECORDED = "not recorded"

HEAD = """\
# Results

Written by `make results` from the records in `cells/`; no number here is typed by hand. Every learner trained for
about {budget:g} core-minutes ({half:g} minutes of two cores) a seed, or as long as its suite's part says, held to one
core, with the options in `study/plan.toml`, whose iterations were chosen to take so long (what each took is in its
row; those from scratch are held to numbers of steps instead). It was evaluated on the suite's held-out tasks,
{worlds} episodes of each at every shot, 20 where an adaptation pools them (`robometa evaluate`). Returns are those of
mean actions (random actions are shown as they act): interquartile mean over tasks and seeds [95 % bootstrap interval,
seeds resampled for all tasks together; none with one seed, coarse with few]. *Means* are plain means over tasks and
seeds, shot by shot. *Gap closed*, after the first shot and after the last, by interquartile means, by means, and as
the mean of the tasks' own gaps (over seeds, on the tasks where the oracle leads by three standard errors), is how far
that is from a policy that does not adapt (0 %) to an oracle that sees the task's parameters (100 %), both trained
within the same budget, the oracle on a thousand tasks drawn from the suite's distributions: it is a reference, not a
ceiling. Its interval resamples the row's seeds and those of both references; the references themselves have no gap.
None is reported where the oracle's lead over not adapting is less than {telling:.0%} of its lead over random actions,
or than {errors:g} of its standard errors. Learners that adapt within an episode have no *before*: their first column
is the *first episode*. *Episodes seen* are those of the task that an adaptation has learned from by then: 20 at once
where it pools the worlds of a task, one at a time where every world is a trial of its own. *After minus control* is
the mean return after one shot minus that of the same policy with its adaptation forgotten before the episode: the
part that comes from adapting to earlier episodes. Learners that adapt within an episode do that in both, so theirs is
near 0. *One policy*: measured for the published policy, not for every seed. *Gradient samples* are the transitions
that the gradient steps of a training used, each as often as a step used it; those of trainings from before they were
counted follow from their options. *Configurations tried* counts those with a record in `ablation/`; what was tried
before there were records is not known. The machine, versions and date of every cell are in its record; the machine
did other work too, which wall times show. Published policies are the best of several seeds, by training return.
"""

FIGURE = """\
Points stand where something was measured, with the interval of the table. A hollow point is the first episode of a
learner that adapts within it; points at one number of episodes stand side by side."""
"""Explanation of a suite's figure."""
CURVES = """\
Return of the training tasks after the last shot, with the noise of training. A thin line is a seed; a thick one the
mean over seeds, of nine recorded points around each; the band its 95 % bootstrap interval over seeds. Records keep the
processor time of a whole training only: [the published policies' curves](../docs/curves.png) are against core-minutes,
too."""
"""Explanation of the learning curves."""
LONG_CURVES = (
    "Their learning curves, with every iteration, are in [the published policies' figure](../docs/curves.png)."
)
"""Place of the learning curves of long runs."""


def write(chosen: plan.Plan) -> None:
    """Writes table, figures, the front page's part, and the references that evaluations are measured against."""
    text = HEAD.format(
        budget=chosen.core_minutes,
        half=chosen.core_minutes / 2,
        worlds=chosen.worlds,
        telling=gap.TELLING,
        errors=gap.STANDARD_ERRORS,
    )
    tables = {}
    for suite in dict.fromkeys(cell.suite for cell in chosen.cells):
        cells = [cell for cell in chosen.cells if cell.suite == suite]
        short = [cell for cell in cells if not cell.long]
        refer(suite, short)
        rows = [row_of([cell for cell in short if cell.learner == name]) for name in _learners(cells)]
        known = [row for row in rows if row is not None]
        if known:
            figure.adaptation(suite, known, plan.RESULTS / f"{suite}.png")
        text += section(suite, cells, known, chosen.own_core_minutes.get(suite))
        front_page.write(suite, known, {cell.learner: cell.plain_options() for cell in cells if not cell.long})
        tables[suite] = [asdict(row) for row in known]
    learner_pages.write(chosen)
    plan.RESULTS.mkdir(exist_ok=True)
    (plan.RESULTS / "README.md").write_text(text, encoding="utf-8")
    plain = json.loads(json.dumps(tables), parse_constant=lambda _: None)  # JSON has no NaN
    (plan.RESULTS / "table.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def refer(suite: str, cells: list[plan.Cell]) -> None:
    """Keeps what the oracle, the policy that does not adapt and random actions reached, if all were measured."""
    records = {name: [cell.result() for cell in cells if cell.learner == name and cell.done()] for name in REFERENCES}
    if not all(records.values()):
        return
    path = suites.folder() / reference_returns.FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    seconds = [record["processor_seconds"] for record in records["oracle"]]
    known[suite] = {
        "suite_hash": suites.load(suite).content_hash,
        "unadapted": _returns(records["no-adaptation"]) | _success(suite, records["no-adaptation"]),
        "oracle": _returns(records["oracle"]),
        "random": {"returns": [record["random"] for record in records["random"]]},
        "core_minutes": round(float(np.mean(seconds)) / 60, 1),
    }
    path.write_text(json.dumps(known, sort_keys=True).replace("]], ", "]],\n") + "\n", encoding="utf-8")


def _returns(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean actions' returns in the first episode. `[seed, task]`."""
    return {
        "seeds": [record["seed"] for record in records],
        "returns": [record["mean_action"][0] for record in records],
    }


def _success(suite: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Success of no adaptation, of the records or, where these have none, of the published policy."""
    pairs = [record["success_before"] for record in records if record.get("success_before")]
    report = _published(suite)
    if len(pairs) == len(records):
        success, any_step = np.mean(pairs, axis=0).tolist()
    elif report is not None:
        first = report["shots"][0]["mean_action"]
        success, any_step = first["success"], first["success_any_step"]
    else:
        return {}
    return {"success": success, "success_any_step": any_step}


def _published(suite: str) -> dict[str, Any] | None:
    """Report of the published policy that does not adapt."""
    path = front_page.POLICIES / f"{suite}-no-adaptation" / "report.json"
    report: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return report


def section(suite: str, cells: list[plan.Cell], rows: list[Row], core_minutes: float | None = None) -> str:
    """A suite's part of the page, with its trainings' budget if it has one of its own."""
    text = f"\n## {suite}\n\n{suites.load(suite).about}\n"
    if core_minutes is not None:
        text += f"\nTrained for about {core_minutes:g} core-minutes a seed.\n"
    if rows:
        text += f"\n![return against episodes of the task seen]({suite}.png)\n\n{FIGURE}\n\n" + markdown(suite, rows)
        known = reference_returns.find(suites.load(suite).content_hash)
        obstacle = None if known is None else known.obstacle()
        if obstacle is not None:
            text += f"\nNo gap is reported: {obstacle}.\n"
        text += unadapted_success(suite, known, cells)
    text += missing(cells) + untraced(cells)
    trained = [cell for cell in cells if not cell.long and cell.learner not in plan.UNTRAINED and cell.done()]
    if trained:
        figure.curves(trained, plan.RESULTS / f"{suite}-curves.png")
        text += f"\n### Learning curves\n\n![return against environment steps]({suite}-curves.png)\n\n{CURVES}\n"
    some = min((row.tasks for row in rows), default=0)
    if not all(on_all(row, suite) for row in rows):
        same = [row_of([cell for cell in cells if cell.learner == row.learner and not cell.long], some) for row in rows]
        text += f"\n### All on the first {some} held-out tasks, as those from scratch\n\n"
        text += markdown(suite, [row for row in same if row is not None])
    long = [cell for cell in cells if cell.long and cell.done()]
    if long:
        text += f"\n### One long run each\n\n{LONG_CURVES}\n\n"
        text += markdown(suite, [row for cell in long if (row := row_of([cell])) is not None])
    return text


def missing(cells: list[plan.Cell]) -> str:
    """Cells that have not been run, in words."""
    seeds: dict[tuple[bool, str], list[int]] = defaultdict(list)
    for cell in cells:
        if not cell.done():
            seeds[cell.long, cell.learner].append(cell.seed)
    alike: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for (long, learner), numbers in seeds.items():
        alike[long, ", ".join(str(number) for number in numbers)].append(f"`{learner}`")
    lines = [
        f"- {'long runs' if long else 'seeds'} {numbers}: {', '.join(names)}\n"
        for (long, numbers), names in alike.items()
    ]
    return "\nNot run yet:\n\n" + "".join(lines) if lines else ""


def untraced(cells: list[plan.Cell]) -> str:
    """Cells filled by code that no commit of the history has, in words."""
    known = history()
    names: dict[str, list[str]] = {"uncommitted or unrecorded code": [], "code that is not in the history": []}
    for cell in cells:
        revision = cell.result().get("revision") if cell.done() else ""
        if revision is None or revision.endswith("-dirty"):
            names["uncommitted or unrecorded code"].append(f"`{cell.name}`")
        elif revision and known is not None and not any(commit.startswith(revision) for commit in known):
            names["code that is not in the history"].append(f"`{cell.name}`")
    return "".join(f"\nTrained with {what}: {', '.join(which)}.\n" for what, which in names.items() if which)


def history() -> list[str] | None:
    """The commits that led here; None outside of a whole checkout."""
    try:
        if git("rev-parse", "--is-shallow-repository") == "true":
            return None
        return git("rev-list", "HEAD").split()
    except (OSError, subprocess.CalledProcessError):
        return None


def unadapted_success(suite: str, known: Reference | None, cells: list[plan.Cell]) -> str:
    """Success of no adaptation and of random actions, where it was recorded, in words."""
    if known is None or known.success[0] is None:
        return ""
    pairs = [cell.result().get("random_success") for cell in cells if cell.learner == "random" and cell.done()]
    report = _published(suite)
    if pairs and all(pairs):
        random = np.mean(np.array(pairs, dtype=float), axis=0).tolist()
    else:
        random = [] if report is None else [report["random"]["success"], report["random"]["success_any_step"]]
    shares = [("no adaptation", known.success), *([("random actions", random)] if random else [])]
    both = "; ".join(f"of {name} {end:.0%} and {any_step:.0%}" for name, (end, any_step) in shares)
    return f"\nSuccess by the end of an episode and at any step: {both}.\n"


def markdown(suite: str, rows: list[Row]) -> str:
    """Rows as a table, the best last episode first, those measured on some of the tasks after those on most."""
    shots = max(len(row.mean_action) for row in rows)
    gaps, success = any(row.gap for row in rows), any(row.success for row in rows)
    head = ["learner", "seeds", "before or first episode", *(f"shot {shot}" for shot in range(1, shots)), "means"]
    head += [
        "episodes seen",
        "after minus control",
        *(["gap closed", "gap closed by means", "gap closed by task"] if gaps else []),
        *(["success"] if success else []),
    ]
    head += ["environment steps", "gradient samples", "wall, min", "core-min", "configurations tried"]
    lines = [head]
    for row in sorted(rows, key=lambda row: (-row.tasks, -row.mean_action[-1][0])):
        returns = [words(interval) for interval in row.mean_action] + [""] * (shots - len(row.mean_action))
        returns[0] += first_episode(row)
        means = ", ".join(f"{mean:.1f}" for mean in row.mean)
        seen = ", ".join(f"{episodes:g}" for episodes in row.episodes_seen)
        reference = row.learner in gap.REFERENCES
        ways = gap.BY_INTERQUARTILE_MEANS, gap.BY_MEANS, gap.BY_TASK
        closed = ["reference" if reference else gap_closed(row, way) for way in ways]
        won = "\N{EN DASH}" if row.success is None else f"{row.success[0]:.0%}, any step {row.success[1]:.0%}"
        samples = UNRECORDED if row.gradient_samples is None else count(row.gradient_samples)
        cost = [f"{row.environment_steps / 1e6:.2f}M", samples, f"{row.wall_minutes:.1f}", f"{row.core_minutes:.1f}"]
        cost.append(UNRECORDED if row.tried is None else f"{row.tried} recorded")
        name = f"`{row.learner}`{on_how_many(row, suite)}"
        line = [name, f"{len(row.seeds)}/{row.wanted}", *returns, means, seen, gain(row)]
        lines.append([*line, *(closed if gaps else []), *([won] if success else []), *cost])
    return markdown_table(lines)


def first_episode(row: Row) -> str:
    """Suffix of the first return of a learner that adapts within an episode."""
    if not row.first_episode:
        return ""
    if row.quarters is None:
        return " first episode"
    return f" first episode, its quarters from {row.quarters[0]:.1f} to {row.quarters[1]:.1f}"


def _learners(cells: list[plan.Cell]) -> list[str]:
    return list(dict.fromkeys(cell.learner for cell in cells if not cell.long))

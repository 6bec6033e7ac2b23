"""The table of results and its figures, made of the records that are there."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict

from robometa import suites
from robometa.reports import reference_returns
from study import figure, front_page, learner_pages, plan
from study.rows import Row, gap_closed, on_all, on_how_many, row_of, words

REFERENCES = {"oracle", "no-adaptation", "random"}
"""Learners that a suite's reference is made of."""

HEAD = """\
# Results

Written by `make results` from the records in `cells/`; no number here is typed by hand. Every learner trained for
about {budget:g} core-minutes ({half:g} minutes of two cores) a seed, held to one core, with the options in
`study/plan.toml`, whose iterations were chosen to take so long (what each took is in its row; those from scratch are
held to numbers of steps instead). It was evaluated on the suite's held-out tasks, {worlds} episodes of each at every
shot, 20 where an adaptation pools them (`robometa evaluate`). Returns are those of mean actions (random actions are
shown as they act): interquartile mean over tasks and seeds [95 % bootstrap interval, seeds resampled for all tasks
together; none with one seed, coarse with three]. *Gap closed*, after the first shot and after the last, is how far
that is from a policy that does not adapt (0 %) to an oracle that sees the task's parameters (100 %), both trained
within the same budget, the oracle on a thousand tasks drawn from the suite's distributions: it is a reference, not a
ceiling, and where it is hardly better than not adapting (by less than {telling:.0%} of what it is better than random
actions) no gap is reported. *Episodes seen* are those of the task that an adaptation has learned from by then: 20 at
once where it pools the worlds of a task, one at a time where every world is a trial of its own. The machine, versions
and date of every cell are in its record; the machine did other work too, which wall times show. Published policies
are the best of three seeds, by training return.
"""


def write(chosen: plan.Plan) -> None:
    """Writes table, figures, the front page's part, and the references that evaluations are measured against."""
    text = HEAD.format(
        budget=chosen.core_minutes,
        half=chosen.core_minutes / 2,
        worlds=chosen.worlds,
        telling=reference_returns.TELLING,
    )
    tables = {}
    for suite in dict.fromkeys(cell.suite for cell in chosen.cells):
        cells = [cell for cell in chosen.cells if cell.suite == suite]
        rows = [row_of([cell for cell in cells if cell.learner == name and not cell.long]) for name in _learners(cells)]
        known = [row for row in rows if row is not None]
        refer(suite, known)
        if known:
            figure.adaptation(suite, known, plan.RESULTS / f"{suite}.png")
        text += section(suite, cells, known)
        front_page.write(suite, known, {cell.learner: cell.plain_options() for cell in cells if not cell.long})
        tables[suite] = [asdict(row) for row in known]
    learner_pages.write(chosen)
    plan.RESULTS.mkdir(exist_ok=True)
    (plan.RESULTS / "README.md").write_text(text, encoding="utf-8")
    plain = json.loads(json.dumps(tables), parse_constant=lambda _: None)  # JSON has no NaN
    (plan.RESULTS / "table.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def refer(suite: str, rows: list[Row]) -> None:
    """Keeps what the oracle, the policy that does not adapt and random actions reached, if all were measured."""
    by_name = {row.learner: row for row in rows}
    if not set(by_name) >= REFERENCES:
        return
    path = suites.folder() / reference_returns.FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known[suite] = {
        "suite_hash": suites.load(suite).content_hash,
        "unadapted": round(by_name["no-adaptation"].mean_action[0][0], 2),
        "oracle": round(by_name["oracle"].mean_action[0][0], 2),
        "random": round(by_name["random"].mean_action[0][0], 2),
        "tasks": by_name["oracle"].tasks,
        "seeds": len(by_name["oracle"].seeds),
        "core_minutes": round(by_name["oracle"].core_minutes, 1),
    }
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def section(suite: str, cells: list[plan.Cell], rows: list[Row]) -> str:
    """A suite's part of the page."""
    text = f"\n## {suite}\n\n{suites.load(suite).about}\n"
    if rows:
        text += f"\n![return against episodes of the task seen]({suite}.png)\n\n" + markdown(suite, rows)
        measured = {row.learner for row in rows} >= REFERENCES
        if measured and reference_returns.find(suites.load(suite).content_hash) is None:
            by_name = {row.learner: row.mean_action[0][0] for row in rows}
            how = "hardly better" if by_name["oracle"] > by_name["no-adaptation"] else "no better"
            text += f"\nHere the oracle is {how} than not adapting, on tasks that it has not trained on.\n"
    text += missing(cells) + untraced(cells)
    some = min((row.tasks for row in rows), default=0)
    if not all(on_all(row, suite) for row in rows):
        same = [row_of([cell for cell in cells if cell.learner == row.learner and not cell.long], some) for row in rows]
        text += f"\n### All on the first {some} held-out tasks, as those from scratch\n\n"
        text += markdown(suite, [row for row in same if row is not None])
    long = [cell for cell in cells if cell.long and cell.done()]
    if long:
        figure.curves(long, plan.RESULTS / f"{suite}-long.png")
        text += f"\n### One long run each\n\n![learning curves]({suite}-long.png)\n\n"
        text += markdown(suite, [row for cell in long if (row := row_of([cell])) is not None])
    return text


def missing(cells: list[plan.Cell]) -> str:
    """What has not been run, in words."""
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
    """Which cells were filled by code that no commit has, in words."""
    names = []
    for cell in cells:
        if cell.done() and (cell.result().get("revision") or "-dirty").endswith("-dirty"):
            names.append(f"`{cell.name}`")
    return f"\nTrained with uncommitted or unrecorded code: {', '.join(names)}.\n" if names else ""


def markdown(suite: str, rows: list[Row]) -> str:
    """Rows as a table, the best last episode first, those measured on some of the tasks after those on most."""
    shots = max(len(row.mean_action) for row in rows)
    head = ["learner", "seeds", "before", *(f"shot {shot}" for shot in range(1, shots)), "episodes seen", "gap closed"]
    lines = [[*head, "environment steps", "wall, min", "core-min"], ["---"] * (len(head) + 3)]
    for row in sorted(rows, key=lambda row: (-row.tasks, -row.mean_action[-1][0])):
        returns = [words(interval) for interval in row.mean_action] + [""] * (shots - len(row.mean_action))
        seen = ", ".join(f"{episodes:g}" for episodes in row.episodes_seen)
        cost = [f"{row.environment_steps / 1e6:.2f}M", f"{row.wall_minutes:.1f}", f"{row.core_minutes:.1f}"]
        name = f"`{row.learner}`{on_how_many(row, suite)}"
        lines.append([name, f"{len(row.seeds)}/{row.wanted}", *returns, seen, gap_closed(row, suite), *cost])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _learners(cells: list[plan.Cell]) -> list[str]:
    return list(dict.fromkeys(cell.learner for cell in cells if not cell.long))

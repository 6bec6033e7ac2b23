"""`robometa search`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from robometa import registry, suites
from robometa.commands.arguments import Commands, Parser, count, number, whole
from robometa.errors import UserError
from robometa.escape import printable, say, word
from robometa.registry.given import given
from robometa.search.places import require_free, require_search
from robometa.storage.paths import checked, unwritable
from robometa.suites.shipped import is_shipped

if TYPE_CHECKING:
    from robometa.reports.groups import Group
    from robometa.search.result import Result

ABOUT = "find options, architecture and learner under a budget"
EXAMPLE = "robometa search half-cheetah-velocity rl2 --budget 8h --jobs 2 --folder search/rl2"
MORE = """\
The space is the learner's own: each option states a range to search, architecture included. A
part of the training tasks scores the trials, and the held-out tasks are not looked at before
the end, when the finalists are trained anew with fresh seeds beside the hand-set preset.

  robometa search SUITE LEARNER --dry-run              what would be searched, and how far
  robometa search SUITE LEARNER ... --folder FOLDER    search; Ctrl-C or a crash loses nothing
  robometa search --resume FOLDER                      go on
  robometa search --show FOLDER                        best so far; writes FOLDER/report.html
  robometa train SUITE LEARNER --config FOLDER/best.toml

A file for --space has a table [search], and [search.LEARNER] for one learner alone:
  [search]
  discount = 0.99                                      # fixed
  learning_rate = { low = 1e-4, high = 1e-2, log = true }
  hidden = { width = [16, 256], depth = [1, 3] }       # layers that are alike
  memory = { choices = ["gru", "lstm"] }"""

BEGINNING = (
    *("folder", "dry_run", "budget", "training", "objective", "space", "preset", "sampler", "seed", "generation"),
    *("rungs", "finalists", "seeds", "validation"),
)
"""Options of a new search, which its folder keeps."""
REFUSED = {"resume": BEGINNING, "show": (*BEGINNING, "jobs", "learner")}
"""Options that would have no effect, by what is asked for."""


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("search", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument("suite", metavar="SUITE", nargs="?", help="name of a suite, or path of a .toml file")
    several = "learners, which share the budget (default: maml-trpo promp pearl rl2)"
    parser.add_argument("learners", metavar="LEARNER", nargs="*", help=several)
    parser.add_argument("--folder", type=checked, help="folder to write (default: search/SUITE-LEARNERS)")
    parser.add_argument("--resume", metavar="FOLDER", type=checked, help="go on with a search (default: a new one)")
    parser.add_argument(
        "--show", metavar="FOLDER", type=checked, help="show a search, and write its report (default: none)"
    )
    beside = "with --show: other searches in the report (default: none)"
    parser.add_argument("--beside", metavar="FOLDER", type=checked, nargs="+", help=beside)
    own = "with --resume: files of learners of your own (default: none)"
    parser.add_argument("--learner", metavar="FILE.py:CLASS", nargs="+", default=[], help=own)
    parser.add_argument("--dry-run", action="store_true", help="print the space and the plan, and train nothing")
    budget = "work of all trainings: processor time (8h) or environment steps (5e7) (default: 8h)"
    parser.add_argument("--budget", default="8h", help=budget)
    parser.add_argument("--training", help="work of one whole training (default: a fortieth of the budget)")
    jobs = "trials at a time, or a cluster: ray, ray:HOST:PORT (default: one for each processor)"
    parser.add_argument("--jobs", metavar="N", type=_jobs, help=jobs)
    goals = "return, gap, success, latency, parameters; several give a Pareto front (default: return)"
    parser.add_argument("--objective", metavar="NAME", nargs="+", default=["return"], help=goals)
    parser.add_argument(
        "--space", metavar="FILE.toml", type=Path, help="file that varies or fixes options (default: none)"
    )
    parser.add_argument("--preset", help="preset to start from, with one learner (default: its first)")
    parser.add_argument("--sampler", default="tpe", help="tpe, or random for a comparison (default: tpe)")
    parser.add_argument("--seed", type=whole, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--generation", metavar="N", type=count, default=9, help="trials suggested at once (default: 9)"
    )
    rungs = "lengths of training, each three times the one before (default: 3)"
    parser.add_argument("--rungs", metavar="N", type=count, default=3, help=rungs)
    parser.add_argument("--finalists", metavar="N", type=whole, default=3, help="trials trained anew (default: 3)")
    parser.add_argument("--seeds", metavar="N", type=count, default=3, help="fresh seeds of each (default: 3)")
    share = "share of the training tasks that scores the trials (default: 0.2)"
    parser.add_argument("--validation", metavar="SHARE", type=number(0, 1, above=True), default=0.2, help=share)
    return parser


def _jobs(text: str) -> int | str:
    """A number of trials at a time, or a cluster, whose address is checked later: that needs more than a parser."""
    return text if text.startswith("ray") else count(text)


def _run(asked: argparse.Namespace) -> None:
    modes = [name for name in ("resume", "show") if getattr(asked, name) is not None]
    if asked.suite is not None:
        modes.insert(0, f"suite {asked.suite}")
    if len(modes) != 1:
        given = " and ".join(name if " " in name else f"--{name}" for name in modes) or "nothing"
        raise UserError(f"search needs a suite, --resume FOLDER or --show FOLDER, not {given}; as in `{EXAMPLE}`")
    for name in REFUSED.get(modes[0], ()):
        if getattr(asked, name) != asked.parser.get_default(name):
            raise UserError(f"--{name.replace('_', '-')} has no effect on --{modes[0]}: leave it out")
    if asked.beside and asked.show is None:
        raise UserError("--beside needs --show FOLDER")
    if asked.show is not None:
        shown = [asked.show, *(asked.beside or [])]
        for place, folder in enumerate(shown):
            require_search(folder)
            if any(folder.samefile(other) for other in shown[:place]):
                raise UserError(f"--beside needs another search than {printable(folder)}")
        _show(asked.show, asked.beside or [])
    elif asked.resume is not None:
        require_search(asked.resume)
        from robometa.search.run import resume

        _finish(resume(asked.resume, asked.jobs, asked.learner))
    else:
        _begin(asked)


def _begin(asked: argparse.Namespace) -> None:
    """Begins a search, or prints the space."""
    if asked.suite in registry.LEARNERS:
        raise UserError(f"{asked.suite} is a learner: robometa search SUITE {asked.suite}")
    if asked.learner:
        raise UserError(f"--learner is for --resume: robometa search {word(asked.suite)} {word(asked.learner[0])}")
    wrong = [name for name in asked.learners if is_shipped(name)]
    if wrong:
        raise UserError(f"{wrong[0]} is a suite: a search has one, {asked.suite}")
    suites.load(asked.suite)  # a mistake is reported before torch is loaded
    if asked.folder is not None and not asked.dry_run:
        require_free(asked.folder)
    for name in asked.learners:
        registry.find(name)
    from robometa.commands.search_plan import print_space, warn_of_short_trials
    from robometa.search.run import begin, planned

    names = ("preset", "sampler", "seed", "generation", "rungs", "finalists", "seeds", "validation")
    suite, settings, spaces = planned(
        asked.suite,
        asked.learners,
        budget=asked.budget,
        training=asked.training,
        objective=asked.objective,
        space=asked.space,
        **{name: getattr(asked, name) for name in names},
    )
    if asked.dry_run:
        print_space(settings, spaces)
        warn_of_short_trials(suite, settings, spaces)
        return
    warn_of_short_trials(suite, settings, spaces)
    usual = Path("search") / "-".join([suite.name.replace("/", "-"), *spaces])
    _finish(begin(suite, settings, asked.folder or usual, asked.jobs))


def _show(folder: Path, beside: list[Path]) -> None:
    """Shows a search, and writes its report."""
    from robometa.search import page
    from robometa.search.run import read
    from robometa.storage.atomic import replace_file

    result = read(folder)
    others = [read(one) for one in beside]
    for other in others:
        page.require_alike(result.settings, other.settings, other.folder)
    _print_result(result)
    written = page.page(result.folder, result.settings, result.state, others).encode()
    try:
        replace_file(result.folder / page.PAGE, written)
    except OSError as error:
        raise unwritable(folder / page.PAGE, error) from None
    say(f"written: {printable(folder / page.PAGE)}")


def _finish(result: Result) -> None:
    """Prints the result of a finished search, and what to do with it."""
    from robometa.search import page

    groups = _print_result(result)
    if result.best is not None:
        best = result.state.trials[(result.state.finalists or [0])[0]]
        suite, learners = word(_short(Path(result.settings.suite))), result.settings.learners
        learner = next(name for name in learners if registry.label(name) == best.learner)
        preset = page.leading_preset(result.settings, result.state, groups)
        if preset is None:
            options = f" --config {word(_short(result.best))}"
        else:
            say(f"the hand-set preset scores more in the finals than {printable(_short(result.best))}")
            named = "" if result.settings.preset is None else f" --preset {word(result.settings.preset)}"
            options = f"{named} --iterations {preset.results[-1].whole}"
        say(f"next: robometa train {suite} {word(learner)}{options}{given()}")
    say(f"report: {printable(_short(result.folder / 'report.html'))}")


def _short(path: Path) -> Path:
    """A path from the working directory, if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _print_result(result: Result) -> list[Group]:
    """Prints the trials of each learner, and the finals, which it returns."""
    from robometa.console import PlainConsole, WholeTable
    from robometa.reports.export import WORDS, cells
    from robometa.search import page, summary
    from robometa.search.finals import recorded_means
    from robometa.search.timings import read_times

    settings, state, console = result.settings, result.state, PlainConsole()
    scores = ("hand-set preset", "best, validation tasks")
    table = WholeTable("learner", "trials", "failed", "on each rung", "work", *scores, prose=scores)
    for row in summary.rows(state, settings):
        shown = (summary.words(row.preset, settings), summary.words(row.best, settings))
        reached = " / ".join(map(str, row.rungs))
        table.add_row(row.learner, str(row.trials), str(row.failed), reached, settings.budget.words(row.spent), *shown)
    console.print(table)
    groups = page.final_groups(result.folder, state)
    if groups:
        finals = WholeTable("options", *WORDS[1:], title="finals on held-out tasks")
        for group in groups:
            finals.add_row(*cells(group))
        console.print(finals)
    elif recorded := recorded_means(state):
        means = WholeTable(
            "options",
            "mean return after the last shot [lowest and highest seed]",
            title="finals on held-out tasks; their runs are not all here",
        )
        for row_of_means in recorded:
            means.add_row(*row_of_means)
        console.print(means)
    for sentence in [*page.verdicts(state, groups), read_times(result.folder).words()]:
        if sentence:
            console.print(sentence, soft_wrap=True)
    return groups

"""Search for options, architecture and learner. The module can be called: `robometa.search(suite, learner, ...)`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robometa.search.result import Result
    from robometa.suites.suite import Suite


def search(
    suite: str | Path | Suite,
    learners: Sequence[str] | str = (),
    *,
    folder: str | Path,
    budget: str = "8h",
    training: str | None = None,
    jobs: int | str | None = None,
    objective: Sequence[str] | str = ("return",),
    preset: str | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    silent: bool = False,
    **settings: Any,
) -> Result:
    """Searches for options of learners under a budget, and returns once the finalists are measured.

    Args:
        suite: A shipped suite's name, a suite file, or a suite.
        learners: Learners to search; each gets an equal share of the budget.
        folder: Folder to write.
        budget: Processor time of all trainings, such as `8h`, or environment steps, such as `5e7`, which make a
            search that repeats to the same bytes.
        training: Work of one whole training; a fortieth of the budget if None.
        jobs: Trials that are trained at a time, one for each processor if None; or a Ray cluster whose machines share
            the folder: `ray`, `ray:HOST:PORT` or `ray://HOST:PORT`. Results do not depend on it.
        objective: One or several of return, gap, success, latency, parameters; several give a Pareto front.
        preset: Preset that the options start from, if there is one learner.
        space: A TOML file with a table [search], or that table: values fix options, tables vary them.
        silent: Print nothing.
        **settings: `seed`, `sampler`, `generation`, `rungs`, `finalists`, `seeds`, `validation`, as the options of
            `robometa search`.

    Returns:
        The search: its settings, trials, finals, and the file of the best options.

    Raises:
        UserError: Naming every mistake; nothing is written then.
        Stopped: If a stop signal came; `robometa.search.resume(folder)` goes on.
    """
    from robometa.search.run import begin, planned

    names = (learners,) if isinstance(learners, str) else tuple(learners)
    chosen, made, _ = planned(
        suite,
        names,
        budget=budget,
        training=training,
        objective=objective,
        preset=preset,
        space=space,
        **settings,
    )
    return begin(chosen, made, folder, jobs, silent)


def resume(
    folder: str | Path, jobs: int | str | None = None, learners: Sequence[str] = (), silent: bool = False
) -> Result:
    """Resumes a search; `learners` are the files of those of your own, which a record never runs unasked."""
    from robometa.search.run import resume as go_on

    return go_on(folder, jobs, learners, silent)


def trainable(suite: str | Path | Suite, learner: str, **settings: Any) -> Callable[[dict[str, Any]], None]:
    """Makes a function that Ray Tune takes as it is; `robometa.search.tune` has its settings."""
    from robometa.search.tune import trainable as made

    return made(suite, learner, **settings)


def parameter_space(suite: str | Path | Suite, learner: str, **settings: Any) -> dict[str, Any]:
    """A learner's search space in the words of Ray Tune; `settings` are `preset` and `space`."""
    from robometa.search.tune import parameter_space as made

    return made(suite, learner, **settings)


class _Callable(ModuleType):
    """The module, which can be called as the function `search`."""

    def __call__(self, *given: Any, **settings: Any) -> Result:
        """Calls `search`."""
        return search(*given, **settings)


sys.modules[__name__].__class__ = _Callable

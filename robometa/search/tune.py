"""A training as a function that Ray Tune takes, with its searchers and schedulers; needs `ray[tune]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from robometa import registry, suites
from robometa.errors import MAX_LIST, MAX_NUMBER, UserError
from robometa.registry.options import resolve
from robometa.search.dimension import DEPTH, WIDTH
from robometa.search.space import space_of, tables_of
from robometa.search.split import validation_indices, write_validation_suite
from robometa.search.work import ONE_THREAD
from robometa.storage.table import is_finite
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.training.callback import Iteration
from robometa.training.held_out import HeldOut
from robometa.training.loggers.logger import HELD_OUT_RETURN, HELD_OUT_SUCCESS
from robometa.training.train import train

REPORTS = 10
"""Reports of a training, unless another number is given."""


def trainable(
    suite: str | Path | Suite,
    learner: str,
    *,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    reports: int = REPORTS,
    seed: int = 0,
    validation: float = 0.2,
) -> Callable[[dict[str, Any]], None]:
    """Makes a function that trains with a configuration of Ray Tune and reports its scores on validation tasks.

    It reports `return`, `success`, `iterations` and `steps`. The validation tasks are those of `robometa search`: a
    seeded part of the training tasks, on which it does not train. The run's folder is `run` in the trial's.

    Args:
        suite: A shipped suite's name, a suite file, or a suite.
        learner: The learner's name, or the file and class of one of your own.
        preset: Preset that the options start from; the learner's first if None.
        options: Options that every trial has.
        reports: Times that a training reports, the last time at its end.
        seed: Seed of the training and of the choice of validation tasks.
        validation: Share of the training tasks that score.

    Returns:
        A function of a configuration: options of the learner, or `OPTION.width` and `OPTION.depth`, as in
        `parameter_space`.

    Raises:
        UserError: If an argument is of another kind or out of its range, or the learner refuses the options.
    """
    for what, value, low in (("reports", reports, 1), ("seed", seed, 0)):
        if type(value) is not int or not low <= value <= MAX_NUMBER:
            raise UserError(f"{what} must be a whole number from {low} to {MAX_NUMBER}, not {value!r:.100}")
    if not is_finite(validation) or not 0 < validation < 1:
        raise UserError(f"validation must be above 0 and below 1, not {validation!r:.100}")
    known = suite if isinstance(suite, Suite) else suites.load(suite)
    reference, name = suite_reference(known), registry.absolute(learner)
    indices, fixed = validation_indices(known, validation, seed), options_of(options or {})
    resolve(known, name, fixed, preset)

    def trained(config: dict[str, Any]) -> None:
        from ray import tune

        folder = Path(tune.get_context().get_trial_dir())
        cut = suites.load(write_validation_suite(suites.load(reference), folder, indices))

        def report(done: Iteration) -> None:
            if done.iteration * reports // done.iterations == (done.iteration - 1) * reports // done.iterations:
                return
            acting = done.policy().learner
            with closing(HeldOut(cut, acting, seed, ONE_THREAD, cut.test)) as held_out:
                scores, last = held_out.scores(acting), held_out.shots
            tune.report(
                {
                    "return": scores[f"{HELD_OUT_RETURN}{last}"],
                    "success": scores[f"{HELD_OUT_SUCCESS}{last}"],
                    "iterations": done.iteration,
                    "steps": done.steps,
                }
            )

        train(
            cut,
            name,
            options=fixed | options_of(config),
            preset=preset,
            seed=seed,
            folder=folder / "run",
            threads=1,
            torch_threads=1,
            log=("none",),
            loggers=(),
            callback=report,
            overwrite=True,  # Tune starts a trial anew in its folder, if a node is lost
        )

    trained.__name__ = registry.label(name)
    return trained


def parameter_space(
    suite: str | Path | Suite, learner: str, *, preset: str | None = None, space: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The learner's search space in the words of Ray Tune.

    Args:
        suite: A shipped suite's name, a suite file, or a suite.
        learner: The learner's name, or the file and class of one of your own.
        preset: Preset that the options start from; the learner's first if None.
        space: A [search] table: values fix options, tables vary them.

    Raises:
        UserError: Naming every mistake in the table.
    """
    from ray import tune

    known = suite if isinstance(suite, Suite) else suites.load(suite)
    table = tables_of(space or {}, (learner,), "[search]")[learner]
    made = space_of(known, learner, preset, table, "[search]")
    searched: dict[str, Any] = dict(made.fixed)
    for one in made.dimensions:
        if one.choices:
            searched[one.name] = tune.choice([*one.choices])
        elif one.whole:
            draw = tune.lograndint if one.log else tune.randint
            searched[one.name] = draw(int(one.low), int(one.high) + 1)
        else:
            searched[one.name] = (tune.loguniform if one.log else tune.uniform)(one.low, one.high)
    return searched


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options that a configuration stands for.

    Raises:
        UserError: If it is no table of options, or a width or a depth is none, or alone.
    """
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise UserError("a configuration must be a table of options by name")
    options = dict[str, Any]()
    for name, value in config.items():
        option = name.removesuffix(WIDTH).removesuffix(DEPTH)
        if option == name:
            options[name] = value
            continue
        width, depth = config.get(option + WIDTH), config.get(option + DEPTH)
        if width is None or depth is None:
            raise UserError(f"{option + WIDTH} and {option + DEPTH} belong together")
        if not (is_finite(width) and is_finite(depth) and 1 <= depth <= MAX_LIST):
            raise UserError(f"{option} must have a number as its width, and a depth from 1 to {MAX_LIST}")
        options[option] = [int(width)] * int(depth)
    return options

"""Work of a search's processes: a trial is trained up to a rung and scored; a final training is measured held-out."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from robometa import suites
from robometa.compute.hardware import Hardware
from robometa.errors import Stopped, TrainingError, UserError
from robometa.escape import printable
from robometa.evaluation.evaluate import chosen_protocol, measure, save_with_card
from robometa.policies import policy_folder
from robometa.policies.latency import latency
from robometa.registry import label
from robometa.registry.options import resolve
from robometa.registry.user_file import is_reference
from robometa.search.budget import STEPS, Budget
from robometa.search.objectives import gap
from robometa.search.record import Result
from robometa.search.timings import Outcome
from robometa.storage.sealed_folder import MANIFEST
from robometa.suites.suite import Suite
from robometa.training.budget import steps_of_iteration
from robometa.training.callback import Iteration
from robometa.training.held_out import HeldOut
from robometa.training.load import load, newest
from robometa.training.loggers.logger import HELD_OUT_RETURN, HELD_OUT_SUCCESS, PROCESSOR
from robometa.training.run_folder import CONFIGURATION, TIMINGS, RunFolder
from robometa.training.train import resume, train
from robometa.trials import make

CHECKPOINT_MINUTES = 1.0
"""Wall time between checkpoints, min: a search that is killed does this much again at most."""
SIZED_ON = 2
"""Iterations of the short training that shows how many a processor time takes; the last one counts."""
FAILED_SHARE = 0.1
"""Least cost of a trial that fails, as a share of the work that it was for."""
ONE_THREAD = Hardware(threads=1, torch_threads=1)
REPORT = "report.json"
BROKEN = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)
"""Errors of a learner that end a trial and not the search."""


class Order(NamedTuple):
    """Work of one process."""

    folder: str
    """Folder of the run."""
    suite: str
    """Name or path of the suite to train on."""
    learner: str
    preset: str
    options: dict[str, Any]
    seed: int
    share: float
    """Length to train for, as a share of a whole training."""
    counted: int = 0
    """Iterations that earlier results have paid for."""
    whole: int | None = None
    """Iterations of a whole training; by the budget if None."""
    measured: bool = False
    """True to measure the policy on the suite's held-out tasks, in full."""


@dataclass(frozen=True)
class Searching:
    """All orders' common part, pickled to each process."""

    original: Suite
    """The suite that is searched on, for its references."""
    training: Budget
    """Work of one whole training."""
    objectives: tuple[str, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """No memory is shared."""
        return ()

    def begun(self) -> Callable[[Order], Outcome]:
        """Returns the function that carries out an order, with its processor times."""
        ended = 0.0

        def outcome(order: Order) -> Outcome:
            nonlocal ended
            folder, since = Path(order.folder), ended
            before = iterations_of(folder)
            result = self.result(order)
            training, ended = _processor(folder, before, result.iterations), time.process_time()
            return Outcome(result, training, max(0.0, ended - since - training))

        return outcome

    def result(self, order: Order) -> Result:
        """Trains and scores; a training that fails is a result, too, with the message.

        Raises:
            UserError: If a file has changed or cannot be written.
            TrainingError: If the disk refuses the policy.
        """
        suite = suites.load(order.suite)
        try:
            make.build(order.learner, resolve(suite, order.learner, order.options, order.preset), suite, order.seed)
        except UserError as error:
            return Result(0, 1, self._least_cost(order), failure=_words(error))
        _require_own(order, suite)
        started = time.process_time()
        try:
            return self._trained_and_scored(order, suite)
        except Stopped:
            os._exit(1)  # this process must end: another one does the order again
        except BROKEN as error:
            failure = f"{type(error).__name__}: {_words(error)}"
        except TrainingError as error:
            if isinstance(disk := error.__context__, OSError):
                raise TrainingError(f"{order.folder} cannot be written ({disk.strerror}): make room there") from None
            failure = _words(error)
        done, spent = iterations_of(Path(order.folder)), time.process_time() - started
        if self.training.unit == STEPS:
            spent = float(max(0, done - order.counted) * _steps(order, suite))
        return Result(done, max(1, order.whole or done), max(spent, self._least_cost(order)), failure=failure)

    def _least_cost(self, order: Order) -> float:
        """Cost of a trial that fails, at least: a search whose trials all fail at once must come to its end, too."""
        return self.training.amount * order.share * FAILED_SHARE

    def _trained_and_scored(self, order: Order, suite: Suite) -> Result:
        folder, clock = Path(order.folder), time.process_time
        started = clock()
        whole = order.whole or _whole(folder) or self._sized(order, suite)
        beside = clock() - started
        until = max(1, math.ceil(whole * order.share - 1e-9))
        _train(order, suite, whole, until)
        started = clock()
        scores = _measured(order, suite) if order.measured else self._scores(order, suite)
        beside += clock() - started
        if not all(map(math.isfinite, scores.values())):
            raise TrainingError("the score is not finite")
        if self.training.unit == STEPS:
            cost = float((until - order.counted) * _steps(order, suite))
        else:
            cost = beside + _processor(folder, order.counted, until)
        return Result(until, whole, cost, scores)

    def _sized(self, order: Order, suite: Suite) -> int:
        """Iterations of a whole training."""
        if self.training.unit == STEPS:
            return max(1, math.ceil(self.training.amount / _steps(order, suite)))
        aside = Path(order.folder).with_name(f".{Path(order.folder).name}.sizing")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _train(order._replace(folder=str(aside)), suite, SIZED_ON, SIZED_ON)
            seconds = RunFolder(aside).rows(TIMINGS)[-1][PROCESSOR]
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return max(1, round(self.training.amount / max(seconds, 1e-6)))

    def _scores(self, order: Order, suite: Suite) -> dict[str, float]:
        """Value of every objective on the validation tasks."""
        learner, _, _ = newest(order.folder).load(suite, learner=_own(order))
        with closing(HeldOut(suite, learner, order.seed, ONE_THREAD, suite.test)) as held_out:
            by_shot, last = held_out.scores(learner, last_only=True), held_out.shots
        scores = {"return": by_shot[f"{HELD_OUT_RETURN}{last}"], "success": by_shot[f"{HELD_OUT_SUCCESS}{last}"]}
        scores["gap"] = gap(self.original, scores["return"])
        scores["parameters"] = float(sum(tensor.numel() for tensor in policy_folder.state_of(learner).values()))
        if "latency" in self.objectives:
            scores["latency"] = self.latency_ms(order, suite)
        return scores

    def latency_ms(self, order: Order, suite: Suite) -> float:
        """Median processor time of an action, ms; wall time would count the other trials on the machine."""
        policy = load(order.folder, suite=suite, learner=_own(order))
        return latency(policy, clock=time.process_time).median_ms


def _require_own(order: Order, suite: Suite) -> None:
    """Checks that a run's folder is in the search's own, and holds the run of the order, if it has begun.

    Raises:
        UserError: If it is a link, or another run.
    """
    folder = Path(order.folder)
    for path in (folder, folder.parent):
        if path.is_symlink() or (os.path.lexists(path) and not path.is_dir()):
            raise UserError(f"{path} is a link, or no folder: a search trains in its own folder only")
    if not os.path.lexists(folder / CONFIGURATION):
        return
    config = RunFolder(folder).configuration()
    options = order.options | {"iterations": order.whole or config.options["iterations"]}
    wanted = json.loads(json.dumps(asdict(resolve(suite, order.learner, options, order.preset))))
    known = (config.suite_hash, label(config.learner), config.seed, config.options)
    if known != (suite.content_hash, label(order.learner), order.seed, wanted):
        raise UserError(f"{folder} is not the run that the search began: without that folder it begins it again")


def _train(order: Order, suite: Suite, whole: int, until: int) -> None:
    """Trains up to an iteration, from wherever the run is."""
    folder = Path(order.folder)
    callback, done = partial(_goes_on, until), iterations_of(folder)
    if done > until:
        raise UserError(f"{folder} was trained beyond its {until} iterations: without that folder it is trained again")
    if not os.path.lexists(folder / CONFIGURATION):
        train(
            suite,
            order.learner,
            options=order.options | {"iterations": whole},
            preset=order.preset,
            seed=order.seed,
            folder=folder,
            threads=1,
            torch_threads=1,
            checkpoint_minutes=CHECKPOINT_MINUTES,
            log=("none",),
            loggers=(),
            callback=callback,
        )
    elif until == whole or done < until:  # at the end, for the policy
        resume(folder, threads=1, learner=_own(order), callback=callback, loggers=())


def _goes_on(until: int, done: Iteration) -> bool:
    return done.iteration < until


def _measured(order: Order, suite: Suite) -> dict[str, float]:
    """Mean return on the held-out tasks after the last shot; the report is beside the policy."""
    policy = Path(order.folder) / "policy"
    learner, suite, manifest = policy_folder.load_policy(policy, suite, learner=_own(order))
    report = measure(
        learner,
        suite,
        name=label(manifest.learner),
        policy=str(policy),
        protocol=chosen_protocol(suite, None, None, None),
        hardware=ONE_THREAD,
    )
    save_with_card(policy, learner, suite, manifest, report)
    return {"return": float(report.mean_action.returns[-1].mean())}


def iterations_of(folder: Path) -> int:
    """Iterations that a run's newest policy or checkpoint was trained for; 0 if there is none."""
    if not os.path.lexists(folder / CONFIGURATION):
        return 0
    run = RunFolder(folder)
    if not run.checkpoints() and not os.path.lexists(folder / "policy" / MANIFEST):
        return 0
    return newest(folder).iterations


def _processor(folder: Path, first: int, end: int) -> float:
    """Processor time of a run's iterations from `first` to before `end`, s; 0 if it has not begun."""
    if not os.path.lexists(folder / CONFIGURATION):
        return 0.0
    rows = RunFolder(folder).rows(TIMINGS)
    return sum(max(0.0, row[PROCESSOR]) for row in rows if first <= row["iteration"] < end)


def _whole(folder: Path) -> int | None:
    """Iterations of a whole training of a run; None if it has not begun."""
    if not os.path.lexists(folder / CONFIGURATION):
        return None
    return int(RunFolder(folder).configuration().options["iterations"])


def _steps(order: Order, suite: Suite) -> int:
    """Environment steps of an iteration."""
    return steps_of_iteration(asdict(resolve(suite, order.learner, order.options, order.preset)), suite)


def _own(order: Order) -> str | None:
    """The learner's file, if it is one of the user's own."""
    return order.learner if is_reference(order.learner) else None


def _words(error: Exception) -> str:
    return printable(str(error).partition("\n")[0])[:500]

"""Training: a trial, an update, again; and going on with one as if it had never stopped."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from robometa import card, checkpoint, learners, suites
from robometa.data import Trial
from robometa.errors import UserError, unknown
from robometa.learners import own
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.run_folder import METRICS, TIMINGS, RunFolder
from robometa.screen import Screen, screen
from robometa.sim.engine import CpuEngine
from robometa.suites import Suite
from robometa.trial import run_trial, torch_on

CHECKPOINT_MINUTES = 5.0
TAKEN_OVER = ("preset", "device", "threads", "torch_threads", "checkpoint_minutes")
"""What a resumed run takes over from its beginning, besides suite, learner, options and seed."""


class TrainingError(Exception):
    """A training that cannot go on; what was saved stays."""


def train(
    suite: str | Path | Suite,
    learner: str,
    *,
    options: dict[str, Any] | None = None,
    preset: str | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    threads: int | None = None,
    torch_threads: int | None = None,
    device: str = "cpu",
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
) -> Path:
    """Meta-trains a learner on a suite's training tasks and returns the policy's folder.

    Args:
        suite: A shipped suite's name, a suite file, or a suite.
        learner: The learner's name, or the file and class of one of your own: `./mine.py:MyLearner`.
        options: Of the learner; they override the suite file's, which override the preset's.
        preset: Which of the learner's configurations to start from; its first if None.
        seed: Of everything random.
        folder: Where to write; `runs/SUITE-LEARNER-SEED` if None.
        threads: Threads that step the simulation; all processors if None. Results do not depend on it.
        torch_threads: Threads of torch in an update; all processors if None. Results depend on it in their last bits,
            so it is kept with the run. On a machine that does other work too, 1 can be much the fastest.
        device: Where the learner is: `cpu`, `cuda`, `cuda:1`; the simulation stays on the processors.
        checkpoint_minutes: Wall time between checkpoints.
    Raises: UserError: If something asked for does not exist, before anything is written.
    """
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    learner = learners.absolute(learner)
    options = resolve_options(suite, learner, options or {}, preset)
    trained = checkpoint.build(learner, options, suite, seed, device)
    default = Path("runs") / f"{suite.name}-{learners.label(learner)}-{seed}"
    run = RunFolder(Path(folder) if folder is not None else default)
    engine = checkpoint.engine_for(trained, suite, trained.config.tasks, trained.config.worlds, threads)
    configuration = {
        "suite": checkpoint.suite_reference(suite),
        "suite_hash": suite.content_hash,
        "learner": learner,
        "learner_sha256": learners.of(learner, trained).fingerprint(),
        "preset": preset or next(iter(learners.find(learner).presets())),
        "config": asdict(trained.config),
        "seed": seed,
        "device": device,
        "threads": engine.threads,
        "torch_threads": torch_threads or torch.get_num_threads(),
        "checkpoint_minutes": checkpoint_minutes,
    }
    run.create(configuration)
    return _train(run, suite, trained, engine, configuration, first=0, steps=0)


def resume(
    folder: str | Path, threads: int | None = None, iterations: int | None = None, learner: str | None = None
) -> Path:
    """Goes on with a run from its newest whole checkpoint to its end, and returns the policy's folder.

    What comes out is bit for bit what would have come out had it never been interrupted.

    Args:
        folder: The run's folder.
        threads: Threads that step the simulation; all processors if None.
        iterations: Another end than the one it was started with: later, to train longer, or as early as the newest
            checkpoint, to take the policy from there.
        learner: Where the file of a learner of your own is now, if it was moved or changed: `./mine.py:MyLearner`.
    Raises: UserError: If there is no such run, its suite or its learner's file has changed since, or it is beyond the
        end asked for.
    """
    run = RunFolder(Path(folder))
    configuration = run.configuration()
    try:
        suite = suites.load(configuration["suite"])
        _ = [configuration[key] for key in TAKEN_OVER]
        seed, options, told = int(configuration["seed"]), configuration["config"], str(configuration["learner"])
        name = own.of_run(told, configuration.get("learner_sha256"), learner, run.path)
        options |= {} if iterations is None else {"iterations": iterations}
        if suite.content_hash != configuration["suite_hash"]:
            raise UserError(f"suite {suite.name} is no longer the one that {folder} was started on")
        trained = checkpoint.build(name, options, suite, seed, configuration["device"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder} cannot be resumed: its run.json is damaged ({error!r})") from None
    saved = run.newest_checkpoint()
    first, steps = 0, 0
    if saved is not None:
        state, first, steps = saved
        try:
            trained.load(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"{folder} cannot be resumed: its checkpoint does not fit the learner ({error})") from None
    if first > trained.config.iterations:
        raise UserError(f"{folder} is at iteration {first} already, beyond {trained.config.iterations}")
    fingerprint = learners.of(name, trained).fingerprint()
    configuration |= {"learner": learners.absolute(name), "learner_sha256": fingerprint}
    run.configure(configuration)
    run.cut(first)
    engine = checkpoint.engine_for(trained, suite, trained.config.tasks, trained.config.worlds, threads)
    return _train(run, suite, trained, engine, configuration, first, steps)


def resolve_options(suite: Suite, learner: str, options: dict[str, Any], preset: str | None = None) -> dict[str, Any]:
    """The learner's options: the preset's, the suite file's on top, the user's on top of these.

    Raises: UserError: Naming every option that the learner does not have, or that is of another kind.
    """
    presets = learners.find(learner).presets()
    if preset is not None and preset not in presets:
        raise UserError(unknown("preset", preset, presets))
    resolved = asdict(presets[preset] if preset is not None else next(iter(presets.values())))
    mistakes = [
        unknown("learner", name, learners.LEARNERS, suite.path.name)
        for name in suite.learner
        if name not in learners.LEARNERS and not own.is_reference(name)
    ]
    learner = own.short(learner)
    from_suite = suite.learner.get(learner, {})
    for source, where in ((from_suite, f"[learner.{learner}] of {suite.path.name}"), (options, f"learner {learner}")):
        mistakes += [unknown("option", name, resolved, where) for name in source if name not in resolved]
        known = {name: value for name, value in source.items() if name in resolved}
        known = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        mistakes += [
            f"option {name} of {where} must be something like {resolved[name]}, not {value!r}"
            for name, value in known.items()
            if not _of_kind(value, resolved[name])
        ]
        resolved |= known
    if mistakes:
        raise UserError("\n".join(mistakes))
    return resolved


def _of_kind(value: Any, default: Any) -> bool:
    """Whether a value is of the same kind as an option's default; a whole number may stand for any number."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(_of_kind(entry, default[0]) for entry in value)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _train(
    run: RunFolder,
    suite: Suite,
    learner: Learner,
    engine: CpuEngine,
    configuration: dict[str, Any],
    first: int,
    steps: int,
) -> Path:
    """The training loop from iteration `first` on."""
    config, seed, name = learner.config, configuration["seed"], configuration["learner"]
    preset = configuration["preset"]
    title = f"{learners.label(name)} ({preset} configuration) on {suite.name}, seed {seed}: {run.path}"
    saved_at = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(torch_on(configuration["torch_threads"]))
        shown: Screen = stack.enter_context(screen(title, config.iterations))
        board = stack.enter_context(_tensorboard(run.path, first))
        stop = stack.enter_context(_stop_on_signals())
        for iteration in range(first, config.iterations):
            started, worked = time.perf_counter(), time.process_time()
            noise = Noise(seed, ("train", iteration), config.tasks, config.worlds)
            indices = task_batch(len(suite.train), config.tasks, seed, iteration)
            trial = run_trial(engine, learner, suite.train, indices, config.shots, noise)
            sampled = time.perf_counter()
            metrics = learner.update(trial)
            timing = {
                "sampling": sampled - started,
                "update": time.perf_counter() - sampled,
                "processor": time.process_time() - worked,
            }
            steps += trial.steps()
            row = {
                "iteration": iteration,
                "steps": steps,
                "iteration_steps": trial.steps(),
                **measure(trial),
                **metrics,
            }
            _check_finite(row, run)
            run.append(METRICS, row)
            run.append(TIMINGS, {"iteration": iteration, **timing})
            for key, value in (row | timing).items():
                board.add_scalar(key, value, iteration)
            shown.show(row, timing)
            due = time.monotonic() - saved_at > 60 * configuration["checkpoint_minutes"]
            if due or stop or iteration + 1 == config.iterations:
                run.save_checkpoint(iteration + 1, steps, learner.state())
                saved_at = time.monotonic()
            if stop:
                raise TrainingError(
                    f"stopped by {stop[0]} after {iteration + 1} of {config.iterations} iterations, all saved; "
                    f"go on with: robometa resume {run.path}"
                )
    return _finish(run, suite, learner, configuration)


def _finish(run: RunFolder, suite: Suite, learner: Learner, configuration: dict[str, Any]) -> Path:
    """Writes the policy and its card."""
    rows, timings = run.rows(METRICS), run.rows(TIMINGS)
    training = {
        "seed": configuration["seed"],
        "preset": configuration["preset"],
        "iterations": len(rows),
        "environment_steps": rows[-1]["steps"] if rows else 0,
        "wall_time_seconds": round(sum(row["sampling"] + row["update"] for row in timings), 1),
        "versions": run.configuration().get("versions", {}),
        "processors": configuration["threads"],
        "last_returns": {name: value for name, value in rows[-1].items() if name.startswith("return_")} if rows else {},
    }
    policy = run.path / "policy"
    name = configuration["learner"]
    checkpoint.save_policy(policy, learner, name, suite, training, card.text(name, learner, suite, training))
    return policy


def task_batch(count: int, tasks: int, seed: int, iteration: int) -> list[int]:
    """Which tasks an iteration trains on: consecutive pieces of one shuffled deck after another.

    Every task comes up equally often, and twice in an iteration only where it reaches from one deck into the next.
    """
    indices: list[int] = []
    place = iteration * tasks
    while len(indices) < tasks:
        deck, start = divmod(place + len(indices), count)
        shuffled = Noise(seed, ("tasks", deck), 1, 1).generator().permutation(count).tolist()
        indices += shuffled[start : start + tasks - len(indices)]
    return indices


def measure(trial: Trial) -> dict[str, float]:
    """What a trial shows: mean return and success after each shot, and how many steps diverged."""
    row: dict[str, float] = {}
    for shot, rollout in enumerate(trial.rollouts):
        row[f"return_{shot}"] = float(rollout.episode_return().mean())
    for shot, rollout in enumerate(trial.rollouts):
        row[f"success_{shot}"] = float(rollout.episode_success().float().mean())
    row["diverged"] = float(sum(int(rollout.diverged.sum()) for rollout in trial.rollouts))
    return row


def _check_finite(row: dict[str, float], run: RunFolder) -> None:
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"iteration {row['iteration']}: {', '.join(bad)} is not a finite number. Lower the learning rate or the "
            f"step size and start again; checkpoints before this are in {run.path}"
        )


@contextmanager
def _tensorboard(folder: Path, first: int) -> Iterator[Any]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard"), purge_step=first) as writer:
        yield writer


@contextmanager
def _stop_on_signals() -> Iterator[list[str]]:
    """A list that gets a signal's name when Ctrl-C or SIGTERM asks to stop; a second one stops at once."""
    asked: list[str] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number).name)

    kinds = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(kind, ask) for kind in kinds]
    except ValueError:  # not in the main thread: whoever called handles signals
        yield asked
        return
    try:
        yield asked
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)

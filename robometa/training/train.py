"""Training: a trial, an update, again; and going on with one as if it had never stopped."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from robometa import registry, suites
from robometa.errors import TrainingError, UserError
from robometa.policies import card, policy_folder
from robometa.registry import user_file
from robometa.registry.options import read_config, resolve
from robometa.sim.select import on_warp
from robometa.storage import sealed_folder
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.training.loop import Progress, Training
from robometa.training.run_folder import METRICS, TIMINGS, RunFolder
from robometa.trials import make

CHECKPOINT_MINUTES = 5.0
TAKEN_OVER = ("preset", "device", "threads", "torch_threads", "checkpoint_minutes")
"""What a resumed run takes over from its beginning, besides suite, learner, options and seed."""


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
    engine: str = "cpu",
    room: float = 1.0,
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
        device: Where the learner is: `cpu`, `cuda`, `cuda:1`.
        checkpoint_minutes: Wall time between checkpoints.
        engine: What simulates: `cpu`; `warp`, on the learner's GPU or on another; `auto`, Warp where there is a GPU and
            the `gpu` extra. Results depend on which, so it is kept with the run.
        room: For how many times as many contacts as nearly always suffice MuJoCo Warp shall have memory.
    Raises: UserError: If something asked for does not exist, before anything is written.
    """
    mistake = _impossible(torch_threads or 1, checkpoint_minutes)
    if mistake:
        raise UserError(mistake)
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    learner = registry.absolute(learner)
    config = resolve(suite, learner, options or {}, preset)
    trained = make.build(learner, config, suite, seed, device)
    default = Path("runs") / f"{suite.name.replace('/', '-')}-{registry.label(learner)}-{seed}"
    run = RunFolder(Path(folder) if folder is not None else default)
    engine = "warp" if on_warp(engine, suite) else "cpu"
    simulator = make.engine_for(trained, suite, config.tasks, config.worlds, threads, engine, room)
    configuration = {
        "suite": suite_reference(suite),
        "suite_hash": suite.content_hash,
        "learner": learner,
        "learner_sha256": registry.of(learner, trained).fingerprint(),
        "preset": preset or next(iter(registry.find(learner).presets())),
        "config": asdict(config),
        "seed": seed,
        "device": device,
        "threads": simulator.threads,
        "torch_threads": torch_threads or torch.get_num_threads(),
        "checkpoint_minutes": checkpoint_minutes,
        "engine": engine,
        "room": room,
    }
    run.create(configuration)
    with run.locked():
        training = Training(run, suite, trained, simulator, configuration)
        training.go_on()
        return _finish(training)


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
    with run.locked():
        training = rebuilt(run, run.configuration(), iterations, learner, threads)
        saved = run.newest_checkpoint()
        if saved is not None:
            try:
                training.learner.load(saved.state)
            except (KeyError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"{folder} cannot be resumed: its checkpoint does not fit the learner ({error})"
                ) from None
            numbers = saved._asdict()
            del numbers["state"]
            training.progress = Progress(**numbers)
        first = training.progress.iterations
        if first > training.config.iterations:
            raise UserError(f"{folder} is at iteration {first} already, beyond {training.config.iterations}")
        run.configure(training.configuration)
        lost = first - run.cut(first)
        if lost:
            print(f"{run.path / METRICS} has lost the lines of {lost} iterations before {first}", file=sys.stderr)
        training.go_on()
        return _finish(training)


def rebuilt(
    run: RunFolder,
    configuration: dict[str, Any],
    iterations: int | None = None,
    learner: str | None = None,
    threads: int | None = None,
) -> Training:
    """A training as a run's description says, at its beginning; the run's folder is not touched.

    Args:
        run: Where it will write.
        configuration: What `run.json` says.
        iterations: Another end.
        learner: Where the file of a learner of your own is now.
        threads: Threads that step the simulation; all processors if None.
    Raises: UserError: If the description is damaged, or its suite or its learner's file has changed since.
    """
    try:
        suite = suites.load(configuration["suite"])
        _ = [configuration[key] for key in TAKEN_OVER]
        mistake = _impossible(int(configuration["torch_threads"]), float(configuration["checkpoint_minutes"]))
        if mistake:
            raise ValueError(mistake)
        seed, options, told = int(configuration["seed"]), configuration["config"], str(configuration["learner"])
        name = user_file.of_run(told, configuration.get("learner_sha256"), learner, run.path)
        if not isinstance(options, dict):
            raise ValueError("config")
        if iterations is not None and iterations != options["iterations"]:
            configuration.setdefault("begun_for", options["iterations"])
            options["iterations"] = iterations
        if suite.content_hash != configuration["suite_hash"]:
            raise UserError(f"suite {suite.name} is no longer the one that {run.path} was started on")
        trained = make.build(name, read_config(name, options), suite, seed, configuration["device"])
        engine, room = str(configuration.get("engine", "cpu")), float(configuration.get("room", 1.0))
        fingerprint = registry.of(name, trained).fingerprint()
        configuration |= {"learner": registry.absolute(name), "learner_sha256": fingerprint}
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{run.path} cannot be resumed: its run.json is damaged ({error!r})") from None
    config = trained.config
    simulator = make.engine_for(trained, suite, config.tasks, config.worlds, threads, engine, room)
    return Training(run, suite, trained, simulator, configuration)


def _impossible(torch_threads: int, checkpoint_minutes: float) -> str:
    """What no training can be run with, in words; nothing if all is well."""
    if not 1 <= torch_threads <= 1024:
        return f"torch_threads must be from 1 to 1024, not {torch_threads}"
    if not 0 <= checkpoint_minutes < float("inf"):
        return f"checkpoint_minutes must be a number from 0, not {checkpoint_minutes:g}"
    return ""


def _finish(training: Training) -> Path:
    """Writes the policy and its card, unless they stand there already.

    Raises: TrainingError: If the disk does not take them.
    """
    run, suite, learner, configuration = training.run, training.suite, training.learner, training.configuration
    try:
        training.metrics.flush()
        training.timings.flush()
        rows, timings = run.rows(METRICS), run.rows(TIMINGS)
        told = {
            "seed": configuration["seed"],
            "preset": configuration["preset"],
            "iterations": training.progress.iterations,
            "environment_steps": training.progress.steps,
            "wall_time_seconds": round(sum(row["sampling"] + row["update"] for row in timings), 1),
            "versions": run.configuration().get("versions", {}),
            "processors": configuration["threads"],
            "last_returns": {name: rows[-1][name] for name in rows[-1] if name.startswith("return_")} if rows else {},
        }
        if "begun_for" in configuration:
            told["begun_for"] = int(configuration["begun_for"])
        policy, name = run.path / "policy", configuration["learner"]
        if not _written(policy, told, asdict(learner.config)):
            policy_folder.save_policy(policy, learner, name, suite, told, card.text(name, learner, suite, told))
    except OSError as error:
        raise TrainingError(
            f"the policy could not be written to {run.path} ({error.strerror}). Make room there; then "
            f"robometa resume {run.path} writes it, from iteration {training.newest} on"
        ) from None
    return policy


def _written(policy: Path, told: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether a whole policy of just this training stands there already, perhaps with a report by now."""
    try:
        manifest = sealed_folder.load(policy, "policy")[1]
    except UserError:
        return False
    wanted = json.loads(json.dumps({"training": told, "config": config}))
    return all(manifest.get(key) == value for key, value in wanted.items())

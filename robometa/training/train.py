"""Training: a trial, an update, again; and going on with one as if it had never stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.compute.parallel import processors
from robometa.errors import TrainingError, UserError, unknown
from robometa.escape import say
from robometa.nn.state import TRAINING
from robometa.policies import card, policy_folder
from robometa.policies.manifest import TrainingRecord
from robometa.registry import user_file
from robometa.registry.options import read_config, resolve
from robometa.sim.select import on_warp
from robometa.storage import sealed_folder
from robometa.storage.paths import checked
from robometa.suites.load import suite_reference
from robometa.suites.portable import portable_files
from robometa.suites.suite import Suite
from robometa.training.loggers.logger import SAMPLING, UPDATE
from robometa.training.loop import Training
from robometa.training.run_config import LOGGED, RunConfig
from robometa.training.run_folder import CONFIGURATION, METRICS, RunFolder, run_suite
from robometa.trials import make, pieces
from robometa.trials.collectors.choose import as_before

CHECKPOINT_MINUTES = 5.0
"""Wall time between checkpoints by default, min."""


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
    contact_capacity: float = 1.0,
    piece: int | None = None,
    collect: str = "here",
    log: Sequence[str] = LOGGED,
) -> Path:
    """Meta-trains a learner on a suite's training tasks and returns the policy's folder.

    Args:
        suite: A shipped suite's name, a suite file, or a suite.
        learner: The learner's name, or the file and class of one of your own: `./mine.py:MyLearner`.
        options: Options of the learner; they override the suite file's, which override the preset's.
        preset: Configuration of the learner to start from; its first if None.
        seed: Seed of everything random.
        folder: Folder to write; `runs/SUITE-LEARNER-SEED` if None.
        threads: Threads that step the simulation; all processors if None. Results do not depend on it.
        torch_threads: Threads of torch in an update; all processors if None. Results depend on it in their last bits,
            so it is kept with the run. On a machine that does other work too, 1 can be much the fastest.
        device: Device of the learner: `cpu`, `cuda`, `cuda:1`.
        checkpoint_minutes: Wall time between checkpoints.
        engine: Simulator: `cpu`; `warp`, on the learner's GPU or on another; `auto`, Warp where there is a GPU and
            the `gpu` extra. Results depend on it, so it is kept with the run.
        contact_capacity: Multiplier on MuJoCo Warp's contact buffer; 1 is almost always enough.
        piece: Tasks of a piece, the unit in which trials are computed and handed out. Results depend on it in their
            last bits, so it is kept with the run. By default the fewest whose worlds are a multiple of 4, and 8 or
            more; on a GPU all.
        collect: Who computes the pieces: `here`, `processes` (one for each processor) or `processes:N`. Results do not
            depend on it.
        log: Loggers beside the terminal: `tensorboard`, `wandb` (Weights & Biases, an extra), or `none`.

    Raises:
        UserError: If an argument names something that does not exist; nothing is written then.
    """
    hardware = Hardware(device, engine, contact_capacity, threads, torch_threads, collect)
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    portable_files(suite)  # what the policy will hold: a mistake is told now, and later edits do not matter
    learner = registry.absolute(learner)
    trained = make.build(learner, resolve(suite, learner, options or {}, preset), suite, seed, device)
    default = Path("runs") / f"{suite.name.replace('/', '-')}-{registry.label(learner)}-{seed}"
    run = RunFolder(checked(default if folder is None else folder))
    hardware = replace(hardware, engine="warp" if on_warp(engine, suite) else "cpu")
    hardware = replace(
        hardware, threads=threads or processors(), torch_threads=torch_threads or torch.get_num_threads()
    )
    piece = _piece(trained.config, hardware) if piece is None else piece
    pieces.cut(trained.config.tasks, piece)
    config = RunConfig(
        suite=suite_reference(suite),
        suite_hash=suite.content_hash,
        learner=learner,
        learner_sha256=registry.of(learner, trained).fingerprint(),
        preset=preset or next(iter(registry.find(learner).presets())),
        options=asdict(trained.config),
        seed=seed,
        hardware=hardware,
        checkpoint_minutes=checkpoint_minutes,
        piece=piece,
        log=tuple(log),
    )
    with closing(Training(run, suite, trained, config)) as training, run.created(config) as training.config:
        training.go_on()
        return _finish(training)


def _piece(options: Any, hardware: Hardware) -> int:
    """Tasks of a piece by default; all on a GPU, which computes a batch at once."""
    on_cpu = hardware.device == "cpu" and hardware.engine == "cpu"
    return pieces.default_size(options.tasks, options.worlds) if on_cpu else int(options.tasks)


def resume(
    folder: str | Path,
    threads: int | None = None,
    iterations: int | None = None,
    learner: str | None = None,
    collect: str | None = None,
    suite: str | Path | None = None,
) -> Path:
    """Resumes a run from its newest whole checkpoint, and returns the policy's folder.

    The result is bit-identical to that of an uninterrupted run.

    Args:
        folder: Folder of the run.
        threads: Threads that step the simulation; all processors if None.
        iterations: Another end than the one it was started with: later, to train longer, or as early as the newest
            checkpoint, to take the policy from there.
        learner: File and class of a learner of your own: `./mine.py:MyLearner`. A run names it, but never runs it.
        collect: Who computes the pieces, as in `train`; as before if None, with a process for each processor at most.
        suite: File of the run's own suite, if it has moved since.

    Raises:
        UserError: If there is no such run, its suite or its learner's file has changed since, or it is beyond the
            end asked for.
    """
    run = RunFolder(checked(folder))
    with ExitStack() as stack:
        stack.enter_context(run.locked())
        config = with_suite(run.configuration(), suite)
        name = user_file.of_run(config.learner, config.learner_sha256, learner, run.path, "resume")
        training = stack.enter_context(closing(rebuilt(run, config, name, iterations, threads, collect)))
        saved = run.newest_checkpoint()
        if saved is not None:
            _require_fit(saved.state, training, run.path / "checkpoints")
            try:
                training.learner.load_state_dict(saved.state)
            except (KeyError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"{folder} cannot be resumed: its checkpoint does not fit the learner ({error})"
                ) from None
            training.progress = saved.progress
        first, last = training.progress.iterations, training.options.iterations
        if first > last:
            raise UserError(f"{folder} is at iteration {first} already, beyond {last}")
        run.configure(training.config)
        lost = first - run.cut(first)
        if lost:
            say(f"{run.path / METRICS} has lost the lines of {lost} iterations before {first}", error=True)
        training.go_on()
        return _finish(training)


def with_suite(config: RunConfig, suite: str | Path | None) -> RunConfig:
    """The configuration of a run whose suite's file has moved; the same one if `suite` is None."""
    return config if suite is None else replace(config, suite=suite_reference(suites.load(suite)))


def _require_fit(state: Mapping[str, Tensor], training: Training, path: Path) -> None:
    """Checks the tensors of a checkpoint that a policy has, too; the learner checks those that only training needs.

    Raises:
        UserError: Naming the first that does not fit the learner.
    """
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(TRAINING)}
    exactly = not user_file.is_reference(training.config.learner)
    policy_folder.require_fit(kept, policy_folder.state_of(training.learner), path, exactly=exactly)


def rebuilt(
    run: RunFolder,
    config: RunConfig,
    name: str,
    iterations: int | None = None,
    threads: int | None = None,
    collect: str | None = None,
) -> Training:
    """A training before its first iteration, made again from its configuration; the run's folder is not touched.

    Args:
        run: Folder that it will write.
        config: Configuration of the run.
        name: Its learner, or the file and class of one of the user's own.
        iterations: Another end.
        threads: Threads that step the simulation; all processors if None.
        collect: Who computes the pieces; as the configuration says if None, with a process for each processor at most.

    Raises:
        UserError: If the configuration is impossible, or its suite or its learner's file has changed since.
    """
    try:
        suite = run_suite(config.suite, config.suite_hash, run.path)
        begun_for = config.options["iterations"]
        if iterations is not None and iterations != begun_for:
            options = config.options | {"iterations": iterations}
            config = replace(config, options=options, begun_for=config.begun_for or begun_for)
        presets = registry.find(name).presets()
        if config.preset not in presets:
            raise UserError(unknown("preset", config.preset, presets, str(run.path / CONFIGURATION)))
        portable_files(suite)
        trained = make.build(name, read_config(name, config.options), suite, config.seed, config.hardware.device)
        fingerprint = registry.of(name, trained).fingerprint()
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{run.path} cannot be resumed: its run.json is damaged ({error!r})") from None
    hardware = replace(
        config.hardware, threads=threads or processors(), collect=collect or as_before(config.hardware.collect)
    )
    config = replace(config, learner=registry.absolute(name), learner_sha256=fingerprint, hardware=hardware)
    return Training(run, suite, trained, config)


def _finish(training: Training) -> Path:
    """Writes the policy and its card, unless they were written before.

    Raises:
        TrainingError: If the disk refuses them.
    """
    run, suite, learner, config = training.run, training.suite, training.learner, training.config
    try:
        training.metrics.flush()
        training.timings.flush()
        about = _record(training)
        policy, name = run.path / "policy", config.learner
        if not _written(policy, about, asdict(learner.config)):
            text = card.text(name, learner, suite, about)
            with run.opened() as folder:
                policy_folder.save_policy(policy, learner, name, suite, about, text, within=folder)
    except OSError as error:
        raise TrainingError(
            f"the policy could not be written to {run.path} ({error.strerror}). Make room there; then "
            f"{training.resume_command()} writes it, from iteration {training.newest} on"
        ) from None
    return policy


def _record(training: Training) -> TrainingRecord:
    """Description of a training for its policy, from its configuration and its tables."""
    config, last, seconds = training.config, dict[str, float](), 0.0
    for last in training.metrics.rows():  # noqa: B007
        pass
    for row in training.timings.rows():
        seconds += row[SAMPLING] + row[UPDATE]
    return TrainingRecord(
        seed=config.seed,
        preset=config.preset,
        iterations=training.progress.iterations,
        environment_steps=training.progress.steps,
        wall_time_seconds=round(seconds, 1),
        versions=config.versions,
        processors=config.hardware.threads or processors(),
        last_returns={name: value for name, value in last.items() if name.startswith("return_")},
        begun_for=config.begun_for,
    )


def _written(policy: Path, about: TrainingRecord, options: dict[str, Any]) -> bool:
    """True if the folder holds a whole policy of exactly this training, with or without a report."""
    try:
        manifest = sealed_folder.load(policy, "policy")[1]
    except UserError:
        return False
    wanted = json.loads(json.dumps({"training": about.to_json(), "config": options}))
    return all(manifest.get(key) == value for key, value in wanted.items())

"""Training from the start, and resuming to the same bytes."""

from __future__ import annotations

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
from robometa.errors import UserError, unknown
from robometa.escape import say
from robometa.nn.state import TRAINING
from robometa.policies import policy_folder
from robometa.registry import user_file
from robometa.registry.options import read_config, resolve
from robometa.sim.select import on_warp
from robometa.storage.paths import checked
from robometa.suites.load import suite_reference
from robometa.suites.portable import portable_files
from robometa.suites.suite import Suite
from robometa.training import start
from robometa.training.budget import iterations_for
from robometa.training.callback import Callback
from robometa.training.finish import finish
from robometa.training.loggers.logger import LoggerFactory
from robometa.training.loop import Training
from robometa.training.new_run import default_folder
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
    steps: float | None = None,
    dataset: str | Path | None = None,
    start_from: str | Path | None = None,
    evaluate_every: int = 0,
    callback: Callback | None = None,
    overwrite: bool = False,
    log: Sequence[str] = LOGGED,
    loggers: Sequence[LoggerFactory] | None = None,
) -> Path:
    """Meta-trains a learner on a suite's training tasks and returns the policy's folder.

    Args:
        suite: A shipped suite's name, a suite file, or a suite.
        learner: The learner's name, or the file and class of one of your own: `./mine.py:MyLearner`.
        options: Options of the learner; they override the suite file's, which override the preset's.
        preset: Configuration of the learner to start from; its first if None.
        seed: Random seed.
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
            last bits, so it is kept with the run. By default the fewest tasks with worlds in a multiple of 4, and 8 or
            more; on a GPU all.
        collect: Who computes the pieces: `here`, `processes` (one for each processor), `processes:N`, `auto` (here or
            by processes, as is faster), `ray` (a cluster of this machine), `ray:HOST:PORT` or `ray://HOST:PORT` (a
            running one). Results do not depend on it.
        steps: Environment steps to train for, instead of the option `iterations`: as many iterations as it takes.
        dataset: Folder of a dataset to learn from, as `robometa collect` writes it; for `dpt` and `ad`, which need one.
        start_from: Folder of a policy, or of a run, in place of first weights drawn from the seed: of the same learner,
            on this suite or on one with the same observation and action, or an oracle's with a bottleneck for `rma`,
            which then begins with phase two. Optimisers and replays begin anew; a learner with critics or decoders
            needs a run with its checkpoints.
        evaluate_every: Iterations between few-shot scores on held-out tasks, `held_out_return_K` and
            `held_out_success_K` in the metrics; the policy with the best is kept in the run's folder `best`. They
            change nothing else. 0 for none.
        callback: Called after every iteration with an `Iteration`; False ends the training there, with a policy.
            `resume` continues to the original end.
        overwrite: Replace the run that the folder holds, if there is one.
        log: Loggers beside the terminal: `tensorboard`, `wandb` (Weights & Biases, an extra), or `none`.
        loggers: Loggers to show and store the metrics with, instead of the terminal and `log`; `()` trains in silence.

    Returns:
        Folder of the policy.

    Raises:
        UserError: If an argument names something that does not exist; nothing is written then.
    """
    hardware = Hardware(device, engine, contact_capacity, threads, torch_threads, collect)
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    portable_files(suite)  # content of the policy: a mistake is reported now, and later edits do not matter
    learner = registry.absolute(learner)
    options = options or {}
    if steps is not None:
        options |= {
            "iterations": iterations_for(steps, options, asdict(resolve(suite, learner, options, preset)), suite)
        }
    trained = make.build(learner, resolve(suite, learner, options, preset), suite, seed, device)
    source = start.dataset(learner, trained, suite, dataset)
    first = None if start_from is None else start.opened(start_from, learner, suite, device)
    if first is not None:
        start.start(trained, learner, first)
    run = RunFolder(checked(default_folder(suite, learner, seed) if folder is None else folder))
    if first is not None:
        start.require_elsewhere(first, run.path)
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
        evaluate_every=evaluate_every,
        log=tuple(log),
        dataset=None if source is None else str(source.folder.absolute()),
        dataset_sha256=None if source is None else source.sha256,
        started_from=None if first is None else first.about,
    )
    with (
        closing(Training(run, suite, trained, config, loggers, callback)) as training,
        run.created(config, overwrite) as training.config,
    ):
        training.go_on()
        return finish(training)


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
    callback: Callback | None = None,
    suite: str | Path | None = None,
    loggers: Sequence[LoggerFactory] | None = None,
) -> Path:
    """Resumes a run from its newest whole checkpoint, and returns the policy's folder.

    The result is bit-identical to that of an uninterrupted run.

    Args:
        folder: Folder of the run.
        threads: Threads that step the simulation; as before if None, with one for each processor at most.
        iterations: Another end than the one it was started with: later, to train longer, or as early as the newest
            checkpoint, to take the policy from there.
        learner: File and class of a learner of your own: `./mine.py:MyLearner`. A run names it, but never runs it.
        collect: Who computes the pieces, as in `train`; as before if None, with a process for each processor at most.
        callback: Called after every iteration, as in `train`.
        suite: File of the run's own suite, if it has moved since.
        loggers: Loggers, as in `train`; those of the run if None.

    Raises:
        UserError: If there is no such run, its suite or its learner's file has changed since, or it is beyond the
            end asked for.
    """
    run = RunFolder(checked(folder))
    with ExitStack() as stack:
        stack.enter_context(run.locked())
        config = with_suite(run.configuration(), suite)
        name = user_file.of_run(config.learner, config.learner_sha256, learner, run.path, "resume")
        training = stack.enter_context(
            closing(rebuilt(run, config, name, iterations, threads, collect, callback, loggers))
        )
        saved = run.newest_checkpoint()
        if saved is None:
            start.again(training.learner, name, training.suite, config)
        else:
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
        if iterations is not None or first != last:
            run.configure(training.config)
        elif loggers is None or loggers:
            say(f"all {last} iterations are done: a larger number of iterations trains longer")
        lost = first - run.cut(first)
        if lost:
            say(f"{run.path / METRICS} has lost the lines of {lost} iterations before {first}", error=True)
        training.go_on()
        return finish(training)


def with_suite(config: RunConfig, suite: str | Path | None) -> RunConfig:
    """The configuration of a run after its suite's file has moved; the same one if `suite` is None."""
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
    callback: Callback | None = None,
    loggers: Sequence[LoggerFactory] | None = None,
) -> Training:
    """A training before its first iteration, made again from its configuration; the run's folder is not touched.

    Args:
        run: Folder that it will write.
        config: Configuration of the run.
        name: Its learner, or the file and class of one of the user's own.
        iterations: Another end.
        threads: Threads that step the simulation; as before if None, with one for each processor at most.
        collect: Who computes the pieces; as the configuration says if None, with a process for each processor at most.
        callback: Called after every iteration.
        loggers: Loggers; those of the configuration if None.

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
        config.hardware,
        threads=threads or min(config.hardware.threads or processors(), processors()),
        collect=collect or as_before(config.hardware.collect),
    )
    config = replace(config, learner=registry.absolute(name), learner_sha256=fingerprint)
    return Training(run, suite, trained, config, loggers, callback, hardware)

"""Loads a trained policy, to act with it in a loop of the user's own."""

from __future__ import annotations

from pathlib import Path

from robometa import registry, suites
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.policies.policy import Policy
from robometa.registry import user_file
from robometa.storage import sealed_folder
from robometa.suites.suite import Suite
from robometa.training.run_folder import CONFIGURATION, RunFolder, run_suite


def load(
    folder: str | Path,
    *,
    suite: str | Path | Suite | None = None,
    learner: str | None = None,
    units: str = "actuator",
    device: str = "cpu",
) -> Policy:
    """Loads a policy to act with: of a policy's folder, or the newest of a run's.

    Args:
        folder: Folder of a policy, or of a run, which may still be going on: its policy or its newest checkpoint.
        suite: Another suite to act on, with the same observation and action: its name, its file, or itself.
        learner: `FILE.py:CLASS`, for a policy whose learner is one of your own.
        units: Units of the actions: `actuator` for those of the robot's controls, such as N m or rad/s, which
            Gymnasium's MuJoCo environments and a robot's drivers take; `normalized` for -1..1, which this package's
            own environments take.
        device: Device of the learner's tensors.

    Returns:
        The policy at the beginning of a trial.

    Raises:
        UserError: If there is no policy, it is not whole, or an argument does not fit.
    """
    path = Path(folder)
    chosen = suite if suite is None or isinstance(suite, Suite) else suites.load(suite)
    if (path / CONFIGURATION).is_file() and not (path / sealed_folder.MANIFEST).is_file():
        return _of_run(RunFolder(path), chosen, learner, units, device)
    trained, chosen, manifest = policy_folder.load_policy(path, chosen, device=device, learner=learner)
    return Policy(trained, chosen, registry.label(manifest.learner), units)


def _of_run(run: RunFolder, suite: Suite | None, learner: str | None, units: str, device: str) -> Policy:
    """The policy of a run, or its newest checkpoint if that is of a later iteration.

    Raises:
        UserError: If there is neither, or the suite or the learner's file has changed since.
    """
    config = run.configuration()
    name = user_file.of_run(config.learner, config.learner_sha256, learner, run.path, None)
    policy = run.path / "policy"
    iterations = _iterations(policy)
    if not run.checkpoints() or iterations >= int(run.checkpoints()[-1].name):
        if iterations < 0:
            raise UserError(f"{run.path} has neither a policy nor a checkpoint yet")
        own = name if user_file.is_reference(name) else None
        trained, suite, _ = policy_folder.load_policy(policy, suite, device=device, learner=own)
        return Policy(trained, suite, registry.label(name), units)
    if suite is None:
        suite = run_suite(config.suite, config.suite_hash, run.path)
    saved = run.newest_checkpoint()
    assert saved is not None  # there are checkpoints, and none that is whole is an error of its own
    state = policy_folder.without_training(saved.state)
    trained = policy_folder.restored(name, config.options, suite, state, run.checkpoints()[-1], device)
    return Policy(trained, suite, registry.label(name), units)


def _iterations(policy: Path) -> int:
    """Iterations of a run's policy; -1 if there is none."""
    if not (policy / sealed_folder.MANIFEST).is_file():
        return -1
    training = sealed_folder.read_manifest(policy).get("training")
    count = training.get("iterations") if isinstance(training, dict) else None
    return count if isinstance(count, int) else -1

"""Loads a trained policy, to act with it in a loop of the user's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from robometa import registry, suites
from robometa.errors import UserError
from robometa.escape import say
from robometa.learners.protocol import Learner
from robometa.policies import policy_folder
from robometa.policies.manifest import PolicyManifest
from robometa.policies.policy import Policy
from robometa.registry import user_file
from robometa.storage import sealed_folder
from robometa.storage.paths import checked, is_run, own_folder
from robometa.suites.suite import Suite
from robometa.training import records
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import METRICS, TIMINGS, RunFolder, run_suite
from robometa.trials import make


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
        folder: Folder of a policy, or of a run (finished or not): its policy or its newest checkpoint.
        suite: Another suite to act on, with the same observation and action: its name, its file, or itself.
        learner: `FILE.py:CLASS`, for a policy of your own learner.
        units: Units of the actions: `actuator` for those of the robot's controls, such as N m or rad/s, which
            Gymnasium's MuJoCo environments and a robot's drivers take; `normalized` for -1..1, which this package's
            own environments take.
        device: Device of the learner's tensors.

    Returns:
        The policy at the beginning of a trial.

    Raises:
        UserError: If there is no policy, it is not whole, or an argument does not fit.
    """
    chosen = suite if suite is None or isinstance(suite, Suite) else suites.load(suite)
    source = newest(folder)
    trained, chosen, manifest = source.load(chosen, device, learner)
    return Policy(trained, chosen, registry.label(manifest.learner), units)


@dataclass(frozen=True)
class Source:
    """The policy of a folder: its own, or the newest of a run."""

    folder: Path
    """Folder of the policy, or of the checkpoint."""
    run: RunFolder | None = None
    """The run that it was looked for in."""
    iterations: int = 0
    """Iterations that it was trained for, if it is a run's."""
    is_checkpoint: bool = False

    def described(self) -> str:
        """Says which policy of a run it is."""
        assert self.run is not None  # a policy's folder needs no words
        kind = "newest checkpoint" if self.is_checkpoint else "policy"
        return f"{self.run.path}: its {kind}, of {self.iterations} iterations"

    def load(
        self, suite: Suite | None, device: str = "cpu", learner: str | None = None, command: str | None = None
    ) -> tuple[Learner, Suite, PolicyManifest]:
        """Loads the learner, the suite to run it on, and its manifest.

        Args:
            suite: Suite to run on; its own if None.
            device: Device of the learner's tensors.
            learner: `FILE.py:CLASS`, for one of the user's own.
            command: Command that errors show; Python if None.

        Raises:
            UserError: If it is not whole, or the suite or the learner's file has changed since.
        """
        if self.run is None:
            return policy_folder.load_policy(self.folder, suite, device=device, learner=learner)
        config = self.run.configuration()
        name = user_file.of_run(config.learner, config.learner_sha256, learner, self.run.path, command)
        if not self.is_checkpoint:
            own = name if user_file.is_reference(name) else None
            return policy_folder.load_policy(self.folder, suite, device=device, learner=own)
        return self._of_checkpoint(self.run, config, name, suite, device)

    def _of_checkpoint(
        self, run: RunFolder, config: RunConfig, name: str, suite: Suite | None, device: str
    ) -> tuple[Learner, Suite, PolicyManifest]:
        """Loads the newest whole checkpoint.

        Raises:
            UserError: If none is whole, or the suite has changed since.
        """
        own = run_suite(config.suite, config.suite_hash, run.path) if suite is None else suite
        saved = run.newest_checkpoint()
        assert saved is not None  # there are checkpoints; if none were whole, reading would have raised
        if saved.progress.iterations != self.iterations:  # the run goes on meanwhile, or this one is damaged
            say(f"{run.path}: the checkpoint that was loaded is of {saved.progress.iterations} iterations", error=True)
        state = policy_folder.without_training(saved.state)
        trained = policy_folder.restored(name, config.options, own, state, self.folder, device)
        before = [row for row in run.rows(METRICS) if row["iteration"] < saved.progress.iterations]
        times = [row for row in run.rows(TIMINGS) if row["iteration"] < saved.progress.iterations]
        about = records.record_of(config, saved.progress, before, times)
        manifest = PolicyManifest(
            learner=name,
            learner_sha256=config.learner_sha256,
            config=config.options,
            suite=config.suite,
            suite_hash=config.suite_hash,
            spaces=make.spaces_of(own, trained),
            training=about,
            tensors_sha256=saved.sha256,
        )
        return trained, own, manifest


def newest(folder: str | Path) -> Source:
    """Finds the policy of a folder: its own, or of a run the policy, or a newer checkpoint.

    Raises:
        UserError: If it is a run that has neither yet.
    """
    path = checked(folder)
    if not is_run(path):
        return Source(path)
    run, policy = RunFolder(path), own_folder(path, "policy")
    iterations, checkpoints = _iterations(policy), run.checkpoints()
    if checkpoints and iterations < int(checkpoints[-1].name):
        return Source(checkpoints[-1], run, int(checkpoints[-1].name), is_checkpoint=True)
    if iterations < 0:
        raise UserError(f"{run.path} has neither a policy nor a checkpoint yet")
    return Source(policy, run, iterations)


def _iterations(policy: Path) -> int:
    """Iterations of a run's policy; -1 if there is none."""
    if not os.path.lexists(policy / sealed_folder.MANIFEST):
        return -1
    training = sealed_folder.read_manifest(policy).get("training")
    count = training.get("iterations") if isinstance(training, dict) else None
    return count if isinstance(count, int) else -1

"""Things that a run starts with: a trained policy in place of first weights from its seed, or a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from robometa import registry
from robometa.errors import UserError
from robometa.escape import word
from robometa.learners.protocol import Learner
from robometa.nn.bottleneck import ToldPolicy
from robometa.policies.manifest import Start
from robometa.policies.policy_folder import require_fit, state_of
from robometa.registry import user_file
from robometa.registry.given import given
from robometa.storage.paths import checked
from robometa.storage.sealed_folder import TENSORS
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.training import load
from robometa.trials.dataset import Dataset


@runtime_checkable
class Tells(Protocol):
    """A learner whose policy is told what its task hides, through a bottleneck."""

    def told_policy(self) -> ToldPolicy:
        """Its policy in parts."""


@runtime_checkable
class StartsFromTold(Protocol):
    """A learner that may go on from such a policy."""

    def start_from(self, other: ToldPolicy) -> None:
        """Takes the policy over."""


@dataclass(frozen=True)
class FirstPolicy:
    """The trained policy that a run starts from."""

    learner: Learner
    name: str
    """Name of its learner, or the file and class of one of the user's own."""
    folder: Path
    about: Start


def opened(folder: str | Path, name: str, suite: Suite, device: str) -> FirstPolicy:
    """Loads the policy of a folder, or the newest of a run's, for a run on a suite that may be another one.

    Args:
        folder: Folder of a policy, or of a run.
        name: Learner of the run that starts from it.
        suite: Suite of that run.
        device: Device of the learner.

    Raises:
        UserError: If there is no whole policy, or it does not fit the suite.
    """
    source = load.newest(checked(folder))
    own = name if user_file.is_reference(name) else None
    other, _, manifest = source.load(suite, device, own)
    about = Start(
        policy=str((source.run.path if source.is_checkpoint and source.run else source.folder).absolute()),
        sha256=manifest.tensors_sha256,
        learner=registry.label(manifest.learner),
        suite=manifest.suite,
        seed=manifest.training.seed,
        environment_steps=manifest.training.environment_steps,
    )
    return FirstPolicy(other, manifest.learner, source.folder, about)


def start(trained: Learner, name: str, first: FirstPolicy) -> None:
    """Puts a trained policy in the place of an untrained learner's first weights; its optimisers begin anew.

    Args:
        trained: The untrained learner.
        name: Its name, or the file and class of one of the user's own.
        first: The policy, of the same learner, or one that this learner may go on from.

    Raises:
        UserError: If it is of another learner, or its networks are of other sizes.
    """
    label, other = registry.label(name), first.learner
    try:
        if first.name == name:
            state = state_of(other)
            require_fit(state, state_of(trained), first.folder / TENSORS, exactly=True)
            trained.load_state_dict(state)
        elif isinstance(trained, StartsFromTold) and isinstance(other, Tells):
            trained.start_from(other.told_policy())
        else:
            raise UserError(f"it is of {first.about.learner}; a run starts from its own learner, or rma from an oracle")
    except (KeyError, RuntimeError, UserError, ValueError) as error:
        raise UserError(f"{label} cannot start from {first.folder}: {error}") from None


def again(trained: Learner, name: str, suite: Suite, about: Start, device: str) -> None:
    """Starts a run that is repeated from the policy that it began with.

    Raises:
        UserError: If it is not there any more, or is another one now.
    """
    first = opened(about.policy, name, suite, device)
    if first.about.sha256 != about.sha256:
        raise UserError(f"{about.policy} is no longer the policy that the run began with")
    start(trained, name, first)


def dataset(name: str, learner: Learner, suite: Suite, folder: str | Path | None) -> Dataset | None:
    """Opens the dataset of a learner that needs one.

    Raises:
        UserError: If it needs one and none is given, or the other way round.
    """
    label = registry.label(name)
    if folder is None:
        if learner.learns_offline:
            collect = f"`robometa collect {word(suite_reference(suite))} POLICY --out FOLDER{given()}`"
            raise UserError(
                f"{label} learns from a dataset: give --dataset FOLDER; {collect} writes one of an oracle's policy"
            )
        return None
    if not learner.learns_offline:
        raise UserError(f"{label} learns from its own trials: leave out --dataset")
    return Dataset(checked(folder))

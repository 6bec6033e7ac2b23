"""Things that a run starts with: a trained policy in place of first weights from its seed, or a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from robometa import registry
from robometa.errors import UserError
from robometa.escape import word
from robometa.learners.protocol import Learner
from robometa.nn.bottleneck import ToldPolicy
from robometa.nn.state import EXPERIENCE, TRAINING
from robometa.policies.manifest import PolicyManifest, Start
from robometa.policies.policy_folder import require_fit, state_of
from robometa.registry import user_file
from robometa.registry.given import given
from robometa.storage import sealed_folder
from robometa.storage.paths import checked, is_own_file
from robometa.storage.sealed_folder import MANIFEST, TENSORS
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.training import load
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import RunFolder, run_suite
from robometa.trials import make
from robometa.trials.dataset import Dataset

LIKE = "a run starts from its own learner, or rma from an oracle"
STATISTICS = {"returns", "baseline"}
"""Parts of a training that a few iterations measure again."""


@runtime_checkable
class Tells(Protocol):
    """A learner whose policy is told what its task hides, through a bottleneck."""

    def told_policy(self) -> ToldPolicy:
        """Its policy in parts.

        Raises:
            UserError: If it has no bottleneck.
        """


@runtime_checkable
class StartsFromTold(Protocol):
    """A learner that may go on from such a policy."""

    def start_from(self, other: ToldPolicy) -> None:
        """Takes the policy over.

        Raises:
            UserError: If it is told other numbers, or its layers are of other widths.
        """


@dataclass(frozen=True)
class FirstPolicy:
    """The trained policy that a run starts from."""

    learner: Learner
    name: str
    """Name of its learner, or the file and class of one of the user's own."""
    folder: Path
    state: dict[str, Tensor]
    """Its tensors; of a run that has them still also those that only training needs."""
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
    own = user_file.is_reference(name)
    recorded = _learner_of(source)
    if user_file.is_reference(recorded) and user_file.short(recorded) != user_file.short(name):
        of = registry.label(recorded)
        raise UserError(f"{registry.label(name)} cannot start from {source.folder}: it is of {of}; {LIKE}")
    other, _, manifest = source.load(suite, device, name if own and user_file.is_reference(recorded) else None)
    if source.run is not None and source.is_checkpoint:
        _require_same_spaces(source.run, manifest, suite)
    place, sha256, state = source.folder, manifest.tensors_sha256, state_of(other)
    if source.run is not None and manifest.learner == name and source.run.checkpoints():
        saved = source.run.newest_checkpoint()
        if saved is not None and saved.progress.iterations == manifest.training.iterations:
            place, sha256, state = source.run.path, saved.sha256, saved.state
    elif source.run is not None and source.is_checkpoint:
        place = source.run.path
    about = Start(
        policy=str(place.absolute()),
        sha256=sha256,
        learner=registry.label(manifest.learner),
        suite=Path(manifest.suite).stem if manifest.suite.endswith(".toml") else manifest.suite,
        seed=manifest.training.seed,
        environment_steps=manifest.training.environment_steps,
    )
    return FirstPolicy(other, manifest.learner, place, state, about)


def start(trained: Learner, name: str, first: FirstPolicy) -> None:
    """Puts a trained policy in the place of an untrained learner's first weights; optimisers and replay begin anew.

    Args:
        trained: The untrained learner.
        name: Its name, or the file and class of one of the user's own.
        first: The policy, of the same learner, or one that this learner may go on from.

    Raises:
        UserError: If it is of another learner, its networks are of other sizes, or critics that training needs are
            not there.
    """
    label, other = registry.label(name), first.learner
    try:
        if first.name == name:
            _take_over(trained, label, first)
        elif isinstance(trained, StartsFromTold) and isinstance(other, Tells):
            trained.start_from(other.told_policy())
        else:
            raise UserError(f"it is of {first.about.learner}; {LIKE}")
    except (KeyError, RuntimeError, UserError, ValueError) as error:
        raise UserError(f"{label} cannot start from {first.folder}: {error}") from None


def _learner_of(source: load.Source) -> str:
    """Learner of a policy, as its manifest or its run names it."""
    if source.run is not None:
        return source.run.configuration().learner
    described = sealed_folder.read_manifest(source.folder) if is_own_file(source.folder, MANIFEST) else {}
    return str(described.get("learner", ""))


def _require_same_spaces(run: RunFolder, manifest: PolicyManifest, suite: Suite) -> None:
    """Checks that a run's suite and another one have the same observation and action, and tell the same numbers.

    Raises:
        UserError: If they do not, or the run's suite is not there any more.
    """
    config = run.configuration()
    was = make.spaces_of(run_suite(config.suite, config.suite_hash, run.path), registry.find(manifest.learner).load())
    if was != manifest.spaces:
        raise UserError(
            f"{run.path} was trained with {was.described()}, but suite {suite.name} has {manifest.spaces.described()}"
        )


def require_elsewhere(first: FirstPolicy, folder: Path) -> None:
    """Checks that a run does not replace what it starts from.

    Raises:
        UserError: If it would.
    """
    own = folder.resolve()
    if own == first.folder.resolve() or own in first.folder.resolve().parents:
        raise UserError(f"{folder} holds the policy that the run is to start from: choose another --folder")


def _take_over(trained: Learner, label: str, first: FirstPolicy) -> None:
    """Loads the state of the same learner, but for optimisers and replays."""
    fresh = trained.state_dict()
    taken = {key: value for key, value in first.state.items() if not _begins_anew(key)}
    asked = {key: value for key, value in fresh.items() if key in taken or not key.startswith(TRAINING)}
    require_fit(taken, asked, first.folder / TENSORS, exactly=not user_file.is_reference(first.name))
    absent = [key for key in fresh.keys() - taken.keys() if key.startswith(TRAINING) and not _begins_anew(key)]
    lacking = sorted({key.split("/")[1] for key in absent} - STATISTICS)
    if lacking:
        raise UserError(f"a policy has no {' and no '.join(lacking)}, which {label} trains with; start from its run")
    trained.load_state_dict(fresh | taken)


def _begins_anew(name: str) -> bool:
    """True for the tensors of optimisers and replays."""
    return name.startswith(EXPERIENCE) or (name.startswith(TRAINING) and "optimi" in name.split("/")[1])


def again(trained: Learner, name: str, suite: Suite, config: RunConfig) -> None:
    """Starts a run that is repeated from the policy that it began with, if it began with one.

    Raises:
        UserError: If that is not there any more, or is another one now.
    """
    about = config.started_from
    if about is None:
        return
    first = opened(about.policy, name, suite, config.hardware.device)
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

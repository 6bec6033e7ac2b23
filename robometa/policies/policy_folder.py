"""Policies on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from robometa import registry, suites
from robometa.errors import UserError, unknown
from robometa.escape import word
from robometa.learners.protocol import Learner
from robometa.policies.manifest import SUITE, PolicyManifest, TrainingRecord, table_of
from robometa.registry import user_file
from robometa.registry.options import read_config
from robometa.storage.open_folder import OpenFolder
from robometa.storage.paths import checked
from robometa.storage.sealed_folder import MANIFEST, TENSORS, load, save
from robometa.suites.portable import portable_files
from robometa.suites.robots import is_shipped
from robometa.suites.suite import Suite
from robometa.trials import make


def save_policy(
    folder: Path,
    learner: Learner,
    name: str,
    suite: Suite,
    training: TrainingRecord,
    card: str,
    *,
    within: OpenFolder | None = None,
    replacing: bool = True,
) -> None:
    """Writes what a learner needs to act and adapt, without what only training needs, its card, and a user's suite.

    Args:
        folder: Folder to write.
        learner: The trained learner.
        name: Name of the learner, or the file and class of a user's own.
        suite: The suite that it was trained on.
        training: Facts of the training.
        card: Text of the card.
        within: The folder to write into, if it is open already.
        replacing: Replace what has the folder's path.

    Raises:
        FileExistsError: If something has the folder's path, and is not to be replaced.
        UserError: If the user's suite or its robot's model cannot be copied.
    """
    state, files = state_of(learner), portable_files(suite)
    description = {
        "kind": "policy",
        "learner": user_file.short(name),
        "config": asdict(learner.config),
        "suite": suite.name,
        "suite_hash": suite.content_hash,
        "spaces": table_of(make.spaces_of(suite, learner)),
        "training": training.to_json(),
    }
    fingerprint = registry.of(name, learner).fingerprint()
    if fingerprint is not None:  # to tell whether the learner's file is still the one; never where to look for it
        description["learner_sha256"] = fingerprint
    if files:
        description["suite_file"] = f"{SUITE}/{next(iter(files))}"
    inside = {f"{SUITE}/{place}": content for place, content in files.items()}
    save(folder, state, description, {"README.md": card, **inside}, within=within, replacing=replacing)


def state_of(learner: Learner) -> dict[str, Tensor]:
    """The tensors that a learner needs to act and adapt, by name."""
    return without_training(learner.state_dict())


def without_training(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a learner's state that acting and adapting needs."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("training/")}


def load_policy(
    folder: Path, suite: Suite | None = None, device: str = "cpu", learner: str | None = None
) -> tuple[Learner, Suite, PolicyManifest]:
    """Loads a trained learner, the suite to run it on, and its manifest.

    Args:
        folder: Folder of the policy.
        suite: Suite to run on; the policy's own if None.
        device: Device of the learner's tensors.
        learner: `FILE.py:CLASS` of a policy that was trained with a user's learner. A manifest names such a file but
            never makes it run.

    Raises:
        UserError: If the folder is not a whole policy, its sizes are not the suite's, its learner's file is not given,
            or its own suite has changed since it was trained (the suite as it is now can be passed).
    """
    state, sealed = load(checked(folder), "policy")
    manifest = PolicyManifest.read(sealed, folder)
    name = user_file.of_policy(manifest.learner, manifest.learner_sha256, learner, folder)
    manifest = replace(manifest, learner=name)
    suite = _own_suite(manifest, folder) if suite is None else suite
    entry = registry.find(name)
    known = make.spaces_of(suite, entry.load())
    if known != manifest.spaces:
        raise UserError(
            f"{folder} was trained with {manifest.spaces.described()}, but suite {suite.name} has {known.described()}"
        )
    if manifest.training.preset not in entry.presets():
        raise UserError(unknown("preset", manifest.training.preset, entry.presets(), str(folder / MANIFEST)))
    return restored(name, manifest.config, suite, state, folder, device), suite, manifest


def restored(
    name: str, options: dict[str, Any], suite: Suite, state: dict[str, Tensor], folder: Path, device: str = "cpu"
) -> Learner:
    """Makes a learner that acts and adapts from its saved tensors.

    Args:
        name: Name of the learner, or the file and class of one of the user's own.
        options: Its options, as JSON holds them.
        suite: Suite to act on.
        state: Tensors by name.
        folder: Folder that they are from, for errors.
        device: Device of the learner's tensors.

    Raises:
        UserError: If the tensors do not fit the options, or are not finite.
    """
    trained = make.build(name, read_config(name, options), suite, seed=0, device=device)
    require_fit(state, state_of(trained), folder / TENSORS, exactly=not user_file.is_reference(name))
    try:
        trained.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder / TENSORS} does not fit its manifest: {error}") from None
    return trained


def _own_suite(manifest: PolicyManifest, folder: Path) -> Suite:
    """Loads the suite that a policy was trained on.

    Raises:
        UserError: If there is none, or it has changed since.
    """
    inside = manifest.suite_file
    suite = suites.load(manifest.suite if inside is None else folder / inside)
    if inside is not None:
        _require_within(suite, folder)
    if suite.content_hash != manifest.suite_hash:
        raise UserError(
            f"suite {manifest.suite} is no longer the one that {folder} was trained on; "
            f"--suite {word(manifest.suite)} runs the policy on it as it is now"
        )
    return suite


def _require_within(suite: Suite, folder: Path) -> None:
    """Checks that a policy's own suite names nothing outside of the policy's folder.

    Raises:
        UserError: If its file or its robot's model is outside, or reached through a link.
    """
    inside = Path(os.path.realpath(folder)) / SUITE
    model = suite.robot.mjcf
    own = model.is_absolute() and not is_shipped(model) and suite.robot.package is None
    for path in (suite.path, model) if own else (suite.path,):
        if not Path(os.path.realpath(path)).is_relative_to(inside):
            raise UserError(f"suite {suite.name} of {folder} names {path}, which is outside of the policy's folder")


def require_fit(state: Mapping[str, Tensor], known: Mapping[str, Tensor], path: Path, *, exactly: bool) -> None:
    """Checks tensors from a file against those of a new learner: their names, kinds, shapes, and finite numbers.

    Args:
        state: Tensors from the file.
        known: Tensors of a new learner.
        path: Path for messages.
        exactly: Names and shapes must be equal; a user's own learner may keep what a new one does not have.

    Raises:
        UserError: Naming the first tensor that does not fit.
    """
    for name in sorted(known.keys() ^ state.keys()) if exactly else ():
        raise UserError(f"{path} does not fit its learner: it {'lacks' if name in known else 'has a surplus'} {name}")
    for name, tensor in state.items():
        one = known.get(name)
        if one is not None and tensor.dtype != one.dtype:
            raise UserError(f"{path} does not fit its learner: {name} must be {one.dtype}, not {tensor.dtype}")
        if exactly and one is not None and tensor.shape != one.shape:
            raise UserError(f"{path} does not fit its learner: {name} is {[*tensor.shape]}, not {[*one.shape]}")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{path}: {name} holds numbers that are not finite; the policy cannot act")

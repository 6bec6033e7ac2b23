"""Policies on disk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from robometa import registry, suites
from robometa.data import Spaces
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.registry import user_file
from robometa.registry.options import read_config
from robometa.storage.sealed_folder import MANIFEST, TENSORS, load, save
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.trials import make


def save_policy(folder: Path, learner: Learner, name: str, suite: Suite, training: dict[str, Any], card: str) -> None:
    """Writes what a learner needs to act and adapt, without what only training needs, and its card."""
    state = state_of(learner)
    description = {
        "kind": "policy",
        "learner": user_file.short(name),
        "config": asdict(learner.config),
        "suite": suite_reference(suite),
        "suite_hash": suite.content_hash,
        "spaces": asdict(make.spaces_of(suite, learner)),
        "training": training,
    }
    fingerprint = registry.of(name, learner).fingerprint()
    if fingerprint is not None:  # to tell whether the learner's file is still the one; never where to look for it
        description["learner_sha256"] = fingerprint
    save(folder, state, description, {"README.md": card})


def state_of(learner: Learner) -> dict[str, Tensor]:
    """The tensors that a learner needs to act and adapt, by name."""
    return {name: tensor for name, tensor in learner.state_dict().items() if not name.startswith("training/")}


def load_policy(
    folder: Path, suite: Suite | None = None, device: str = "cpu", learner: str | None = None
) -> tuple[Learner, Suite, dict[str, Any]]:
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
    state, manifest = load(folder, "policy")
    try:
        name, options, sizes = str(manifest["learner"]), dict(manifest["config"]), Spaces.read(manifest["spaces"])
        manifest["learner"] = name = user_file.of_policy(name, manifest.get("learner_sha256"), learner, folder)
        its_suite, known_hash = manifest["suite"], manifest["suite_hash"]
        if suite is None:
            suite = suites.load(its_suite)
            if suite.content_hash != known_hash:
                raise UserError(
                    f"suite {its_suite} is no longer the one that {folder} was trained on; "
                    f"--suite {its_suite} runs the policy on it as it is now"
                )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{folder / MANIFEST} is damaged: {error!r}") from None
    known = make.spaces_of(suite, registry.find(name).load())
    if known != sizes:
        raise UserError(
            f"{folder} was trained with {sizes.described()}, but suite {suite.name} has {known.described()}"
        )
    trained = make.build(name, read_config(name, options), suite, seed=0, device=device)
    try:
        trained.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder / TENSORS} does not fit its manifest: {error}") from None
    _require_finite(state, folder)
    return trained, suite, manifest


def _require_finite(state: dict[str, Tensor], folder: Path) -> None:
    """Refuses tensors with NaN or infinity: such a policy ends every episode at once, with a return of zero.

    Raises:
        UserError: Naming the first of them.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{folder / TENSORS}: {name} holds numbers that are not finite; the policy cannot act")

"""Merging: the parameters of two policies of one learner, averaged into a new policy."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from robometa.errors import UserError
from robometa.policies import card, policy_folder
from robometa.policies.manifest import MergedPart, PolicyManifest, TrainingRecord
from robometa.registry import user_file
from robometa.storage import sealed_folder
from robometa.storage.paths import checked, name_of_policy, path_without_machine, unwritable
from robometa.storage.versions import versions


def merge(
    first: str | Path,
    second: str | Path,
    weight: float = 0.5,
    *,
    out: str | Path | None = None,
    learner: str | None = None,
) -> Path:
    """Averages two policies of one learner, weight * first + (1 - weight) * second, and returns the new one's folder.

    Tensors without fractions, such as counts, come from the policy with the larger weight. Options and suite are the
    first's.

    Args:
        first: A policy's folder.
        second: Another's, of the same learner and the same sizes.
        weight: Of the first, in 0..1.
        out: Where to write; `policies/FIRST-SECOND-WEIGHT` if None.
        learner: `FILE.py:CLASS`, for policies of your own learner.

    Raises:
        UserError: If the two do not fit, the weight is none, or the output path exists.
    """
    first, second = checked(first), checked(second)
    if not 0 <= weight <= 1:
        raise UserError(f"weight must be from 0 to 1, not {weight}")
    folder = (
        Path(out)
        if out is not None
        else Path("policies") / f"{name_of_policy(first.resolve())}-{name_of_policy(second.resolve())}-{weight:g}"
    )
    exists_already = UserError(f"{folder} exists already: choose another --out")
    if os.path.lexists(checked(folder)):
        raise exists_already
    merged, suite, manifest = policy_folder.load_policy(first, learner=learner)
    other, sealed = sealed_folder.load(second, "policy")
    other_manifest = PolicyManifest.read(sealed, second)
    _check_pair((first, manifest), (second, other_manifest))
    user_file.of_policy(other_manifest.learner, other_manifest.learner_sha256, learner, second)
    tensors = policy_folder.state_of(merged)
    _check_tensors((first, tensors), (second, other))
    policy_folder.require_fit(other, tensors, second / sealed_folder.TENSORS, exactly=True)
    merged.load_state_dict({name: averaged(tensor, other[name], weight) for name, tensor in tensors.items()})
    training = _described((first, manifest), (second, other_manifest), weight)
    name = manifest.learner
    text = card.text(name, merged, suite, training)
    try:
        policy_folder.save_policy(folder, merged, name, suite, training, text, replacing=False)
    except FileExistsError:  # another process has made it meanwhile
        raise exists_already from None
    except OSError as error:
        raise unwritable(folder, error) from None
    return folder


def averaged(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """The weighted mean of two tensors; exactly one of them at the ends, and for numbers that have no fractions."""
    if weight in (0, 1) or not first.is_floating_point():
        return first if weight >= 0.5 else second
    return weight * first + (1 - weight) * second


def _check_pair(first: tuple[Path, PolicyManifest], second: tuple[Path, PolicyManifest]) -> None:
    """Raises the mistake if two policies are of different learners or have other observations and actions."""
    (path, manifest), (other_path, other) = first, second
    names = [user_file.short(one.learner) for one in (manifest, other)]
    if names[0] != names[1]:
        raise UserError(f"{path} is of learner {names[0]} and {other_path} of {names[1]}: only one's can be averaged")
    sizes, others = manifest.spaces, other.spaces
    if sizes != others:
        raise UserError(
            f"{path} has {sizes.described()} and {other_path} {others.described()}: "
            "only policies with the same can be averaged"
        )


def _check_tensors(first: tuple[Path, dict[str, Tensor]], second: tuple[Path, dict[str, Tensor]]) -> None:
    """Raises the mistake if two policies do not have the same tensors."""
    (path, tensors), (other_path, others) = first, second
    shapes, other_shapes = ({name: list(one.shape) for name, one in part.items()} for part in (tensors, others))
    wrong = [name for name in sorted({*shapes, *other_shapes}) if shapes.get(name) != other_shapes.get(name)]
    if wrong:
        raise UserError(
            f"{path} and {other_path} are of different sizes: {wrong[0]} is {shapes.get(wrong[0], 'not')} in one and "
            f"{other_shapes.get(wrong[0], 'not')} in the other" + f", and {len(wrong) - 1} more" * (len(wrong) > 1)
        )


def _described(
    first: tuple[Path, PolicyManifest], second: tuple[Path, PolicyManifest], weight: float
) -> TrainingRecord:
    """Training entry of the manifest: both policies, their hashes and weights, and their total cost."""
    merged = tuple(
        MergedPart(
            path_without_machine(path),
            manifest.tensors_sha256,
            part,
            manifest.suite,
            manifest.training.seed,
        )
        for (path, manifest), part in ((first, weight), (second, 1 - weight))
    )
    training, other = first[1].training, second[1].training
    config, others = first[1].config, second[1].config
    return TrainingRecord(
        seed=training.seed,
        preset=training.preset,
        iterations=training.iterations + other.iterations,
        environment_steps=training.environment_steps + other.environment_steps,
        wall_time_seconds=training.wall_time_seconds + other.wall_time_seconds,
        versions=versions(),
        processors=None,
        last_returns={},
        merged=merged,
        merged_options={name: others.get(name) for name, value in config.items() if others.get(name) != value},
    )

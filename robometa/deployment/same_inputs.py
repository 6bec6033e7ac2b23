"""Test vectors: 200 steps of the learner in simulation, and the exported files on the same inputs."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robometa.compute.hardware import Hardware
from robometa.data import Rollout, Step
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.tensors import Layout, leaves_of
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.policies.policy import Policy
from robometa.trials.make import engine_for
from robometa.trials.trial import torch_on

STEPS = 200
"""Steps of the test vectors."""
TOLERANCE = 1e-5
"""Largest gap between an exported number and the learner's, relative to the numbers above 1."""
MAX_TOLERANCE = 100.0
"""Largest tolerance that an export of int8 weights may name."""
SOURCE = Noise(0, ("export", "vectors"), 1, 1)


@torch.no_grad()
def recorded(policy: Policy, layout: Layout, adapts: bool) -> dict[str, Tensor]:
    """Steps of a policy on the first held-out task, with their inputs and outputs, and an adaptation to them.

    Args:
        policy: Acts and adapts.
        layout: Tensors of its adaptation.
        adapts: Record an adaptation, too.

    Returns:
        `step/NAME` `[time, number]`, `start/NAME`, `end/NAME` and `adapted/NAME` `[1, number]`, by name.
    """
    learner, suite = policy.learner, policy.suite
    adaptation = learner.begin(1, 1, SOURCE)
    names = [part.name for part in layout.parts]
    kept = _named("start", names, adaptation)
    rows: list[tuple[Tensor, ...]] = []
    ends: list[tuple[Tensor, Tensor, Tensor]] = []
    with closing(engine_for(learner, suite, 1, 1, Hardware(threads=1))) as engine, torch_on(1):
        engine.assign([suite.test[0]])
        size = engine.spaces.action
        noise = SOURCE.fork("action").normal(STEPS, size)
        obs = engine.reset(SOURCE.fork("reset"))
        step = Step(obs, torch.zeros(1, 1, size), torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bool))
        for time in range(STEPS):
            action, adaptation = learner.act(adaptation, step, noise[:, :, time])
            outcome = engine.step(action)
            given = (step.obs, step.last_action, step.last_reward, step.last_done, noise[:, :, time], action)
            rows.append(tuple(part.reshape(-1).float() for part in given))
            ends.append((outcome.next_obs[0, 0], outcome.terminated[0, 0], outcome.truncated[0, 0]))
            step = Step(outcome.obs, action, outcome.reward, outcome.terminated | outcome.truncated)
    labels = ("obs", "last_action", "last_reward", "last_done", "noise", "emitted_action")
    columns = zip(labels, zip(*rows, strict=True), strict=True)
    kept |= {f"step/{name}": torch.stack(column) for name, column in columns}
    within = kept["step/emitted_action"].clamp(-1, 1).numpy()
    kept["step/action"] = torch.from_numpy(policy.spaces.in_actuator_units(within)).float()
    kept["step/reward"] = torch.cat((kept["step/last_reward"][1:], step.last_reward.reshape(1, 1)))
    for name, column in zip(("next_obs", "terminated", "truncated"), zip(*ends, strict=True), strict=True):
        kept[f"step/{name}"] = torch.stack(column).float().reshape(STEPS, -1)
    kept |= _named("end", names, adaptation)
    if adapts:
        adapted = learner.adapt(adaptation, rollout_of(kept), SOURCE.fork("adapt"))
        kept |= _named("adapted", names, adapted)
    return kept


def rollout_of(vectors: dict[str, Tensor]) -> Rollout:
    """Rollout of the recorded steps, in one world. `[1, 1, time, ...]`."""

    def column(name: str) -> Tensor:
        return vectors[f"step/{name}"][None, None]

    terminated, truncated = (column(name)[..., 0] > 0.5 for name in ("terminated", "truncated"))
    truncated[..., -1] = ~terminated[..., -1]
    none = torch.zeros_like(terminated)
    actions = column("emitted_action")
    reward = column("reward")[..., 0]
    return Rollout(column("obs"), actions, reward, column("next_obs"), terminated, truncated, none, none)


def largest_gap(exported: ExportedLearner, vectors: dict[str, Tensor]) -> float:
    """Largest gap between the recorded outputs and those of exported files on the recorded inputs.

    Every number above 1 counts relative to the largest of its tensor.
    """
    names = [part["name"] for part in exported.contract["adaptation"]]
    carried = {name: vectors[f"start/{name}"].numpy() for name in names}
    labels = ("obs", "last_action", "last_reward", "last_done", "noise")
    gaps = []
    for time in range(len(vectors["step/obs"])):
        given = [vectors[f"step/{name}"][time] for name in labels]
        emitted, action, carried = exported.step(carried, *given)
        gaps.append(_gap(emitted, vectors["step/emitted_action"][time]))
        gaps.append(_gap(action, vectors["step/action"][time]))
    gaps += [_gap(carried[name], vectors[f"end/{name}"]) for name in names]
    if any(name.startswith("adapted/") for name in vectors):
        (adapted,) = exported.adapt([[carried]], rollout_of(vectors), SOURCE.fork("adapt"))[0]
        gaps += [_gap(adapted[name], vectors[f"adapted/{name}"]) for name in names]
    return max(gaps)


def require_equal(gap: float, tolerance: float = TOLERANCE) -> None:
    """Checks a gap.

    Raises:
        UserError: If it is above the tolerance.
    """
    if not gap <= tolerance:
        raise UserError(
            f"the exported files differ from the policy by {gap:.2g} on equal inputs, above {tolerance:.2g}"
        )


def _gap(actual: Any, wanted: Tensor) -> float:
    wanted_numbers = wanted.numpy().reshape(-1)
    return float(np.abs(actual.reshape(-1) - wanted_numbers).max() / max(1.0, np.abs(wanted_numbers).max()))


def _named(prefix: str, names: list[str], adaptation: Any) -> dict[str, Tensor]:
    leaves = leaves_of(adaptation)
    return {
        f"{prefix}/{name}": leaf.detach().reshape(1, -1).float().clone()
        for name, leaf in zip(names, leaves, strict=True)
    }

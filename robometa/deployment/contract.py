"""The contract of an export: every number that goes in and out, in words that a robot's programmer needs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np
from safetensors import torch as safetensors

from robometa.deployment.adapt_graph import AdaptGraph
from robometa.deployment.exported_learner import DRAWN, encoded
from robometa.deployment.tensors import Layout
from robometa.escape import printable
from robometa.learners.protocol import Learner
from robometa.nn.normalizer import Normalizer
from robometa.policies.policy import Policy
from robometa.policies.policy_folder import state_of
from robometa.sim.oracle import HiddenNumbers
from robometa.sim.signal import RobotSpaces, Signal
from robometa.sim.signals import joints
from robometa.storage.versions import installed
from robometa.suites.suite import Suite

FORMAT = 1
"""Version of the contract's format."""
LAST_ACTION = "emitted_action of the step before, unclipped; zeros at the first step after a reset"
LAST_REWARD = "reward of the step before; 0 at the first step after a reset"
LAST_DONE = "1 if the step before ended an episode, else 0"
NOISE = "zeros for the mean action; standard normal numbers to explore"


def contract_of(
    policy: Policy,
    layout: Layout,
    adapt: AdaptGraph | None,
    *,
    shots: int,
    task: str,
    license_text: str,
    weights: str = "float32",
) -> dict[str, Any]:
    """Describes an export.

    Args:
        policy: The policy that is exported.
        layout: Tensors of its adaptation.
        adapt: Graph of its adaptation, if there is one.
        shots: Adaptations that are baked in.
        task: Description of the task that these adapted to.
        license_text: Licence of the policy.
        weights: Kind of the step's weights, `float32` or `int8`.
    """
    learner, suite, spaces = policy.learner, policy.suite, policy.spaces
    revealed = HiddenNumbers(suite).names if learner.sees_parameters else ()
    numbers = [Signal(f"task/{name}", "1") for name in revealed]
    plugs = plugs_of(suite, spaces)
    plugs["observation"] = _normalized([*plugs["observation"], *map(_observed, numbers)], learner)
    rest = [*joints(suite).rest] or [0.0] * len(spaces.action)
    for value, one in zip(rest, plugs["action"], strict=True):
        one["safe"] = float(min(max(value, one["low"]), one["high"]))
    return {
        "format": FORMAT,
        "robometa": installed("robometa"),
        "license": license_text,
        "learner": policy.learner_name,
        "weights": weights,
        "suite": suite.name,
        "suite_hash": suite.content_hash,
        "policy_sha256": hashlib.sha256(_tensors(learner)).hexdigest(),
        "control_dt": 1 / spaces.control_hz,
        "horizon": suite.horizon,
        "told": list(revealed),
        **plugs,
        "inputs": {
            "last_action": LAST_ACTION,
            "last_reward": LAST_REWARD,
            "last_done": LAST_DONE,
            "noise": NOISE,
        },
        "adaptation": [
            {
                "name": part.name,
                "size": part.initial.shape[1],
                "initial": DRAWN if part.drawn else encoded(part.initial),
                "changed_by": "step" if part.acts else "adapt",
            }
            for part in layout.parts
        ],
        "adapt": {
            "file": "adapt.onnx" if adapt else None,
            "columns": list(adapt.columns) if adapt else [],
            "pools_worlds": learner.pools_worlds,
            "baked_shots": shots,
            "baked_task": task,
        },
        "robot": _robot(policy),
    }


def plugs_of(suite: Suite, spaces: RobotSpaces) -> dict[str, Any]:
    """Describes what goes between a policy of a suite and its robot, whatever the policy."""
    middle, half = spaces.middle_and_half
    return {
        "control_hz": spaces.control_hz,
        "observation": [_observed(one) for one in spaces.observation],
        "commands": [] if suite.command is None else list(suite.command.names),
        "action_delay": list(suite.robot.real.action_delay) if suite.robot.real else [0.0, 0.0],
        "action": [
            _signal(one) | {"offset": float(m), "scale": float(h)}
            for one, m, h in zip(spaces.action, middle, half, strict=True)
        ],
    }


def metadata(contract: dict[str, Any]) -> dict[str, str]:
    """The contract as texts of an ONNX file: itself as JSON, and its facts under mjlab's names.

    mjlab's path of its run is left out, because it names a machine.
    """
    robot, observation, action = contract["robot"], contract["observation"], contract["action"]
    clips = [one["clip"] or ("-inf", "inf") for one in observation]
    return {
        "robometa_contract": text_of(contract),
        "joint_names": _csv(robot["joint_names"]),
        "joint_stiffness": _csv(robot["joint_stiffness"]),
        "joint_damping": _csv(robot["joint_damping"]),
        "default_joint_pos": _csv(robot["default_joint_pos"]),
        "command_names": _csv(contract["commands"]),
        "observation_names": _csv(one["name"] for one in observation),
        "observation_terms_scale": _csv(one["scale"] for one in observation),
        "observation_terms_clip": _csv(f"({low};{high})" for low, high in clips),
        "observation_terms_history_length": _csv("0" for _ in observation),
        "observation_terms_flatten_history_dim": _csv("True" for _ in observation),
        "action_scale": _csv(one["scale"] for one in action),
    }


def text_of(contract: dict[str, Any]) -> str:
    """The contract as JSON, the same bytes every time."""
    return json.dumps(contract, indent=1, sort_keys=True, allow_nan=False) + "\n"


@runtime_checkable
class NormalizesObservations(Protocol):
    """A learner that normalizes its observations."""

    observations: Normalizer | None


def _normalized(observed: Sequence[dict[str, Any]], learner: Learner) -> list[dict[str, Any]]:
    """Adds mean and standard deviation in training, by which the graph normalizes an observation, if it does."""
    described = [one | {"mean": None, "std": None} for one in observed]
    normalizer = learner.observations if isinstance(learner, NormalizesObservations) else None
    if normalizer is not None:
        spread = normalizer.variance.sqrt().tolist()
        for one, mean, std in zip(described, normalizer.mean.tolist(), spread, strict=True):
            one |= {"mean": mean, "std": std}
    return described


def _signal(one: Signal) -> dict[str, Any]:
    low, high = (end if isfinite(end) else None for end in (one.low, one.high))
    return {"name": printable(one.name), "unit": one.unit, "low": low, "high": high}


def _observed(one: Signal) -> dict[str, Any]:
    """A number that a policy sees: clip(value - offset) times scale, of a value that is so many seconds old."""
    return _signal(one) | {
        "offset": one.offset,
        "clip": list(one.clip) if one.clip else None,
        "scale": one.scale,
        "delay": one.delay,
        "frame": one.frame or None,
        "noise": one.noise,
        "noise_kind": ("normal" if one.normal else "uniform") if one.noise else None,
        "bias": one.bias,
        "measured": one.measured,
    }


def _robot(policy: Policy) -> dict[str, Any]:
    parts = joints(policy.suite)
    return {
        "name": policy.suite.robot.name,
        "joint_names": list(parts.names),
        "default_joint_pos": list(parts.default),
        "actuated_joint_names": list(parts.actuated),
        "joint_stiffness": list(parts.stiffness),
        "joint_damping": list(parts.damping),
    }


def _tensors(learner: Learner) -> bytes:
    """The content of the policy's `tensors.safetensors`."""
    return safetensors.save(
        {name: value.detach().cpu().contiguous().clone() for name, value in state_of(learner).items()}
    )


def _csv(values: Iterable[object]) -> str:
    """A line of comma-separated values; a float has all its digits."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(
        [float(one) if isinstance(one, np.floating) else one for one in values]
    )
    return text.getvalue()

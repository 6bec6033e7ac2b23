"""Makes a learner and an engine that fit each other, from a name, a configuration and the suite to act on."""

from __future__ import annotations

from typing import Any

import torch

from robometa import registry
from robometa.compute.hardware import ALL_PROCESSORS, Hardware
from robometa.data import Spaces
from robometa.errors import UserError, unknown
from robometa.learners.protocol import Learner, sees_parameters
from robometa.sim.engine import Engine
from robometa.sim.select import engine_of, on_warp, warp_engine
from robometa.suites.suite import Suite


def build(name: str, config: Any, suite: Suite, seed: int, device: str = "cpu") -> Learner:
    """Builds an untrained learner for a suite.

    Args:
        name: The learner's name, or the file and class of one of the user's own.
        config: Its configuration.
        suite: The suite whose observations and actions it is built for.
        seed: The seed of its weights.
        device: The device of its tensors.

    Raises:
        UserError: If there is no such learner, or the device is not there.
    """
    _check_device(device)
    # A memory that acts step by step and one that is trained on sequences must agree to more than TF32 holds.
    torch.backends.cudnn.allow_tf32 = False
    kind = registry.find(name).load()
    placed = str(torch.empty(0, device=device).device)  # with its index, as tensors that are there have it
    return kind(config, spaces_of(suite, kind), seed, placed)


def _check_device(name: str) -> None:
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    known += ["cuda"] if len(known) > 1 else []
    if name not in known:
        raise UserError(unknown("device", name, known, "this machine"))


def spaces_of(suite: Suite, learner: Learner | type[Learner] | None = None) -> Spaces:
    """How many numbers a policy sees and emits on a suite; an oracle sees more."""
    return engine_for(learner, suite, tasks=1, worlds=1, hardware=Hardware(threads=1)).spaces


def engine_for(
    learner: Learner | type[Learner] | None,
    suite: Suite,
    tasks: int,
    worlds: int,
    hardware: Hardware = ALL_PROCESSORS,
) -> Engine:
    """An engine that a learner can act in: what tasks hide is told to an oracle, and to nobody else.

    Args:
        learner: Who acts, or its class.
        suite: Whose robot and objective.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        hardware: Engine, its threads, and its contact capacity.

    Raises:
        UserError: If there is no such engine, or what it needs is not installed.
    """
    tells = sees_parameters(learner)
    if on_warp(hardware.engine, suite):
        device = torch.device("cpu") if learner is None or isinstance(learner, type) else learner.device
        return warp_engine(suite, tasks, worlds, tells, device, hardware.contact_capacity)
    return engine_of(suite, tasks, worlds, hardware.threads, tells)

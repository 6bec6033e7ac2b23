"""Makes a learner and an engine that fit each other, from a name, a configuration and the suite to act on."""

from __future__ import annotations

from dataclasses import replace

import torch

from robometa import registry
from robometa.compute.hardware import ALL_PROCESSORS, Hardware
from robometa.data import Spaces
from robometa.errors import UserError, unknown
from robometa.learners.protocol import Learner, Options, sees_parameters
from robometa.sim.engine import Engine
from robometa.sim.oracle import HiddenNumbers
from robometa.sim.select import engine_of, on_warp, warp_engine
from robometa.suites.suite import Suite


def build(name: str, config: Options, suite: Suite, seed: int, device: str = "cpu") -> Learner:
    """Builds an untrained learner for a suite.

    Args:
        name: The learner's name, or the file and class of one of the user's own.
        config: Its configuration.
        suite: The suite that it is built for.
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
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    devices += ["cuda"] if len(devices) > 1 else []
    if name not in devices:
        meant = ["cuda"] if name in ("gpu", "GPU", "nvidia") else []
        why = "" if len(devices) > 1 else " (torch finds no GPU here; `robometa doctor` says more)"
        raise UserError(unknown("device", name, devices, "this machine", meant) + why)


def spaces_of(suite: Suite, learner: Learner | type[Learner] | None = None) -> Spaces:
    """Returns the sizes of observations and actions on a suite; an oracle's observations are longer."""
    spaces = engine_for(learner, suite, tasks=1, worlds=1, hardware=Hardware(threads=1)).spaces
    if learner is not None and learner.trains_on_parameters:
        return replace(spaces, privileged=HiddenNumbers(suite).names)
    return spaces


def engine_for(
    learner: Learner | type[Learner] | None,
    suite: Suite,
    tasks: int,
    worlds: int,
    hardware: Hardware = ALL_PROCESSORS,
    *,
    training: bool = False,
) -> Engine:
    """Makes an engine that a learner can act in; an oracle's observations end with the tasks' hidden parameters.

    Args:
        learner: The learner that acts, or its class.
        suite: The suite of the tasks.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        hardware: Engine, its threads, and its contact capacity.
        training: Reveal the parameters to a learner that observes them in training only, too.

    Raises:
        UserError: If there is no such engine, or what it needs is not installed.
    """
    reveals = sees_parameters(learner, training=training)
    if on_warp(hardware.engine, suite):
        device = torch.device("cpu") if learner is None or isinstance(learner, type) else learner.device
        return warp_engine(suite, tasks, worlds, reveals, device, hardware.contact_capacity)
    return engine_of(suite, tasks, worlds, hardware.threads, reveals)

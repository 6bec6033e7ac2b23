"""Makes a learner and an engine that fit each other, from a name, options and the suite to act on."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_args, get_type_hints

import torch

from robometa import registry
from robometa.data import Spaces
from robometa.errors import UserError, of_kind, unknown
from robometa.learners.protocol import Learner, sees_parameters
from robometa.sim.engine import Engine
from robometa.sim.select import engine_of, on_warp, warp_engine
from robometa.suites.suite import Suite


def build(name: str, options: dict[str, Any], suite: Suite, seed: int, device: str = "cpu") -> Learner:
    """An untrained learner for a suite, its options as they came out of JSON.

    Raises: UserError: If an option is not the learner's, or the device is not there.
    """
    _check_device(device)
    # A memory that acts step by step and one that is trained on sequences must agree to more than TF32 holds.
    torch.backends.cudnn.allow_tf32 = False
    entry = registry.find(name)
    kind = entry.load()
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    _check_kinds(name, kind.configuration, options)
    try:
        config = kind.configuration(**entry.overrides | options)
    except (TypeError, ValueError) as error:
        raise UserError(f"learner {name}: {error}") from None
    placed = str(torch.empty(0, device=device).device)  # with its index, as tensors that are there have it
    return kind(config, spaces_of(suite, kind), seed, placed)


def _check_kinds(name: str, configuration: type, options: dict[str, Any]) -> None:
    """Returns if options are of the kinds that their defaults are: those of a file may be anything.

    Raises: UserError: With every one that is not.
    """
    hints = get_type_hints(configuration)
    wrong = [
        f"learner {name}: option {field.name} must be something like {field.default}, not {options[field.name]!r:.100}"
        for field in fields(configuration)
        if field.name in options
        and field.default is not MISSING
        and type(None) not in get_args(hints[field.name])
        and not of_kind(options[field.name], field.default)
    ]
    if wrong:
        raise UserError("\n".join(wrong))


def _check_device(name: str) -> None:
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    known += ["cuda"] if len(known) > 1 else []
    if name not in known:
        raise UserError(unknown("device", name, known, "this machine"))


def spaces_of(suite: Suite, learner: Learner | type[Learner] | None = None) -> Spaces:
    """How many numbers a policy sees and emits on a suite; an oracle sees more."""
    return engine_for(learner, suite, tasks=1, worlds=1, threads=1).spaces


def engine_for(
    learner: Learner | type[Learner] | None,
    suite: Suite,
    tasks: int,
    worlds: int,
    threads: int | None = None,
    engine: str = "cpu",
    room: float = 1.0,
) -> Engine:
    """An engine that a learner can act in: what tasks hide is told to an oracle, and to nobody else.

    Args:
        learner: Who acts, or its class.
        suite: Whose robot and objective.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        threads: Threads that step them on the CPU; all processors if None.
        engine: `cpu`, `warp`, or `auto`.
        room: For how many times as many contacts as nearly always suffice MuJoCo Warp shall have memory.
    Raises: UserError: If there is no such engine, or what it needs is not installed.
    """
    tells = sees_parameters(learner)
    if on_warp(engine, suite):
        device = torch.device("cpu") if learner is None or isinstance(learner, type) else learner.device
        return warp_engine(suite, tasks, worlds, tells, device, room)
    return engine_of(suite, tasks, worlds, threads, tells)

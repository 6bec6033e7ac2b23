"""Policies on disk, and what a learner is built from: its name, its options, and the suite that it acts on."""

from __future__ import annotations

from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

from robometa import learners, suites
from robometa.data import Spaces
from robometa.errors import UserError, of_kind, unknown
from robometa.learners import own
from robometa.learners.protocol import Learner, sees_parameters
from robometa.sealed import MANIFEST, TENSORS, load, save
from robometa.sim.engines import engine_of
from robometa.sim.protocol import Engine
from robometa.sim.warp_choice import on_warp, warp_engine
from robometa.suites import Suite


def save_policy(folder: Path, learner: Learner, name: str, suite: Suite, training: dict[str, Any], card: str) -> None:
    """Writes what a learner needs to act and adapt, without what only training needs, and its card."""
    state = {key: value for key, value in learner.state().items() if not key.startswith("training/")}
    description = {
        "kind": "policy",
        "learner": own.short(name),
        "config": asdict(learner.config),
        "suite": suite_reference(suite),
        "suite_hash": suite.content_hash,
        "spaces": asdict(spaces_of(suite, learner)),
        "training": training,
    }
    fingerprint = learners.of(name, learner).fingerprint()
    if fingerprint is not None:  # to tell whether the learner's file is still the one; never where to look for it
        description["learner_sha256"] = fingerprint
    save(folder, state, description, {"README.md": card})


def load_policy(
    folder: Path, suite: Suite | None = None, device: str = "cpu", learner: str | None = None
) -> tuple[Learner, Suite, dict[str, Any]]:
    """A trained learner, the suite to run it on, and its manifest.

    Args:
        folder: The policy's.
        suite: Its own if None.
        device: Where the learner's tensors shall be.
        learner: `FILE.py:CLASS` of a policy that was trained with a learner of somebody's own. A manifest names such a
            file but never makes it run.
    Raises: UserError: If the folder is not a whole policy, its sizes are not the suite's, its learner's file is not
        given, or its own suite has changed since it was trained (the suite as it is now can be passed).
    """
    state, manifest = load(folder, "policy")
    try:
        name, options, sizes = str(manifest["learner"]), dict(manifest["config"]), Spaces.read(manifest["spaces"])
        manifest["learner"] = name = own.of_policy(name, manifest.get("learner_sha256"), learner, folder)
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
    known = spaces_of(suite, learners.find(name).load())
    if known != sizes:
        raise UserError(
            f"{folder} was trained with {sizes.described()}, but suite {suite.name} has {known.described()}"
        )
    trained = build(name, options, suite, seed=0, device=device)
    try:
        trained.load(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder / TENSORS} does not fit its manifest: {error}") from None
    return trained, suite, manifest


def build(name: str, options: dict[str, Any], suite: Suite, seed: int, device: str = "cpu") -> Learner:
    """An untrained learner for a suite, its options as they came out of JSON.

    Raises: UserError: If an option is not the learner's, or the device is not there.
    """
    _check_device(device)
    # A memory that acts step by step and one that is trained on sequences must agree to more than TF32 holds.
    torch.backends.cudnn.allow_tf32 = False
    entry = learners.find(name)
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


def suite_reference(suite: Suite) -> str:
    """By what a suite is found again: its name if it is a shipped one, else its file."""
    shipped = suites.folder().resolve()
    return suite.name if suite.path.parent.resolve() in (shipped, shipped / "metaworld") else str(suite.path)

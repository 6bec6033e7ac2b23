"""Reads the files of an export, which a stranger may have written: every entry and tensor by kind, range and shape."""

from __future__ import annotations

import base64
import binascii
import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, float32

from robometa import suites
from robometa.deployment.contract import FORMAT
from robometa.deployment.exported_learner import DRAWN
from robometa.deployment.int8 import WEIGHTS
from robometa.deployment.places import ADAPT, CONTRACT, STEP, VECTORS
from robometa.deployment.same_inputs import MAX_TOLERANCE, TOLERANCE
from robometa.errors import UserError, unknown
from robometa.storage.open_folder import opened
from robometa.storage.table import Table
from robometa.suites.shipped import is_shipped
from robometa.suites.suite import Suite

MAX_BYTES = {CONTRACT: 1 << 26, STEP: 1 << 30, ADAPT: 1 << 30, VECTORS: 1 << 30}
"""Largest files that are read, bytes."""
MAX_SIGNALS, MAX_NUMBERS = 10_000, 10_000_000
"""Most observations or actions, and most numbers of an adaptation, or of all draws of a comparison."""
MAX_TASKS, MAX_WORLDS, MAX_STEPS = 1000, 1000, 10_000
"""Most tasks, and worlds of each, of a comparison; most steps of the test vectors."""


def files(folder: Path) -> dict[str, bytes]:
    """Contents of an export's files, by name; follows no link in the folder.

    Raises:
        UserError: If the folder or a file is missing, or one is no plain file, or too large.
    """
    contents = {}
    try:
        with opened(folder) as place:
            for name, most in MAX_BYTES.items():
                try:
                    status = place.status(name)
                except FileNotFoundError:
                    if name == ADAPT:
                        continue
                    raise
                if not stat.S_ISREG(status.st_mode):
                    raise UserError(f"{folder / name} is damaged: it is no file, or a link")
                if status.st_size > most:
                    raise UserError(f"{folder / name} is damaged: it has more than {most} bytes")
                with place.file(name, "rb") as file:
                    contents[name] = file.read(most)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder} is no export: it lacks {error.filename}; `robometa export` writes one") from None
    return contents


def contract(folder: Path, content: bytes) -> Table:
    """Reads a contract.

    Raises:
        UserError: Naming the entry that is missing, of another kind, or out of its range.
    """
    path = folder / CONTRACT
    try:
        entries = Table(json.loads(content), str(path))
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged: it is not JSON") from None
    if entries.whole("format") != FORMAT:
        raise UserError(f"{path} is of format {entries.whole('format')}, and this version reads {FORMAT}")
    for name in ("suite", "suite_hash", "learner"):
        entries.text(name)
    for name in ("observation", "action"):
        for signal in entries.tables(name, MAX_SIGNALS):
            if not signal.text("name").isprintable():
                raise UserError(f"{signal.where} is damaged: name has signs that cannot be shown")
    entries.number("control_hz", 0)
    entries.whole("horizon", 1)
    if STEP not in entries.texts("sha256"):
        raise UserError(f"{path} is damaged: sha256 lacks {STEP}")
    adapt = entries.table("adapt")
    if not isinstance(adapt.content.get("pools_worlds"), bool):
        raise UserError(f"{adapt.where} is damaged: pools_worlds must be true or false")
    hidden = entries.content.get("told")
    if not isinstance(hidden, list) or len(hidden) > MAX_SIGNALS or not all(isinstance(one, str) for one in hidden):
        raise UserError(f"{path} is damaged: told must be a list of texts")
    tolerance(entries)
    _adaptation(entries)
    _returns(entries.table("returns"))
    return entries


def tolerance(entries: Table) -> float:
    """Largest gap that an export may have: of int8 weights as its contract has it, else that of float32.

    Raises:
        UserError: If the contract names other weights, or a tolerance out of its range.
    """
    weights = entries.optional("weights", entries.text) or WEIGHTS[0]
    if weights not in WEIGHTS:
        raise UserError(unknown("weights", weights, WEIGHTS, entries.where))
    return TOLERANCE if weights == WEIGHTS[0] else entries.number("tolerance", TOLERANCE, MAX_TOLERANCE)


def shipped_suite(entries: Table) -> Suite:
    """The shipped suite that a contract names.

    Raises:
        UserError: If it is not a shipped one, or its robot is not here.
    """
    name = entries.text("suite")
    if not is_shipped(name):
        raise UserError(f"{entries.where} is of a suite of your own, {name}: name its file by --suite ./{name}.toml")
    return suites.load(name)


def require_suite(entries: Table, suite: Suite) -> None:
    """Checks that a contract is of a suite.

    Raises:
        UserError: If it is of another, or names tasks that the suite does not have.
    """
    if suite.content_hash != entries.text("suite_hash"):
        raise UserError(f"suite {suite.name} is not the one of {entries.where}; --suite names another")
    last = max(entries.content["returns"]["tasks"])
    if last >= len(suite.test):
        raise UserError(f"{entries.where} is damaged: suite {suite.name} has no held-out task {last}")


def vectors(folder: Path, content: bytes, entries: Table, *, adapts: bool) -> dict[str, Tensor]:
    """Reads the test vectors.

    Raises:
        UserError: If a tensor is missing, or of another kind or shape.
    """
    path = folder / VECTORS
    try:
        tensors: dict[str, Tensor] = safetensors.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:200]}") from None
    steps = tensors["step/obs"].shape[0] if "step/obs" in tensors and tensors["step/obs"].dim() == 2 else 0
    if not 1 <= steps <= MAX_STEPS:
        raise UserError(f"{path} is damaged: step/obs must have 1 to {MAX_STEPS} rows")
    for name, shape in _shapes(entries, steps, adapts=adapts).items():
        value = tensors.get(name)
        if value is None or tuple(value.shape) != shape or value.dtype != float32 or not bool(value.isfinite().all()):
            raise UserError(f"{path} is damaged: {name} must be finite float32 numbers of shape {shape}")
    return tensors


def _shapes(entries: Table, steps: int, *, adapts: bool) -> dict[str, tuple[int, int]]:
    """Shape of every tensor of the test vectors."""
    obs, action = (len(entries.content[name]) for name in ("observation", "action"))
    columns = dict.fromkeys(("last_reward", "last_done", "reward", "terminated", "truncated"), 1)
    columns |= {"obs": obs, "next_obs": obs} | dict.fromkeys(
        ("last_action", "noise", "emitted_action", "action"), action
    )
    places = ("start", "end", "adapted") if adapts else ("start", "end")
    parts = {f"{place}/{part['name']}": (1, part["size"]) for place in places for part in entries.content["adaptation"]}
    return parts | {f"step/{name}": (steps, size) for name, size in columns.items()}


def _adaptation(entries: Table) -> None:
    """Checks the tensors of an adaptation."""
    numbers, returns = 0, entries.table("returns")
    for part in entries.tables("adaptation"):
        size, initial, name = part.whole("size", 1, MAX_NUMBERS), part.content.get("initial"), part.text("name")
        numbers += size
        if initial == DRAWN:
            drawn = size * returns.whole("worlds", 1, MAX_WORLDS) * len(_tasks(returns))
            numbers += drawn
        elif not _is_encoded(initial, size):
            raise UserError(f"{part.where} is damaged: initial must be {size} finite numbers as base64 ({name!r:.100})")
        if numbers > MAX_NUMBERS:
            raise UserError(f"{entries.where} is damaged: its adaptation has more than {MAX_NUMBERS} numbers")


def _is_encoded(initial: Any, size: int) -> bool:
    """Tests if a text is so many finite numbers, as base64 of little-endian float32."""
    if not isinstance(initial, str):
        return False
    try:
        content = base64.b64decode(initial, validate=True)
    except (ValueError, binascii.Error):
        return False
    return len(content) == 4 * size and bool(np.isfinite(np.frombuffer(content, "<f4")).all())


def _tasks(returns: Table) -> list[int]:
    """Indices of the tasks of a comparison."""
    tasks = returns.content.get("tasks")
    if not isinstance(tasks, list) or not 1 <= len(tasks) <= MAX_TASKS:
        raise UserError(f"{returns.where} is damaged: tasks must be a list of 1 to {MAX_TASKS} whole numbers")
    return [Table({"task": one}, returns.where).whole("task") for one in tasks]


def _returns(returns: Table) -> None:
    """Checks a comparison of returns."""
    if len({*_tasks(returns)}) < len(returns.content["tasks"]):
        raise UserError(f"{returns.where} is damaged: a task comes twice")
    returns.whole("worlds", 1, MAX_WORLDS)
    shots, rows = returns.whole("shots", 0, 1), returns.content.get("by_shot")
    if not isinstance(rows, list) or len(rows) != shots + 1:
        raise UserError(f"{returns.where} is damaged: by_shot must have {shots + 1} rows")
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise UserError(f"{returns.where} is damaged: a row of by_shot has three numbers")
        for value in row:
            Table({"by_shot": value}, returns.where).number("by_shot")

"""Everything that loads a file, as something that takes bytes and must raise typed errors only."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from robometa import suites
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.registry import user_file
from robometa.storage import sealed_folder
from robometa.storage.json_lines import Lines
from robometa.training import divergence_dumps
from robometa.training.run_folder import RunFolder
from robometa.training.train import rebuilt
from torture.trainings import SUITE

MOST = 300
"""The largest whole number that is put into a manifest: how much memory larger ones may take is asked elsewhere."""
DEEPEST = 50
"""Lists and tables that are put into one another."""


class Loader(Protocol):
    """Takes bytes as a file's content, or as choices of what to change in one."""

    def seeds(self) -> list[bytes]:
        """Inputs to begin with."""
        ...

    def load(self, content: bytes) -> None:
        """Loads them; anything but a typed error comes out."""
        ...


class _Bytes:
    """The content of one file, as it is."""

    def __init__(self, path: Path, load: Callable[[], object], seeds: list[bytes]) -> None:
        self.path, self._load, self._seeds = path, load, seeds

    def seeds(self) -> list[bytes]:
        return self._seeds

    def load(self, content: bytes) -> None:
        self.path.write_bytes(content)
        with suppress(UserError):
            self._load()


class _Table:
    """A table in which some entries are others; the bytes choose which."""

    def __init__(self, table: dict[str, Any], write: Callable[[dict[str, Any]], object], load: Any) -> None:
        self.table, self._write, self._load = table, write, load

    def seeds(self) -> list[bytes]:
        return [bytes([first, second]) * 8 for first in range(0, 250, 10) for second in (3, 77)]

    def load(self, content: bytes) -> None:
        table, choices = json.loads(json.dumps(self.table)), Choices(content)
        for _ in range(1 + choices.below(3)):
            change(table, choices)
        self._write(table)
        with suppress(UserError):
            self._load()


class Choices:
    """Choices that bytes make; none is left at their end."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def below(self, limit: int) -> int:
        """A whole number below a limit."""
        self.place += 1
        byte = self.content[self.place - 1] if self.place <= len(self.content) else 0
        return byte % limit

    def value(self, depth: int = DEEPEST) -> Any:
        """Some JSON, nested no deeper than this: the bytes that are loaded as they are nest deeper."""
        kind = self.below(12)
        if kind < 3:
            return self.below(256) * (MOST / 255 if kind == 2 else 1) - (kind == 1) * 128
        if kind in (3, 4) and not depth:
            return None
        if kind == 3:
            return [self.value(depth - 1) for _ in range(self.below(4))]
        if kind == 4:
            return {self.word(): self.value(depth - 1) for _ in range(self.below(4))}
        if kind < 7:
            return self.word()
        return (None, True, False, float("nan"), float("inf"))[kind - 7]

    def word(self) -> str:
        """A text that means something, or one that does not."""
        return WORDS[self.below(len(WORDS))]


WORDS = ("", "hidden", "worlds", "maml-trpo", "rl2", "point-robot", "ant-goal", "/dev/null", "../x", "x.py:X", "\ud800")
WORDS += ("float32", "0" * 64, "tensors.safetensors", "policy", "a\0b", "\x1b[2J", "cpu", "meta", "é" * 300)


def change(table: Any, choices: Choices) -> None:
    """Changes one entry of a table, somewhere."""
    while True:
        keys = list(table) if isinstance(table, dict) else list(range(len(table)))
        if not keys:
            return
        key = keys[choices.below(len(keys))]
        if isinstance(table[key], dict | list) and table[key] and choices.below(3):
            table = table[key]
            continue
        if isinstance(table, dict) and choices.below(4) == 0:
            del table[key]
        else:
            table[key] = choices.value()
        return


def _suite(run: Path) -> Loader:
    path = run.parent / "fuzzed.toml"
    shipped = [file.read_bytes() for file in sorted(suites.folder().glob("*.toml"))[:6]]
    return _Bytes(path, lambda: suites.load(path), [SUITE.encode(), *shipped])


def _manifest(run: Path) -> Loader:
    path = run / "policy" / sealed_folder.MANIFEST
    return _Bytes(path, lambda: sealed_folder.load(path.parent, "policy"), [path.read_bytes()])


def _policy(run: Path) -> Loader:
    policy = run / "policy"
    manifest = sealed_folder.read_manifest(policy)
    return _Table(
        manifest, lambda table: sealed_folder.write_manifest(policy, table), lambda: policy_folder.load_policy(policy)
    )


def _tensors(run: Path) -> Loader:
    policy = run / "policy"
    path, manifest = policy / sealed_folder.TENSORS, sealed_folder.read_manifest(policy)

    def seal() -> None:
        digests = manifest["files"] | {sealed_folder.TENSORS: sealed_folder.sha256(path)}
        sealed_folder.write_manifest(policy, manifest | {"files": digests})

    return _Bytes(path, lambda: policy_folder.load_policy(policy), [path.read_bytes()], seal)


def _shards(run: Path) -> Loader:
    folder = run.parent / "shards"
    sealed_folder.save(folder, {"w": torch.zeros(600_000)}, {"kind": "checkpoint"}, sharded=True)
    return _Table(
        sealed_folder.read_manifest(folder),
        lambda table: sealed_folder.write_manifest(folder, table),
        lambda: sealed_folder.load(folder, "checkpoint"),
    )


def _configuration(run: Path) -> Loader:
    folder = RunFolder(run)
    return _Bytes(run / "run.json", folder.configuration, [(run / "run.json").read_bytes()])


def _run(run: Path) -> Loader:
    folder = RunFolder(run)

    def load() -> None:
        config = folder.configuration()
        rebuilt(folder, config, config.learner, threads=1, collect="here").close()

    path = run / "run.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    return _Table(table, lambda table: path.write_text(json.dumps(table), encoding="utf-8"), load)


def _lines(run: Path) -> Loader:
    path = run / "metrics.jsonl"
    return _Bytes(path, lambda: Lines(path).cut(2), [path.read_bytes()])


def _dump(run: Path) -> Loader:
    folder, (suite, task) = run.parent / "dump", (suites.load("point-robot"), 0)
    described = {"kind": divergence_dumps.DUMP_KIND, "suite": "point-robot", "suite_hash": suite.content_hash}
    counts = {"task": task, "world": 0, "step": 1, "iteration": 0, "drawn_from": None}
    tensors = {"physics": torch.zeros(9, dtype=torch.float64), "sensors": torch.zeros(0), "action": torch.zeros(2)}
    sealed_folder.save(folder, tensors, {**described, **counts, "mujoco": "0"})
    return _Table(
        sealed_folder.read_manifest(folder),
        lambda table: sealed_folder.write_manifest(folder, table),
        lambda: divergence_dumps.replay(folder),
    )


def _own_learner(run: Path) -> Loader:
    path = run.parent / "fuzzed.py"
    program = b'"""A learner."""\nclass Mine:\n    """Mine."""\n    def act(self, x): return x if x else [0]\n'
    return _Bytes(path, lambda: user_file.read(f"{path}:Mine"), [program])


LOADERS: dict[str, Callable[[Path], Loader]] = {
    "suite files": _suite,
    "manifests as text": _manifest,
    "manifests of policies": _policy,
    "tables of tensors": _tensors,
    "manifests of checkpoints": _shards,
    "run.json as text": _configuration,
    "run.json as a table": _run,
    "tables of metrics": _lines,
    "dumps of divergences": _dump,
    "files of learners": _own_learner,
}
"""Loaders that are fuzzed, each made for a copy of a finished run that it may spoil."""

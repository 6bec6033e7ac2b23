"""Learners in a user's file, named `./mine.py:MyLearner`; the file is read first, and run when needed.

Running such a file is running untrusted code. So the package never takes its path from a policy: the user gives it. A
policy holds only the file's name and hash.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib.abc import ExecutionLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from robometa.errors import UserError, unknown
from robometa.escape import say, word
from robometa.registry.entry import Entry, label
from robometa.registry.given import given as own_files

if TYPE_CHECKING:
    from robometa.learners.protocol import Learner, Options

METHODS = ("begin", "act", "adapt", "update", "state_dict", "load_state_dict")
ATTRIBUTES = ("configuration", "pools_worlds")
OPTIONS = ("iterations", "tasks", "worlds", "shots")
"""Required methods and attributes of a learner's class, and required options of its configuration."""
SYSTEM_FOLDERS = ("/proc/", "/dev/", "/sys/")
"""Folders of the system, where a path may mean another file for each process."""
RENAMED = {"state": "state_dict", "load": "load_state_dict"}
"""Former names of required methods."""


@dataclass(frozen=True, kw_only=True)
class OwnEntry(Entry):
    """Entry of a user's learner: its file and class, its own description, and the source that was read."""

    path: Path
    source: bytes
    kind: str = "learner"

    def fingerprint(self) -> str:
        """SHA-256 of the source that was read."""
        return hashlib.sha256(self.source).hexdigest()

    def load(self) -> type[Learner]:
        """Returns the learner's class; runs its file the first time.

        Raises:
            UserError: If the file fails, or the class is not a learner.
        """
        from robometa.learners.protocol import completed

        kind: Any = getattr(self.run(), self.name, None)
        fault = fault_of(kind, f"{self.name} of {self.path}")
        if fault:
            raise UserError(fault)
        MADE[kind] = self
        return completed(kind)

    def presets(self) -> dict[str, Options]:
        """The learner's configurations by name: its file's PRESETS, or the configuration's defaults."""
        configuration = self.load().configuration
        presets = getattr(self.run(), "PRESETS", None)
        if isinstance(presets, dict) and presets and all(type(one) is configuration for one in presets.values()):
            return presets
        try:
            return {"default": configuration()}
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{configuration.__name__} of {self.path} must have a default for every option: {error}"
            ) from None

    def run(self) -> ModuleType:
        """Runs the file as a module, once for each content; the module's name is a hash of path and content."""
        name = "own_" + hashlib.sha256(str(self.path).encode() + b"\0" + self.source).hexdigest()[:16]
        if name in sys.modules:
            return sys.modules[name]
        spec = spec_from_loader(name, _Source(self.path, self.source))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look themselves up there
        sys.path.append(str(self.path.parent))  # last, so that a neighbouring file cannot shadow an installed package
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UserError(f"{self.path} does not run: {error_line(error, self.path)}") from error
        finally:
            sys.path.remove(str(self.path.parent))
        return module


BLAMED = "blamed"
"""Attribute of an error of a worker process: what `blame` said of it there."""
MADE: dict[type, OwnEntry] = {}
"""Entry of each loaded user's class, because its file may change while the class is in use."""


class _Source(ExecutionLoader):
    """Runs exactly the bytes that were read and hashed, and writes no compiled file."""

    def __init__(self, path: Path, source: bytes) -> None:
        self.path, self.source = path, source

    def get_filename(self, fullname: str) -> str:
        """The file's path."""
        return str(self.path)

    def get_source(self, fullname: str) -> str:
        """The file's text."""
        return self.source.decode("utf-8")


def is_reference(name: object) -> bool:
    """True if a learner's name refers to a file and class, not to a shipped learner."""
    return isinstance(name, str) and (":" in name or "/" in name or name.endswith(".py"))


def fault_of(kind: Any, where: str) -> str:
    """Describes the fault that keeps a class from being a learner; an empty string if there is none."""
    if not isinstance(kind, type):
        return f"{where} is not a class once its file has been run"
    members = dict(inspect.getmembers(kind))
    former = [old for old, new in RENAMED.items() if callable(members.get(old)) and _first(kind, old, new) == {old}]
    if former:
        now = " and ".join(RENAMED[old] for old in former)
        return f"{where} has {' and '.join(former)}, which must be renamed to {now}"
    lacking = [name for name in METHODS if not callable(members.get(name))]
    lacking += [name for name in ATTRIBUTES if name not in members]
    if lacking:
        has = ", ".join((*METHODS, *ATTRIBUTES))
        return f"{where} lacks {', '.join(lacking)}: a learner has {has}, as robometa/learners/protocol.py says"
    configuration: Any = kind.configuration  # type: ignore[attr-defined]
    if not isinstance(configuration, type) or not is_dataclass(configuration):
        return f"configuration of {where} must be a frozen dataclass, not {configuration!r}"
    missing = [name for name in OPTIONS if name not in {field.name for field in fields(configuration)}]
    if missing:
        return (
            f"configuration of {where} lacks {', '.join(missing)}: every learner has the options {', '.join(OPTIONS)}"
        )
    try:
        inspect.signature(kind).bind(None, None, 0, "cpu")
    except TypeError as error:
        return f"{where} must be made from (config, spaces, seed, device): {error}"
    return ""


def _first(kind: type, *names: str) -> set[str]:
    """Those of the names that the first class in the method resolution order with any of them defines."""
    return next(filter(None, (vars(owner).keys() & names for owner in kind.__mro__)), set())


def read(reference: str, kind: str = "learner") -> OwnEntry:
    """Reads and parses the file of a reference such as `./mine.py:MyLearner`, without running it.

    Raises:
        UserError: If there is no such file or class, or the file is not Python.
    """
    text, _, name = reference.rpartition(":")
    if not text or not name or "/" in name:
        raise UserError(
            f"a {kind} of your own is named as FILE.py:CLASS, such as ./mine.py:My{kind.title()}, not {reference!r}"
        )
    path = Path(text)
    try:
        if any(str(place).startswith(SYSTEM_FOLDERS) for place in (path, os.path.realpath(path))):
            raise UserError(f"a {kind}'s file is none of {', '.join(SYSTEM_FOLDERS)}, but {text!r} is")
        source = path.read_bytes()
        tree = ast.parse(source.decode("utf-8"))
    except OSError as error:
        raise UserError(f"no {kind} file {text!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{text} is not Python in UTF-8: {error.reason} at byte {error.start}") from None
    except (SyntaxError, ValueError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{text} is not Python: {_line(error)}{line}") from None
    except (MemoryError, RecursionError):  # raised by the parser on deep nesting
        raise UserError(f"{text} is nested too deeply to be parsed") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise UserError(unknown(f"{kind} class", name, classes, text))
    about = _first_line(classes[name]) or f"A {kind} of its user's own, which says nothing about itself."
    paper = _first_line(tree) or "none"
    return OwnEntry(path.stem, name, about, paper, path=path.resolve(), source=source, kind=kind)


def short(reference: str) -> str:
    """Reference without its folder, as a policy keeps it: `mine.py:MyLearner`."""
    text, colon, name = reference.rpartition(":")
    return f"{Path(text).name}{colon}{name}"


def of_policy(recorded: str, sha256: object, given: str | None, where: Path) -> str:
    """Selects the learner of a policy: the shipped one in its manifest, or the file that the user gives.

    Raises:
        UserError: If the policy's learner is a user's and no file is given, or the given one is another learner.
    """
    if given is None and is_reference(recorded):
        raise UserError(
            f"{where} was trained with {label(recorded)} of {short(recorded).rpartition(':')[0]}, a program that a "
            f"policy does not bring along and that is not run unasked: say where it is with "
            f"--learner PATH/{short(recorded)}"
        )
    return recorded if given is None else _given(recorded, sha256, given, where)


def of_run(recorded: str, sha256: object, given: str | None, where: Path, command: str | None) -> str:
    """Selects the learner of a run: the shipped one in its run.json, or the file that the user gives.

    An error shows how to give it: to a command, or in Python if that is None.

    Raises:
        UserError: If the run's learner is a user's and no file is given, or the given one is another learner.
    """
    if given is None and is_reference(recorded):
        how = f"learner={recorded!r}" if command is None else f"robometa {command} {word(where)}{own_files(recorded)}"
        raise UserError(
            f"{where} was started with {label(recorded)} of a user's file, a program that is not run unasked; "
            f"if that file is yours: {how}"
        )
    return recorded if given is None else _given(recorded, sha256, given, where)


def _given(recorded: str, sha256: object, given: str, where: Path) -> str:
    """Returns the learner that the user gives, with a warning if its file has changed since training."""
    if is_reference(recorded) != is_reference(given) or label(recorded) != label(given):
        raise UserError(f"{where} is of learner {short(recorded)}, not of {given}")
    if is_reference(given) and read(given).fingerprint() != sha256:
        _warn_changed(given, where)
    return given


@cache
def _warn_changed(given: str, where: Path) -> None:
    """Warns once that a file has changed."""
    say(f"warning: {given} has changed since {where} was trained with it", error=True)


def error_line(error: BaseException, path: str | Path | None) -> str:
    """Describes an error in one line: its type, its line in the given file, its message."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    place = f" in line {lines[-1]}" if lines else ""
    return f"{type(error).__name__}{place}: {_line(error)}"


def blame(error: BaseException) -> str:
    """Describes an error in one line if it was raised in a user's learner that has been loaded, else returns "".

    The line is the innermost one in the learner's file, whatever the learner called from there. An error of a worker
    process brings the description along.
    """
    if line := vars(error).get(BLAMED):
        return str(line)
    frames = traceback.extract_tb(error.__traceback__)
    files = {str(entry.path): f"{entry.name}, a {entry.kind} of your own" for entry in MADE.values()}
    for frame in reversed(frames):
        if frame.filename in files:
            line = f" (`{frame.line.strip()}`)" if frame.line else ""
            place = f"{frame.filename}, line {frame.lineno}, in {frame.name}{line}"
            return f"{files[frame.filename]}, fails in {place}: {_named(error)}"
    return ""


def loaded_learner(words: Sequence[str]) -> OwnEntry | None:
    """Entry of the user's learner that was loaded last and that one of the words names, if any."""
    named = {word.rpartition(":")[2] for word in words if is_reference(word)}
    return next((entry for entry in reversed(MADE.values()) if entry.kind == "learner" and entry.name in named), None)


def _named(error: BaseException) -> str:
    """Type and message of an error."""
    return f"{type(error).__name__}: {_line(error)}"


def _first_line(node: ast.Module | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").strip()


def _line(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return " ".join(text.split())

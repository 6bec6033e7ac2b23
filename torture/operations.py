"""Every change that a process makes to the disk, counted one by one; at one of them it ends, or fails."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CRASHED = 9
"""Exit code of a process that ended at the change that it was to end at."""
CHANGES = ("fsync", "rename", "replace", "link", "symlink", "mkdir", "rmdir", "unlink", "remove", "truncate")
WRITING = frozenset("wxa+")


@dataclass
class Operations:
    """Changes to the disk from when it is watched.

    What was written and not flushed is what a machine that loses power may lose; so is a rename whose folder was not
    flushed since. Both are kept, and written into `notes` when the process ends.
    """

    at: int | None = None
    """The change, counted from 0, at which it happens; never if None."""
    torn: bool = False
    """Half of what is written there still reaches the disk."""
    fails: bool = False
    """The disk is full there, and at everything that needs room afterwards; the process ends there otherwise."""
    notes: Path | None = None
    done: list[str] = field(default_factory=list)
    unflushed: dict[str, int] = field(default_factory=dict)
    """Files that a loss of power may cut, and how many of their bytes were flushed before."""
    flushed: dict[str, int] = field(default_factory=dict)
    """Bytes of each file when it was last flushed, or as it was found."""
    renames: list[tuple[str, str, str]] = field(default_factory=list)
    """Those that a loss of power may undo, oldest first: from where, to where, and a copy of what was replaced."""
    watching: bool = False

    def change(self, name: str, path: str, act: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        """Does one change, unless it is the one."""
        if not self.watching or threading.current_thread() is not threading.main_thread():
            return act()  # TensorBoard's curves are written by a thread of their own, and promised to nobody
        index = len(self.done)
        self.done.append(f"{name} {Path(path).name}")
        due = self.at is not None and (index >= self.at if self.fails and name in NEEDS_ROOM else index == self.at)
        if not due:
            result = act()
            self._note(name, path)
            return result
        if self.torn and half is not None:
            half()
            self._note(name, path)
        if self.fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self.end()
        os._exit(CRASHED)

    def _note(self, name: str, path: str) -> None:
        if name in ("open", "write"):
            self.unflushed.setdefault(path, self.flushed.get(path, 0))
        elif name == "fsync":
            self.unflushed.pop(path, None)
            if Path(path).is_file():
                self.flushed[path] = Path(path).stat().st_size
            self.renames = [pair for pair in self.renames if str(Path(pair[1]).parent) != path]

    def opens(self, path: str, *, emptied: bool) -> None:
        """A file is about to be opened, and perhaps emptied; what stood in it before the watch counts as flushed."""
        if emptied:
            self.flushed[path] = 0
            if path in self.unflushed:
                self.unflushed[path] = 0
        elif path not in self.unflushed and Path(path).is_file():
            self.flushed.setdefault(path, Path(path).stat().st_size)

    def replaced(self, target: str) -> str:
        """A copy of a file that is about to be replaced, or nothing."""
        if not self.watching or self.notes is None or not Path(target).is_file():
            return ""
        copy = f"{self.notes}.{len(self.renames)}"
        self.watching = False
        shutil.copyfile(target, copy)
        self.watching = True
        return copy

    def renamed(self, source: str, target: str, copy: str) -> None:
        """Lets what was not flushed go by its new name."""
        self.renames.append((source, target, copy))

        def now(path: str) -> str:
            return target + path[len(source) :] if path == source or path.startswith(source + "/") else path

        self.unflushed = {now(path): size for path, size in self.unflushed.items()}
        self.flushed = {now(path): size for path, size in self.flushed.items()}

    def end(self) -> None:
        """Writes the notes."""
        self.watching = False
        if self.notes is not None:
            kept = {"done": self.done, "unflushed": self.unflushed, "renames": self.renames}
            self.notes.write_text(json.dumps(kept), encoding="utf-8")


NEEDS_ROOM = ("open", "write", "fsync", "mkdir", "link", "symlink")


@contextmanager
def watched(operations: Operations) -> Iterator[Operations]:
    """Counts every change to the disk as long as the block; meant for a process that ends afterwards."""
    for name in CHANGES:
        setattr(os, name, _counted(operations, name, getattr(os, name)))
    opened = _opening(operations, io.open)
    io.open = builtins.open = opened  # type: ignore[assignment]
    operations.watching = True
    yield operations
    operations.end()


def _counted(operations: Operations, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        where = _whole(arguments[0], options.get("dir_fd", options.get("src_dir_fd")))
        if name not in ("rename", "replace"):
            return operations.change(name, where, lambda: real(*arguments, **options))
        target = _whole(arguments[1], options.get("dst_dir_fd"))
        copy = operations.replaced(target)
        result = operations.change(name, where, lambda: real(*arguments, **options))
        if operations.watching:
            operations.renamed(where, target, copy)
        return result

    return counted


def _whole(path: Any, folder: int | None) -> str:
    """The whole path of an open file, or of a name in an open folder."""
    if isinstance(path, int):
        return os.readlink(f"/proc/self/fd/{path}")
    within = Path.cwd() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
    return os.path.abspath(within / os.fsdecode(path))


def _opening(operations: Operations, real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if isinstance(file, int) or not WRITING & set(mode) or not operations.watching:
            return real(file, mode, *arguments, **options)
        path = os.path.abspath(os.fsdecode(file))
        operations.opens(path, emptied="w" in mode)
        return _File(operations.change("open", path, lambda: real(file, mode, *arguments, **options)), operations, path)

    return opened


class _File:
    """A file whose every write reaches the disk by itself and is counted."""

    def __init__(self, file: Any, operations: Operations, path: str) -> None:
        self.file, self.operations, self.path = file, operations, path

    def write(self, content: Any) -> int:
        """Writes and hands over to the system at once."""
        half = content[: len(content) // 2]
        written: int = self.operations.change(
            "write", self.path, lambda: self._write(content), lambda: self._write(half)
        )
        return written

    def truncate(self, size: int) -> int:
        """Cuts it short."""
        cut: int = self.operations.change("truncate", self.path, lambda: self.file.truncate(size))
        return cut

    def _write(self, content: Any) -> int:
        count: int = self.file.write(content)
        self.file.flush()
        return count

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def lose_power(notes: dict[str, Any], *, undo_renames: bool) -> None:
    """Does to the disk what a loss of power may do: what was not flushed is gone, renames may not have happened."""
    for path, size in notes["unflushed"].items():
        if Path(path).is_file():
            Path(path).write_bytes(Path(path).read_bytes()[:size])
    for source, target, copy in reversed(notes["renames"]) if undo_renames else ():
        if Path(target).exists() and not Path(source).exists():
            Path(target).rename(source)
            if copy:
                shutil.copyfile(copy, target)

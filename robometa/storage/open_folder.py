"""An open folder; its files are reached through its descriptor and never through a link."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from robometa.errors import FolderGoneError, UserError

PATIENCE = 60.0
"""Longest wait for another process that writes the same folder, s."""
PAUSE = 0.005
"""Time between two attempts to get what another process has, s."""
FLAGS = os.O_RDONLY | os.O_DIRECTORY
"""Flags that open a folder."""


@dataclass(frozen=True)
class OpenFolder:
    """An open folder; its operations reach no other folder, even if its path is changed meanwhile.

    No link in the folder is followed.
    """

    path: Path
    descriptor: int

    def is_at_its_path(self) -> bool:
        """Tests if the path still leads to this folder."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def require_at_its_path(self) -> None:
        """Checks that the path still leads to this folder.

        Raises:
            FolderGoneError: If it does not.
        """
        if not self.is_at_its_path():
            raise FolderGoneError(f"{self.path} was moved, deleted or replaced meanwhile: nothing more is written")

    def lock(self, kind: int = fcntl.LOCK_EX, patience: float = PATIENCE) -> None:
        """Locks the folder; waits for other processes. A file system without locks is not locked.

        Raises:
            UserError: If another process still holds the lock after that many seconds.
        """
        end = time.monotonic() + patience
        while self.lock_at_once(kind) is False:
            if time.monotonic() >= end:
                raise UserError(f"{self.path} is being written by another process: try again when it has ended")
            time.sleep(PAUSE)

    def lock_at_once(self, kind: int = fcntl.LOCK_EX) -> bool | None:
        """Locks the folder without waiting; False if another process has it, None if the file system has no locks."""
        return lock_at_once(self.descriptor, kind)

    @contextmanager
    def subfolder(self, name: str, *, create: bool = False) -> Iterator[OpenFolder]:
        """Opens a folder in this one; makes it first if asked to."""
        if create:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=self.descriptor)
        descriptor = os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=self.descriptor)
        try:
            yield OpenFolder(self.path / name, descriptor)
        finally:
            os.close(descriptor)

    def file(self, name: str, mode: str, buffering: int = -1) -> IO[bytes]:
        """Opens a file in this folder."""

        def opener(_: str, flags: int) -> int:
            return os.open(name, flags | os.O_NOFOLLOW, 0o666, dir_fd=self.descriptor)

        return open(self.path / name, mode, buffering, opener=opener)

    def status(self, name: str) -> os.stat_result:
        """Status of what has a name in this folder, be it a link."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def has_file(self, name: str) -> bool:
        """Tests if a name is a file in this folder, and no link."""
        try:
            return stat.S_ISREG(self.status(name).st_mode)
        except OSError:
            return False

    def names(self) -> list[str]:
        """Names of all that is in this folder."""
        with os.scandir(self.descriptor) as entries:
            return [entry.name for entry in entries]

    def rename(self, source: str, target: str) -> None:
        """Renames a folder within this one; fails if the new name is taken."""
        os.rename(source, target, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def remove(self, name: str) -> None:
        """Removes a file, a link or a folder with all that it holds; nothing happens if it is not there."""
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(self.status(name).st_mode):
                shutil.rmtree(name, ignore_errors=True, dir_fd=self.descriptor)
            else:
                os.unlink(name, dir_fd=self.descriptor)

    def remove_leftovers(self, *endings: str) -> None:
        """Removes hidden files and folders with these endings, but none that another process has locked."""
        for name in self.names():
            if name.startswith(".") and name.endswith(endings) and self.is_free(name) is not False:
                self.remove(name)

    def is_free(self, name: str) -> bool | None:
        """Tests if no other process is writing the file or folder of a name; None if the file system has no locks."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.descriptor)
        except OSError:  # a link, or gone
            return True
        try:
            return lock_at_once(descriptor)
        finally:
            os.close(descriptor)


def lock_at_once(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool | None:
    """Locks a file or folder without waiting; False if another process has it, None if the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def opened(path: Path, *, create: bool = False) -> Iterator[OpenFolder]:
    """Opens the folder at a path, made first if asked to; links on the way, which the user has named, are followed.

    Raises:
        NotADirectoryError: If something else is there.
        OSError: If it cannot be made or opened.
    """
    if create:
        with contextlib.suppress(FileExistsError):  # opening says what is in the way
            path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, FLAGS)
    try:
        yield OpenFolder(path, descriptor)
    finally:
        os.close(descriptor)

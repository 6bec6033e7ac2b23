"""The one way to write: aside under a random name, flushed, and renamed, all in one open folder.

A file is replaced by a rename over it. A folder is published by a rename that fails if its name is taken, or put in the
place of another, which has the name `.NAME.old` for a moment. What is written aside is locked, so that what has no lock
is a killed process's; a file whose lock was not yet there, or just gone, is written again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robometa.storage.open_folder import FLAGS, PAUSE, OpenFolder, lock_at_once, opened

ASIDE, OLD = ".writing", ".old"
"""Endings of the hidden names of what is written aside, and of a folder while another takes its place."""
ATTEMPTS = 200
"""Most attempts to open a folder that another process is replacing."""
NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""Errors of renaming a folder to a name that is taken."""


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file atomically; a link at its path is itself replaced."""
    with opened(path.parent) as folder:
        replace(folder, path.name, content)


def replace(folder: OpenFolder, name: str, content: bytes) -> None:
    """Replaces a file of an open folder atomically; removes what killed processes have written aside for it.

    Raises:
        FolderGoneError: If the folder is no longer at its path.
    """
    _remove_dead(folder, name)
    for attempt in range(ATTEMPTS):
        folder.require_at_its_path()
        hidden = _aside_name(name)
        try:
            write(folder, hidden, content)
            os.replace(hidden, name, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
            break
        except FileNotFoundError:  # another process took it for a killed one's, before its lock or after
            if attempt == ATTEMPTS - 1:
                raise
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden, dir_fd=folder.descriptor)
            raise
    os.fsync(folder.descriptor)


def write(folder: OpenFolder, name: str, content: bytes | memoryview) -> str:
    """Writes and flushes a file that must not be there yet, and returns its SHA-256.

    Raises:
        OSError: Naming the file, if it cannot be written.
    """
    try:
        with folder.file(name, "xb") as file:
            lock_at_once(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(folder.path / name)
        raise
    return hashlib.sha256(content).hexdigest()


@contextmanager
def aside(parent: OpenFolder, name: str, mode: int = 0o777) -> Iterator[OpenFolder]:
    """Makes an empty folder under a random name, locked until the end; removes it unless it was renamed.

    What killed processes have written aside for the same name is removed.
    """
    _remove_dead(parent, name)
    folder = _locked_aside(parent, name, mode)
    try:
        yield folder
    finally:
        shutil.rmtree(folder.path.name, ignore_errors=True, dir_fd=parent.descriptor)
        os.close(folder.descriptor)


def publish(parent: OpenFolder, folder: OpenFolder, name: str) -> None:
    """Renames a whole folder from its random name to its own.

    Raises:
        FileExistsError: If something has that name.
        FolderGoneError: If the parent is no longer at its path.
    """
    parent.require_at_its_path()
    os.fsync(folder.descriptor)
    try:
        parent.rename(folder.path.name, name)
    except OSError as error:
        if error.errno not in NAME_TAKEN:
            raise
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(parent.path / name)) from None
    os.fsync(parent.descriptor)


def publish_over(parent: OpenFolder, folder: OpenFolder, name: str) -> None:
    """Renames a whole folder to its own name, and removes what has that name; waits for its readers and writers.

    Raises:
        FolderGoneError: If the parent is no longer at its path.
        UserError: If another process reads or writes the old folder for too long.
    """
    done = False
    while not done:
        try:
            publish(parent, folder, name)
            done = True
        except FileExistsError:
            done = _exchange(parent, folder, name)


@contextmanager
def locked(path: Path, kind: int = fcntl.LOCK_EX) -> Iterator[OpenFolder]:
    """Opens and locks the folder that is at a path once the lock is had.

    Raises:
        UserError: If another process holds the lock for too long.
        OSError: If it cannot be opened.
    """
    while True:
        folder = _settled(path)
        try:
            folder.lock(kind)
            if folder.is_at_its_path():
                yield folder
                return
        finally:
            os.close(folder.descriptor)


def recover(folder: Path) -> None:
    """Restores the old folder if its replacement was interrupted; waits for one in progress."""
    if os.path.lexists(folder):
        return
    with contextlib.suppress(OSError), opened(folder.parent) as parent, parent.subfolder(_old_name(folder.name)) as old:
        old.lock()
        if old.is_at_its_path() and not os.path.lexists(folder):
            parent.rename(old.path.name, folder.name)


def _exchange(parent: OpenFolder, folder: OpenFolder, name: str) -> bool:
    """Puts a folder in the place of another, which is restored on failure; False if it has to be tried again."""
    hidden = _old_name(name)
    try:
        with parent.subfolder(name) as old:
            old.lock()
            if not old.is_at_its_path():
                return False
            parent.remove(hidden)
            parent.rename(name, hidden)
            try:
                publish(parent, folder, name)
            except FileExistsError:  # another process has made one just now
                parent.remove(hidden)
                return False
            except BaseException:
                with contextlib.suppress(OSError):
                    parent.rename(hidden, name)
                raise
            parent.remove(hidden)
    except FileNotFoundError:
        return False
    except NotADirectoryError:  # a file or a link
        parent.remove(name)
        return False
    return True


def _locked_aside(parent: OpenFolder, name: str, mode: int) -> OpenFolder:
    """Makes a folder under a random name; one that a tidying process takes for dead is given up."""
    while True:
        hidden = _aside_name(name)
        os.mkdir(hidden, mode, dir_fd=parent.descriptor)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(hidden, FLAGS | os.O_NOFOLLOW, dir_fd=parent.descriptor)
            folder = OpenFolder(parent.path / hidden, descriptor)
            locked = folder.lock_at_once() is not False
            with contextlib.suppress(FileNotFoundError):
                if locked and os.path.samestat(parent.status(hidden), os.fstat(descriptor)):
                    return folder
            os.close(descriptor)


def _remove_dead(parent: OpenFolder, name: str) -> None:
    """Removes the unlocked files and folders that were written aside for a name."""
    of_name = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}{re.escape(ASIDE)}")
    for hidden in filter(of_name.fullmatch, parent.names()):
        with contextlib.suppress(OSError):  # it may be another user's
            if parent.is_free(hidden):
                parent.remove(hidden)


def _settled(path: Path) -> OpenFolder:
    """Opens a folder; tries again while another takes its place just now."""
    for _ in range(ATTEMPTS):
        recover(path)
        with contextlib.suppress(FileNotFoundError):
            return OpenFolder(path, os.open(path, FLAGS))
        if not path.exists() and not os.path.lexists(path.with_name(_old_name(path.name))):
            break
        time.sleep(PAUSE)
    return OpenFolder(path, os.open(path, FLAGS))


def _aside_name(name: str) -> str:
    """Unpredictable random name, hidden beside the name."""
    return f".{name}.{secrets.token_hex(8)}{ASIDE}"


def _old_name(name: str) -> str:
    """Name of a folder while another takes its place."""
    return f".{name}{OLD}"

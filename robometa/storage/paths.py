"""Paths that a user or a file gives, checked before anything is made or read."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from pathlib import Path

from robometa.errors import UserError

MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4000
"""Longest name that Linux takes, and longest path that leaves room for the files below it, bytes."""
ASIDE_BYTES = 26
"""Bytes that `storage.atomic` adds to the name of what it writes."""
SYSTEM_FOLDERS = ("/proc/", "/sys/")
"""Folders of files that the kernel makes up: some never end, and some never answer."""
DEVICES = "/dev"
"""Folder of devices."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a disk, such as a full one: failures, and no mistakes of the user."""

RUNS, RUN, MANIFEST = "runs", "run.json", "manifest.json"
"""Folder of runs, the file that makes a folder a run's, and the one that makes it a policy's."""


def checked(path: str | Path) -> Path:
    """The path, if files can be made there.

    Raises:
        UserError: If it is not UTF-8, holds a null byte, or a name or the whole is too long.
    """
    name = str(path)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise UserError(f"a path must be UTF-8, not {name[:200]}") from None
    if "\0" in name:
        raise UserError("a path must not hold a null byte")
    if size > MAX_PATH_BYTES or any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in Path(name).parts):
        raise UserError(
            f"a path has at most {MAX_PATH_BYTES} bytes, and a name in it {MAX_NAME_BYTES}; "
            f"{name[:60]}... has {size} bytes"
        )
    return Path(name)


def require_writable(folder: Path) -> None:
    """Checks that a folder can be made or written at a path, before anything is computed for it.

    Raises:
        UserError: If it cannot.
    """
    if not os.path.lexists(folder):
        require_nameable(folder)
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{folder} cannot be written: {existing} is not a folder that can be written to")


def require_nameable(path: str | Path) -> Path:
    """Checks the path of something to write, and returns it: its name must leave room for the hidden one beside it.

    Raises:
        UserError: If no file can be made there, or its name is too long.
    """
    out, longest = checked(path), MAX_NAME_BYTES - ASIDE_BYTES
    if len(os.fsencode(out.name)) > longest:
        raise UserError(f"the name of what is written has at most {longest} bytes; {out.name[:60]}... is longer")
    return out


def require_replaceable(path: Path, *, makes_folder: bool = False) -> None:
    """Checks that a file can be written at a path, before anything is computed for it.

    Args:
        path: The file.
        makes_folder: Its folder is made if it is missing.

    Raises:
        UserError: If its folder is missing or cannot be written, or a folder, a device or a pipe is there: a rename
            would take its place for every program.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file to write")
    require_nameable(path)
    if not (makes_folder or path.parent.is_dir()):
        raise UserError(f"no folder {path.parent} to write {path.name} to")
    require_writable(path.parent)
    is_special = path.exists() and not path.is_file()
    if is_special or os.path.realpath(path.parent) == DEVICES:  # /dev/stdout may lead to a file
        raise UserError(f"{path} is a device or a pipe, not a file to write")


def unwritable(path: Path, error: OSError) -> UserError | OSError:
    """The error of a path that cannot be written: the user's mistake, or a failure of the disk."""
    if error.errno in DISK:
        return OSError(error.errno, error.strerror, str(path))
    return UserError(f"{path} cannot be written: {error.strerror}")


def failed_write(program: str, words: str, folder: Path) -> OSError:
    """Returns the error of a program that failed to write into a folder, with the space that is free.

    Args:
        program: What failed.
        words: Its own words.
        folder: The folder, which must be there.
    """
    free = shutil.disk_usage(folder).free / 1e6
    return OSError(
        errno.EIO, f"{program} cannot write, with {free:,.1f} MB free ({' '.join(words.split()):.200})", str(folder)
    )


def path_without_machine(policy: Path) -> str:
    """Path of a policy for a manifest: the name alone where the path names this machine's folders."""
    return name_of_policy(policy.resolve()) if policy.is_absolute() else str(policy)


def name_of_policy(folder: Path) -> str:
    """Name of a policy's folder; the policy of a run has the run's name."""
    return folder.parent.name if folder.name == "policy" else folder.name


def is_run(folder: Path) -> bool:
    """Tests if a folder is a run's, and not a policy's."""
    return (folder / RUN).is_file() and not (folder / MANIFEST).is_file()


def folder_named(text: str) -> Path:
    """The folder that a user names: at its path, or else the run of this name in `runs`.

    Raises:
        UserError: If no file can have such a path.
    """
    folder = checked(text)
    inside = Path(RUNS) / folder
    return inside if not os.path.lexists(folder) and (inside / RUN).is_file() else folder


def is_plain_file(path: Path) -> bool:
    """Tests if a path leads to a file on a disk: no folder, pipe or device, and none that the kernel makes up."""
    try:
        return path.is_file() and not os.path.realpath(path).startswith(SYSTEM_FOLDERS)
    except (OSError, ValueError):  # a name that no file can have
        return False


def is_own_file(folder: Path, name: str) -> bool:
    """Tests if a name is a file of a folder or of one below it, reached through no link in the folder."""
    path = folder / name
    if not path.is_relative_to(folder) or ".." in Path(name).parts:
        return False
    try:
        own = os.path.realpath(path) == str(os.path.realpath(folder) / Path(name))
    except (OSError, ValueError):
        return False
    return own and is_plain_file(path)


def own_folder(folder: Path, name: str) -> Path:
    """The path of a folder in another one, which is read and written in its own place only.

    Raises:
        UserError: If it is a link.
    """
    path = folder / name
    if path.is_symlink():
        raise UserError(f"{path} is a link: what a run has is read and written in the run's own folder only")
    return path


def beside(*parts: str) -> Path:
    """The default path of something that a command writes, such as `runs/probes/NAME`.

    Raises:
        UserError: If a folder of it is a link, but for `runs`, which may lie on another disk, or a name is too long.
    """
    path = require_nameable(Path(*parts))
    for one in (path, *path.parents):
        if one.is_symlink() and one != Path(RUNS):
            raise UserError(f"{one} is a link: name the folder to write by --out")
    return path


def matching(patterns: list[str]) -> list[Path]:
    """Folders that are meant by paths and glob patterns, in their order, each once.

    Raises:
        UserError: If a path does not exist, or a pattern matches nothing.
    """
    folders: dict[Path, Path] = {}
    for pattern in patterns:
        path = checked(pattern)
        paths = [path] if path.exists() else [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 the pattern may be absolute
        if not paths:
            is_glob = glob.has_magic(pattern)
            raise UserError(f"{'nothing matches' if is_glob else 'no run or policy at'} {pattern}")
        for one in paths:
            folders.setdefault(one.resolve(), one)
    return list(folders.values())


def require_page(path: Path) -> None:
    """Checks the path of a page.

    Raises:
        UserError: If it does not end in .html, or cannot be written.
    """
    if path.suffix != ".html":
        raise UserError(f"a page is an .html file, not {path}")
    require_replaceable(path)

"""A process that is watched while it handles a file from a stranger: what it executes, starts, opens and writes."""

from __future__ import annotations

import os
import resource
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import robometa
from robometa.compute.python_process import python
from robometa.suites import own_model

ROOM = 3 << 30
"""Bytes of address space that a command may take beyond what it begins with."""
NEVER = {
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "socket.connect",
    "socket.bind",
    "webbrowser.open",
    "code.__new__",
    "function.__new__",
}
"""Nothing of this may happen at all."""
MAY_START = python("-m", own_model.COMPILE)
"""The one process that may be started: it compiles a model, with limits of its own."""
CHANGES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
    "os.utime",
    "shutil.rmtree",
    "shutil.move",
    "shutil.copyfile",
    "shutil.copytree",
}
"""Nothing of this may happen outside the folder to work in."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(act: Callable[[], int], places: tuple[Path, ...], trace: Path) -> int:
    """Does something with little memory; what it must not do goes into `trace` and is refused.

    It happens in the first of the folders, and may write to all of them. Meant for a process of its own, which ends
    with the exit code that comes back.
    """
    os.chdir(places[0])
    os.environ["TMPDIR"] = tempfile.tempdir = str(places[0])
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    where = os.open(trace, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    known = _trusted()
    inside = tuple(str(place.resolve()) for place in places)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        fault = _fault(event, arguments, inside, known)
        if fault:
            os.write(where, f"{fault}\n".encode(errors="replace"))
            raise PermissionError(fault)

    sys.addaudithook(hook)
    return act()


def _trusted() -> tuple[str, ...]:
    """Folders whose programs may run: Python's, what is installed, and this package."""
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    return tuple(str(Path(folder).resolve()) for folder in (*folders, Path(robometa.__file__).parent))


def _fault(event: str, arguments: tuple[Any, ...], inside: tuple[str, ...], known: tuple[str, ...]) -> str:
    """Describes the fault of an event; empty if there is none."""
    if event == "subprocess.Popen" and list(arguments[1])[:4] == MAY_START:
        return ""
    if event in NEVER:
        return f"{event} {arguments!r:.200}"
    if event in ("exec", "compile", "marshal.loads", "ctypes.dlopen"):
        return _fault_of_program(event, arguments, known)
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not (flags or 0) & WRITES or _within(path, inside):
            return ""
        return f"open for writing {path!r:.200}"
    if event in CHANGES and not all(_within(path, inside) for path in _paths(arguments)):
        return f"{event} {arguments!r:.200}"
    return ""


def _paths(arguments: tuple[Any, ...]) -> list[Any]:
    """The paths of a change; a name in an open folder, whose descriptor comes last, is looked for there."""
    paths = [path for path in arguments[:2] if isinstance(path, str | bytes | Path)]
    folders = arguments[-len(paths) :] if paths else ()
    return [
        Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0
        else path
        for path, folder in zip(paths, folders, strict=True)
    ]


def _fault_of_program(event: str, arguments: tuple[Any, ...], known: tuple[str, ...]) -> str:
    """Programs come from known folders; what has no file, such as a dataclass's methods, is made by one from there."""
    if event == "exec":
        source = getattr(arguments[0], "co_filename", "")
    else:
        source = str(arguments[1]) if event == "compile" and arguments[1] is not None else ""
    if source and not source.startswith("<"):
        return "" if source.startswith(known) or event == "compile" else f"{event} of {source}"
    caller = sys._getframe(3).f_code.co_filename  # beyond the hook
    trusted = caller.startswith(known) or caller.startswith("<frozen")
    return "" if trusted and not caller.endswith("pickle.py") else f"{event} by {caller}"


def _within(path: Any, folders: tuple[str, ...]) -> bool:
    try:
        real = os.path.realpath(os.fsdecode(path))
    except (TypeError, ValueError):
        return False
    return real == os.devnull or any(real == folder or real.startswith(folder + os.sep) for folder in folders)

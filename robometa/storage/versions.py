"""Versions of the software that a result depends on, and the machine that it ran on."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
"""Folder of the package's sources."""
HASH_LENGTH = 16
"""Hexadecimal digits of a hash that are kept."""


@cache
def versions() -> dict[str, str]:
    """Versions of Python and the packages, the package's sources and revision, and the machine."""
    packages = ("robometa", "torch", "mujoco", "gymnasium", "numpy")
    commit = revision()
    return (
        {"python": platform.python_version(), "machine": platform.machine(), "processor": processor()}
        | {name: installed(name) for name in packages}
        | {"sources": sources_hash()}
        | ({} if commit is None else {"revision": commit})
    )


def installed(package: str) -> str:
    """Version of a package; `not installed` for one that only the search path finds, as it may be with a checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def sources_hash(package: Path = PACKAGE) -> str:
    """Hash of the names and contents of the package's Python files, with or without git."""
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(package).as_posix() for path in package.rglob("*.py")):
        content = (package / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:HASH_LENGTH]


def revision(package: Path = PACKAGE) -> str | None:
    """The git commit of the package's checkout, `-dirty` if its sources differ from it; None outside of a checkout."""
    root = package.parent
    if not (root / ".git").exists():  # an environment inside another project's checkout is not its commit
        return None
    try:
        if not _git(root, "ls-files", "--", f"{package.name}/__init__.py"):
            return None
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", f"{package.name}/**/*.py", f"{package.name}/*.py")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *words: str) -> str:
    """Output of a git command that writes nothing."""
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()

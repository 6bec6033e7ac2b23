"""Files that are whole or not there: written aside, flushed, and renamed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file aside, flushes it, and puts it in its place in one rename."""
    aside = _beside(path, "writing")
    try:
        _write(aside, content)
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Asks the system to put a file or folder on the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, what: str) -> Path:
    """The hidden neighbour in which a file or folder is written, or to which an old one makes way."""
    return path.with_name(f".{path.name}.{what}")


def _write(path: Path, content: bytes | memoryview) -> str:
    """Writes and flushes a file, and returns its SHA-256."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()

"""Atomic file replacement: write to a temporary file, flush, rename."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Replaces a file atomically: writes a temporary file, flushes it and renames it."""
    aside = _beside(path, "writing")
    try:
        _write(aside, content)
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, what: str) -> Path:
    """Path of the hidden sibling to which a new file or folder is written, or an old one is moved."""
    return path.with_name(f".{path.name}.{what}")


def _write(path: Path, content: bytes | memoryview) -> str:
    """Writes and flushes a file, and returns its SHA-256."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()

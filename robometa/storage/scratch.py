"""Temporary folders that a killed process does not leave behind for long: the next one removes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robometa.storage import atomic
from robometa.storage.open_folder import opened

NAME = "robometa"
"""Beginning of the hidden names of temporary folders."""
PRIVATE = 0o700
"""Mode of a folder that its user alone reads."""


@contextmanager
def scratch() -> Iterator[Path]:
    """Makes a private temporary folder and removes it at the end; removes those of killed processes, too."""
    with opened(Path(tempfile.gettempdir())) as parent, atomic.aside(parent, NAME, PRIVATE) as folder:
        yield folder.path

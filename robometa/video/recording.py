"""The files of a recording, which a notebook shows as a video."""

from __future__ import annotations

from pathlib import Path

from robometa.escape import html
from robometa.reports.videos import data_uri, markup

MAX_SHOWN_BYTES = 64 << 20
"""Largest video that a notebook shows, bytes."""


class Recording(tuple[Path, ...]):
    """Paths of the files written; by itself it is also the path of the first, as for `open` and `shutil.copy`."""

    __slots__ = ()

    def __fspath__(self) -> str:
        """Path of the first file."""
        return str(self[0])

    def __repr__(self) -> str:
        """The paths."""
        return f"<recording: {', '.join(map(str, self))}>"

    def _repr_html_(self) -> str:
        """The video for a notebook, embedded; its path alone if it is gone or too large."""
        path = self[0]
        uri = data_uri(path, MAX_SHOWN_BYTES) if path.is_file() else None
        return f"<p>{html(path)}</p>" if uri is None else markup(path, uri)

"""Videos for pages that open from disk: read from beside policies, embedded as data."""

from __future__ import annotations

import base64
import glob
from pathlib import Path

from robometa.escape import html
from robometa.storage.open_folder import opened

MAX_VIDEO_BYTES, MAX_VIDEOS_BYTES = 6 << 20, 32 << 20
"""Most bytes of a video that is embedded, and of all of a page."""
KINDS = {".mp4": "video/mp4", ".gif": "image/gif"}


def beside(policy: Path, run: Path | None) -> tuple[Path, ...]:
    """Videos of a policy: in its folder, in its run's, or in a folder `videos` under its name; no links.

    A GIF is left out if there is an MP4 of the same name.
    """
    place = policy.resolve()
    name = glob.escape(place.parent.name if place.name == "policy" else place.name)
    paths = [path for folder in dict.fromkeys((policy, run)) if folder is not None for path in _in(folder, "*")]
    for folder in dict.fromkeys((Path("videos").absolute(), place.parent.parent / "videos")):
        paths += [*_in(folder, name), *_in(folder, f"{name}-task*")]
    unique = {path.resolve(): path for path in paths}.values()
    return tuple(path for path in unique if path.suffix == ".mp4" or path.with_suffix(".mp4") not in unique)


def _in(folder: Path, stem: str) -> list[Path]:
    """Videos of a folder, by the pattern of their names without the suffix."""
    return sorted(
        path for suffix in KINDS for path in folder.glob(stem + suffix) if path.is_file() and not path.is_symlink()
    )


def data_uri(path: Path, most: int = MAX_VIDEO_BYTES) -> str | None:
    """A video as a data URI; None if it is no video, or has more bytes than `most`."""
    with opened(path.parent) as folder:
        if not folder.has_file(path.name):
            return None
        with folder.file(path.name, "rb") as file:
            content = file.read(most + 1)
    if len(content) > most or not (content[4:8] == b"ftyp" or content[:4] == b"GIF8"):
        return None
    kind = KINDS[".gif" if content[:4] == b"GIF8" else ".mp4"]
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def markup(path: Path, uri: str) -> str:
    """HTML that shows a video; `uri` is its data URI."""
    if uri.startswith("data:image/"):
        return f'<img src="{uri}" alt="{html(path.name)}" style="max-width: 100%">'
    return f'<video controls loop muted src="{uri}" title="{html(path.name)}" style="max-width: 100%"></video>'

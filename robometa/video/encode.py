"""Frames to files, through the ffmpeg that imageio-ffmpeg brings."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from robometa.errors import UserError

GIF_RATE = 15.0
"""Most frames per second of a GIF."""
GIF_WIDTHS = (840, 720, 600, 480)
"""Widths to try, pixels, until the file is small enough."""
GIF_LIMIT = 3_800_000
"""Bytes that a GIF should stay below, to be shown in a README."""


def ffmpeg() -> str:
    """The path of ffmpeg.

    Raises:
        UserError: If there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise UserError("no ffmpeg found: pip install --force-reinstall imageio-ffmpeg") from None


@contextmanager
def mp4(path: Path, width: int, height: int, rate: float) -> Iterator[Any]:
    """A file to `send` frames to, each `[height, width, 3]` uint8: H.264 that every browser plays.

    Args:
        path: The file.
        width: Even, pixels.
        height: Even, pixels.
        rate: Frames per second.
    """
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=rate,
        codec="libx264",
        quality=None,
        pix_fmt_out="yuv420p",
        macro_block_size=2,
        ffmpeg_log_level="error",
        output_params=["-crf", "21", "-preset", "medium", "-movflags", "+faststart"],
    )
    writer.send(None)
    try:
        yield writer
    finally:
        writer.close()


def gif(source: Path, target: Path, rate: float) -> None:
    """Makes a GIF of a video, as wide as the limit on its size allows.

    Args:
        source: The video.
        target: The GIF.
        rate: The video's frames per second.
    """
    # Every second, third, ... frame, so that motion stays even.
    rate /= math.ceil(rate / GIF_RATE)
    for width in GIF_WIDTHS:
        chain = (
            f"fps={rate:.6f},scale='min({width},iw)':-2:flags=lanczos,split[a][b];"
            "[a]palettegen=max_colors=128:stats_mode=full[palette];[b][palette]paletteuse=dither=none"
        )
        _run(["-i", str(source), "-filter_complex", chain, "-loop", "0", str(target)])
        if target.stat().st_size <= GIF_LIMIT:
            return


def _run(arguments: Iterable[str]) -> None:
    command = [ffmpeg(), "-y", "-nostdin", "-loglevel", "error", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise RuntimeError(f"ffmpeg failed: {process.stderr.strip()}")

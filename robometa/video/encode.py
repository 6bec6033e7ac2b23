"""Frames to files, through the ffmpeg that imageio-ffmpeg brings."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from robometa.errors import UserError
from robometa.storage.paths import DISK

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
def mp4(path: Path, width: int, height: int, rate: float) -> Iterator[IO[bytes]]:
    """A stream for frames, each `[height, width, 3]` uint8, and a file of them: H.264 that every browser plays.

    Args:
        path: The file.
        width: Even, pixels.
        height: Even, pixels.
        rate: Frames per second.

    Raises:
        OSError: If the disk is full.
        RuntimeError: If ffmpeg fails otherwise.
    """
    pictures = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    pictures += ["-r", str(Fraction(rate).limit_denominator()), "-i", "-"]
    coding = ["-an", "-vcodec", "libx264", "-pix_fmt", "yuv420p", "-crf", "21", "-preset", "medium"]
    with _started([*pictures, *coding, "-movflags", "+faststart", str(path)]) as frames:
        yield frames


def gif(source: Path, target: Path, rate: float) -> None:
    """Makes a GIF of a video, as wide as the limit on its size allows.

    Args:
        source: The video.
        target: The GIF.
        rate: The video's frames per second.

    Raises:
        OSError: If the disk is full.
        RuntimeError: If ffmpeg fails otherwise.
    """
    # Every second, third, ... frame, so that motion stays even.
    rate /= math.ceil(rate / GIF_RATE)
    for width in GIF_WIDTHS:
        chain = (
            f"fps={rate:.6f},scale='min({width},iw)':-2:flags=lanczos,split[a][b];"
            "[a]palettegen=max_colors=128:stats_mode=full[palette];[b][palette]paletteuse=dither=none"
        )
        with _started(["-i", str(source), "-filter_complex", chain, "-loop", "0", str(target)]):
            pass
        if target.stat().st_size <= GIF_LIMIT:
            return


@contextmanager
def _started(arguments: Iterable[str]) -> Iterator[IO[bytes]]:
    """Starts ffmpeg, yields its input, and waits for its end; its words go to standard error.

    Raises:
        OSError: If the disk is full.
        RuntimeError: If ffmpeg fails otherwise.
    """
    command, broken = [ffmpeg(), "-y", "-loglevel", "error", *arguments], None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        try:
            yield process.stdin
        except BrokenPipeError as error:  # of ffmpeg, whose exit code says why, or of the caller
            broken = error
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
    if process.returncode != 0:
        number = 256 - process.returncode  # ffmpeg ends with the negative of the system's error, modulo 256
        if number in DISK:
            raise OSError(number, os.strerror(number))
        raise RuntimeError(f"ffmpeg ended with exit code {process.returncode}")
    if broken is not None:
        raise broken

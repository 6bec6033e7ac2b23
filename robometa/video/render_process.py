"""Draws a film that is in a folder: `python -m robometa.video.render_process FOLDER`, a separate process.

MuJoCo picks an OpenGL backend once, on import; a separate process may pick another. Input: `film.json`, `film.npz` and
`model.mjb`. Output: `film.mp4`, `film.gif` if requested, and on stdout a line for each frame. Exit code 74 if a file
cannot be written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import mujoco
import numpy as np

from robometa.storage.paths import DISK
from robometa.video import encode
from robometa.video import film as films
from robometa.video.film import Array, Film
from robometa.video.gl_backends import UNWRITABLE
from robometa.video.overlay import Page, accent
from robometa.video.panel_picture import View


def main(folder: Path) -> None:
    """Draws the film in the folder."""
    film = films.read(folder)
    with encode.mp4(folder / "film.mp4", film.width, film.height, film.rate) as writer:
        for picture in _pictures(film, folder):
            writer.write(np.ascontiguousarray(picture).data)
            print(flush=True)
    if film.gif:
        encode.gif(folder / "film.mp4", folder / "film.gif", film.rate)


def _pictures(film: Film, folder: Path) -> Iterator[Array]:
    """The frames of the film; the last one stays for a while. `[height, width, 3]`, uint8."""
    page = Page(film)
    place = page.places[0]
    view = View(mujoco.MjModel.from_binary_path(str(folder / "model.mjb")), film, place.width, place.height)
    try:
        for frame in range(len(film.times)):
            colours = [accent(index, len(film.panels)) for index in range(len(film.panels))]
            parts = [
                view.draw(panel, frame, [part / 255 for part in colour])
                for panel, colour in zip(film.panels, colours, strict=True)
            ]
            picture = page.compose(parts, frame)
            yield picture
        for _ in range(film.hold):
            yield picture
    finally:
        view.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except OSError as error:
        if error.errno not in DISK:
            raise
        with suppress(OSError):  # the file of its errors may be on the same disk
            print(error, file=sys.stderr, flush=True)
        os._exit(UNWRITABLE)  # an exit that flushes would fail, and have another code

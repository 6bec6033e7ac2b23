"""Draws single pictures: `python -P -m robometa.video.frame_process FOLDER`, a process of its own.

Input: `film.json`, `film.npz` and `model.mjb` of the folder, and on stdin positions and place of each picture, float64.
Output on stdout: a byte once the files are read, then each picture, uint8. It ends when stdin does.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np

from robometa.video import film as films
from robometa.video.overlay import accent
from robometa.video.panel_picture import View


def main(folder: Path) -> None:
    """Draws pictures until the input ends."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's words are no pictures
    film = films.read(folder)
    panel = film.panels[0]
    positions = panel.positions.shape[1]
    view = View(mujoco.MjModel.from_binary_path(str(folder / "model.mjb")), film, film.width, film.height)
    colour = [part / 255 for part in accent(0, 1)]
    output.write(b"\0")
    output.flush()
    size = 8 * (positions + panel.place.shape[1])
    try:
        while len(content := sys.stdin.buffer.read(size)) == size:
            numbers = np.frombuffer(content, "<f8")
            shown = replace(panel, positions=numbers[None, :positions], place=numbers[None, positions:])
            output.write(np.ascontiguousarray(view.draw(shown, 0, colour)).tobytes())
            output.flush()
    finally:
        view.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Draws the learning curves of every policy in `policies/` from its training's table: `python -m bench.curves`.

Each curve is the mean return of an iteration's exploring episodes, smoothed over five iterations, against environment
steps; one before adaptation, one after each shot of the trials of the training.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot

COLOURS = ("#7a8194", "#0b8a78", "#d8553a")
SMOOTH, COLUMNS = 5, 4


def curves(policies: Path, picture: Path) -> None:
    """Writes the picture, a panel per policy."""
    tables = sorted(policies.glob("*/training/metrics.jsonl"))
    if not tables:
        sys.exit(f"no training tables under {policies}")
    across = min(COLUMNS, len(tables))
    down = -(-len(tables) // across)
    figure, panels = pyplot.subplots(down, across, figsize=(4.2 * across, 3.0 * down), squeeze=False)
    for panel in panels.flat[len(tables) :]:
        panel.axis("off")
    for panel, table in zip(panels.flat, tables, strict=False):
        rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
        steps = np.array([row["steps"] for row in rows]) / 1e6
        for shot, name in enumerate(sorted(key for key in rows[0] if key.startswith("return_"))):
            values = np.array([row[name] for row in rows])
            smooth = np.convolve(values, np.ones(SMOOTH) / SMOOTH, mode="valid")
            label = "before adaptation" if shot == 0 else f"after {shot} shot"
            panel.plot(steps[SMOOTH - 1 :], smooth, color=COLOURS[shot % len(COLOURS)], label=label)
        panel.set_title(table.parents[1].name, fontsize=10)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("environment steps, millions", fontsize=10)
    figure.supylabel("mean return, exploring", fontsize=10)
    panels[0][0].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    picture.parent.mkdir(exist_ok=True)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    curves(Path("policies"), Path("docs") / "curves.png")

"""Draws PEARL's trainings with few steps over the public curves of the same suites, for `make pictures`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from robometa.reports.curve import HELD_OUT, RETURN, curve_of
from robometa.reports.drawing import centred, in_plain_style, plain
from robometa.reports.families import looks
from robometa.storage.json_lines import Lines
from study import plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PUBLIC = plan.RESULTS / "public-curves"
"""Curves of other implementations, with a README on where they are from."""
GPU = plan.RESULTS / "gpu"
TRAININGS = {
    "half-cheetah-velocity": [
        Path("policies/half-cheetah-velocity-pearl-sample-efficient/training"),
        GPU / "pearl-sample-efficient-1",
        GPU / "pearl-sample-efficient-2",
    ],
    "half-cheetah-direction": [Path("policies/half-cheetah-direction-pearl/training")],
    "walker2d-params": [GPU / "pearl-walker2d-params", GPU / "pearl-walker2d-params-ten-tasks"],
}
"""Logs of PEARL's trainings with 0.4 gradient steps an environment step, by suite."""
END = 1.1e6
"""Environment steps to which the curves are drawn."""


@in_plain_style
def figure() -> Figure:
    """A panel for each suite: return after one shot while exploring, held-out scores, and the public curve in grey."""
    drawn = Figure(figsize=(11, 3.6), layout="constrained")
    panels = drawn.subplots(1, len(TRAININGS))
    for panel, (suite, logs) in zip(panels, TRAININGS.items(), strict=True):
        _draw(panel, suite, logs)
    panels[0].set_ylabel("return after one shot\n(sum of an episode's rewards)")
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return drawn


def public(suite: str) -> tuple[list[float], list[float]]:
    """Environment steps of a public curve of PEARL on a suite, and the return at each."""
    with (PUBLIC / f"pearl-{suite}.csv").open(encoding="utf-8", newline="") as file:
        rows = [(float(row["environment_steps"]), float(row["return_adapted"])) for row in csv.DictReader(file)]
    return [steps for steps, _ in rows], [returned for _, returned in rows]


def _draw(panel: Axes, suite: str, logs: list[Path]) -> None:
    look = looks(["pearl"])[0]
    label = "x35f/meta_rl, one seed, its third to seventh episode"
    panel.plot(*public(suite), color="#9a9a9a", linewidth=0.8, label=label)
    for order, log in enumerate(logs):
        rows = list(Lines(log / "metrics.jsonl").rows())
        exploring, held_out = curve_of(rows, RETURN, {}), curve_of(rows, HELD_OUT, {})
        assert exploring is not None  # committed logs have both
        assert held_out is not None
        names = ("exploring, on training tasks", "mean actions, on tasks drawn for it") if order == 0 else ("", "")
        panel.plot(exploring.steps, centred(exploring.returns), color=look.colour, linewidth=1.2, label=names[0])
        panel.plot(held_out.steps, held_out.returns, **look.points, markersize=3, alpha=0.8, label=names[1])
    plain(panel)
    count = f"{len(logs)} trainings" if len(logs) > 1 else "one training"
    panel.set_title(f"{suite}, {count}", fontsize=9)
    panel.set_xlabel("environment steps")
    panel.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M")
    panel.set_xlim(0, END)

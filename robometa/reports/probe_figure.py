"""Figure of probes: how well hidden parameters can be read from the adaptation, along a trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robometa.reports.drawing import INK, in_plain_style, svg, text
from robometa.reports.families import Look, looks
from robometa.reports.groups import Section
from robometa.reports.panels import add_legends, name_axes, panels
from robometa.reports.probed import NETWORK, RIDGE, Probed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST = -0.1
"""Least R2 that is shown: a reader may do worse than the mean, without bound."""


def probes(section: Section) -> str | None:
    """R2 along a trial, of every row that has a probe."""
    styles = looks([group.entries[0].learner for group in section.groups])
    rows = [
        (group.label, probed, style)
        for group, style in zip(section.groups, styles, strict=True)
        if (probed := next((one.probed for one in group.entries if one.probed is not None), None)) is not None
    ]
    return svg(drawn(rows), f"probes-{section.suite_hash}") if rows else None


@in_plain_style
def drawn(rows: Sequence[tuple[str, Probed, Look]]) -> Figure:
    """Figure of the mean R2 over the hidden parameters: by both readers, and of the untrained learner.

    Args:
        rows: Label, probe and look of each row.
    """
    figure, parts = panels([look for _, _, look in rows])
    for (panel,), members in ((part.panels, part.rows) for part in parts):
        for label, probed, look in (rows[index] for index in members):
            style = {"color": look.colour, "marker": look.points["marker"], "markersize": 3.5}
            for reader, line in ((NETWORK, "-"), (RIDGE, ":")):
                values = probed.trained[reader][:, :, 0].mean(axis=1)
                panel.plot(
                    probed.steps, values, **style, linestyle=line, linewidth=1.4, label=text(f"{label}, {reader}")
                )
            values = probed.untrained[NETWORK][:, :, 0].mean(axis=1)
            panel.plot(
                *(probed.steps, values),
                color=look.colour,
                linestyle="--",
                linewidth=1.0,
                alpha=0.6,
                label=text(f"{label}, untrained"),
            )
        panel.axhline(0, color=INK, linewidth=0.8, alpha=0.6)
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(left=-0.2)
        panel.set_ylim(LOWEST, 1.03)
    across = "environment steps of the task that the adaptation has seen"
    name_axes(parts, [across], "R2, mean over hidden parameters")
    add_legends(parts)
    return figure

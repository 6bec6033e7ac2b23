"""Figures of a search's page, as SVG that takes its text and background from the page around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from robometa.reports.drawing import INK, add_legend, in_plain_style, panel_of, svg, text
from robometa.search.objectives import MINIMISED, front, gains
from robometa.search.record import Result, Trial
from robometa.search.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2a6fbb", "#c2571a", "#2e8b57", "#8a4fbf", "#b8860b", "#c23b6b")
"""Of learners, in their order."""
COLUMNS = 4
"""Panels in a row of the slices."""
UNITS = {"latency": ", ms of processor time"}
"""Units of objectives."""
LOG_FROM = 20.0
"""Ratio of the largest value to the smallest from which an axis is logarithmic."""


@dataclass(frozen=True)
class Line:
    """Trials of a learner in a search, by number."""

    label: str
    trials: Sequence[Trial]
    rungs: int
    """Rungs of the search."""
    generation: int
    """Trials of a generation, which do a rung together."""

    @property
    def results(self) -> list[tuple[int, Result]]:
        """Rung and result of all work, in the order that it was done in."""
        done = list[tuple[int, Result]]()
        for first in range(0, len(self.trials), self.generation):
            together = self.trials[first : first + self.generation]
            done += [
                (rung, one.results[rung]) for rung in range(self.rungs) for one in together if len(one.results) > rung
            ]
        return done


@in_plain_style
def history(lines: Sequence[Line], settings: Settings) -> str | None:
    """Scores at every rung against the work of the learner so far, and the best at the last rung as a line."""
    name, drawn = settings.objectives[0], False
    figure, panel = panel_of(8.6, 4.0)
    for number, line in enumerate(lines):
        colour, spent, best = COLOURS[number % len(COLOURS)], 0.0, list[tuple[float, float]]()
        points: dict[int, list[tuple[float, float]]] = {}
        for rung, result in line.results:
            spent += result.cost
            if result.failure:
                continue
            value, drawn = result.scores[name], True
            points.setdefault(rung, []).append((spent, value))
            if rung == line.rungs - 1 and (not best or _better(value, best[-1][1], name)):
                best.append((spent, value))
        for rung, some in points.items():
            size = 6 + 14 * rung
            _dots(panel, some, size, colour, 0.35 + 0.2 * rung)
        if best:
            steps = [*best, (spent, best[-1][1])]
            panel.step(*zip(*steps, strict=True), where="post", color=colour, linewidth=1.8, label=text(line.label))
    if not drawn:
        return None
    panel.set_xlabel("environment steps" if settings.budget.unit == "steps" else "processor time, s")
    panel.set_ylabel(f"{name}, validation tasks")
    add_legend(panel)
    return svg(figure, "search-history")


@in_plain_style
def pareto(lines: Sequence[Line], settings: Settings) -> str | None:
    """Trials at the last rung by the first two objectives, and the front of each line; None with one objective."""
    if len(settings.objectives) < 2:
        return None
    first, second = settings.objectives[:2]
    figure, panel = panel_of(8.6, 4.2)
    drawn = False
    for number, line in enumerate(lines):
        scored, colour = at_last_rung(line.trials, line.rungs), COLOURS[number % len(COLOURS)]
        if not scored:
            continue
        _dots(panel, [(one.scores[second], one.scores[first]) for one in scored], 22, colour, 1.0, line.label)
        kept = {*front({one.number: gains(one.scores, (first, second)) for one in scored})}
        steps = sorted((one.scores[second], one.scores[first]) for one in scored if one.number in kept)
        where: Literal["pre", "post"] = "post" if second in MINIMISED else "pre"
        panel.step(*zip(*steps, strict=True), where=where, color=colour, linewidth=0.8)
        drawn = True
    if not drawn:
        return None
    panel.set_xlabel(text(f"{second}{UNITS.get(second, '')}"))
    panel.set_ylabel(f"{first}, validation tasks")
    add_legend(panel)
    return svg(figure, "search-front")


def at_last_rung(trials: Sequence[Trial], rungs: int) -> list[Trial]:
    """Trials that reached the last rung and have a score there."""
    return [one for one in trials if one.scores and not one.failure and len(one.results) == rungs]


@in_plain_style
def importance(shares: Mapping[str, float], label: str) -> str | None:
    """Bars of the importance of each parameter; None without any."""
    if not shares:
        return None
    names = sorted(shares, key=lambda name: shares[name])
    figure, panel = panel_of(8.6, 0.6 + 0.26 * len(names))
    panel.barh(range(len(names)), [shares[name] for name in names], color=COLOURS[0])
    panel.set_yticks(range(len(names)), [text(name) for name in names])
    panel.set_xlabel("share of the importance")
    return svg(figure, f"search-importance-{label}")


@in_plain_style
def slices(trials: Sequence[Trial], settings: Settings, label: str) -> str | None:
    """Score at the first rung against every parameter; None without scores."""
    name = settings.objectives[0]
    scored = [one for one in trials if one.parameters and one.results and not one.results[0].failure]
    if not scored:
        return None
    from matplotlib.figure import Figure

    parameters = [*(scored[0].parameters or {})]
    lines = -(-len(parameters) // COLUMNS)
    figure = Figure(figsize=(8.6, 1.9 * lines))
    panels = np.atleast_1d(figure.subplots(lines, COLUMNS, sharey=True, squeeze=False)).ravel()
    for panel, parameter in zip(panels, parameters, strict=False):
        values = [(one.parameters or {})[parameter] for one in scored]
        _slice(panel, parameter, values, [one.results[0].scores[name] for one in scored])
    for panel in panels[len(parameters) :]:
        panel.set_visible(False)
    figure.tight_layout()
    return svg(figure, f"search-slices-{label}")


def _slice(panel: Any, parameter: str, values: Sequence[Any], scores: Sequence[float]) -> None:
    """One parameter's panel."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        if min(values) > 0 and max(values) / min(values) > LOG_FROM:
            from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

            panel.set_xscale("log")
            panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())  # between them they lie on each other
        panel.scatter(values, scores, s=12, color=COLOURS[0], alpha=0.6, linewidths=0)
    else:
        names = sorted({str(value) for value in values})
        places = [names.index(str(value)) for value in values]
        panel.scatter(places, scores, s=12, color=COLOURS[0], alpha=0.6, linewidths=0)
        panel.set_xticks(range(len(names)), [text(name) for name in names])
    panel.set_title(text(parameter), fontsize=8, color=INK)
    panel.tick_params(colors=INK, which="both", labelsize=7)
    panel.grid(alpha=0.2, color=INK)
    for spine in panel.spines.values():
        spine.set_color(INK)


def _dots(
    panel: Axes, points: Sequence[tuple[float, float]], size: float, colour: str, alpha: float, label: str = ""
) -> None:
    """Draws points."""
    across, up = [x for x, _ in points], [y for _, y in points]
    panel.scatter(across, up, s=size, color=colour, alpha=alpha, linewidths=0, label=text(label) or None)


def _better(value: float, other: float, name: str) -> bool:
    return not math.isnan(value) and (value < other if name in MINIMISED else value > other)

"""The figures as Markdown tables and as JSON, and how far along a run is."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.measure import Comparison, Figure, Result
from robometa.compute.parallel import processors

PACKAGES = ("robometa", "mujoco", "torch", "numpy", "gymnasium", "metaworld", "stable-baselines3", "envpool")
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
"""Around the figures on the page that `make bench` writes."""


@dataclass(frozen=True)
class Machine:
    """Machine and date of a benchmark."""

    date: str
    processor: str
    cores: int
    load: float | None
    """Processes ready to run in the minute before; a busy machine's numbers mean little."""
    system: str
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Machine:
        """The machine that runs now."""
        versions = {"python": platform.python_version()}
        for package in PACKAGES:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = "not installed"
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            processor=_processor(),
            cores=processors(),
            load=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
            system=f"{platform.system()} {platform.machine()}",
            versions=versions,
        )


def _processor() -> str:
    """Reads the processor's name from the system."""
    about = Path("/proc/cpuinfo")
    names = (
        [line for line in about.read_text().splitlines() if line.startswith("model name")] if about.is_file() else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or "unknown processor"


@contextmanager
def progress(contests: int) -> Iterator[Callable[[str, float], None]]:
    """Shows a bar on a terminal; yields a function that takes a description and the part of a contest that is done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=contests)

        def tick(words: str, part: float) -> None:
            bar.update(task, description=words, advance=part)

        yield tick


def as_text(machine: Machine, results: Sequence[Result], quick: bool, minutes: float) -> str:
    """Makes the whole report.

    Args:
        machine: Where and when it ran.
        results: Of every contest.
        quick: Tiny sizes.
        minutes: Wall time of the run.

    Returns:
        Markdown.
    """
    lines = []
    if quick:
        lines += ["Tiny sizes (`--quick`): this shows that everything runs; the numbers mean nothing.", ""]
    load = "" if machine.load is None else f", load {machine.load} before the run"
    lines += [
        f"{machine.date}, one run of {minutes:.1f} minutes; {machine.processor}, {machine.cores} cores{load}; "
        f"{machine.system}; " + ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "",
        "Medians over the rounds, lowest and highest in brackets; the method: `bench/__main__.py`.",
    ]
    for result in results:
        rounds = max((len(rows) for rows in result.values.values()), default=0)
        lines += ["", f"### {result.name}", "", f"{rounds} round{'' if rounds == 1 else 's'}.", "", *_figures(result)]
        if result.contest.comparisons:
            lines += ["", *_comparisons(result)]
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Writes a report between the marks of a page.

    Args:
        page: A Markdown file with the marks.
        text: The report.

    Raises:
        ValueError: If the page lacks a mark.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} lacks {BEGIN} or {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def write_json(path: Path, machine: Machine, results: Sequence[Result], rounds: int, quick: bool) -> None:
    """Every measurement, and every comparison's median."""
    content = {"machine": asdict(machine), "rounds": rounds, "quick": quick, "contests": {}}
    for result in results:
        compared = {
            row.name: {"value": (value := result.of(row)), "target": row.target, "reached": _reached(row, value)}
            for row in result.contest.comparisons
        }
        content["contests"][result.name] = {
            "figures": {row.name: _figure(result, row) for row in result.contest.figures},
            "comparisons": compared,
        }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _figure(result: Result, figure: Figure) -> dict[str, object]:
    values = result.values.get(figure.name)
    return {"unit": figure.unit, "median": median(values) if values else None, "rounds": values, "note": figure.missing}


def _reached(comparison: Comparison, value: float | None) -> bool | None:
    return None if value is None else comparison.reached(value)


def _figures(result: Result) -> list[str]:
    rows = [("figure", "median", "rounds", "unit")]
    for figure in result.contest.figures:
        values = result.values.get(figure.name)
        if values:
            spread = f"[{_shown(min(values))}, {_shown(max(values))}]"
            rows.append((figure.name, _shown(median(values)), spread, figure.unit))
        else:
            rows.append((figure.name, "-", "", figure.missing))
    return table(rows)


def _comparisons(result: Result) -> list[str]:
    rows = [("comparison", "measured", "target", "")]
    for comparison in result.contest.comparisons:
        value = result.of(comparison)
        target = ""
        if comparison.target is not None:
            target = f"{'>=' if comparison.at_least else '<='} {comparison.target:g} {comparison.unit}".rstrip()
        if value is None:
            rows.append((comparison.name, "-", target, "not measured"))
            continue
        verdict = {True: "reached", False: "not reached", None: ""}[comparison.reached(value)]
        rows.append((comparison.name, f"{value:.3f} {comparison.unit}".rstrip(), target, verdict))
    return table(rows)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that can be read as plain text, too; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]

"""Findings of a torture: number of tries, failures, machine; their file and page."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.report import Machine

BEGIN, END = "<!-- figures: written by python -m torture -->", "<!-- end of figures -->"
SHOWN = 20
"""Failures that are kept of each part; there may be many of one kind."""


@dataclass(frozen=True)
class Settings:
    """Settings of a torture."""

    folder: Path
    """Working folder; deleted afterwards."""
    seed: int = 0
    short: bool = False
    """A few seconds of each part, to show that it works and to catch what is badly broken."""
    kills: int | None = None
    """Kills of each learner, instead of the usual number."""
    learners: tuple[str, ...] | None = None
    """Only these."""
    cases: str = ""
    """Hostile files whose name has this in it."""
    minutes: float | None = None
    """Minutes of fuzzing for all loaders, and of the soak."""


@dataclass
class Findings:
    """Findings of one part."""

    counts: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def count(self, name: str, by: int = 1) -> None:
        """Adds to a count."""
        self.counts[name] = self.counts.get(name, 0) + by

    def fail(self, what: str) -> None:
        """Notes something that broke a promise."""
        self.failures.append(what)


def described(findings: Findings, settings: Settings, started: float) -> dict[str, Any]:
    """A part's entry in the file of results."""
    machine = asdict(Machine.here())
    versions = {name: machine["versions"][name] for name in ("python", "robometa", "torch", "mujoco", "numpy")}
    return {
        "date": machine["date"],
        "machine": f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        "versions": versions,
        "seed": settings.seed,
        "form": "short" if settings.short else "full",
        "seconds": round(time.monotonic() - started, 1),
        "counts": findings.counts,
        "failures": len(findings.failures),
        "failed": findings.failures[:SHOWN],
    }


def write(path: Path, parts: dict[str, dict[str, Any]]) -> None:
    """Puts these parts into the file of results; parts that were not run stay as they are."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known | parts, indent=2) + "\n", encoding="utf-8")


def show(results: Path, page: Path) -> None:
    """Writes the figures of the results into the page, between its two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = as_table(json.loads(results.read_text(encoding="utf-8")))
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def as_table(parts: dict[str, dict[str, Any]]) -> str:
    """The parts as a Markdown table."""
    lines = ["| part | tried | broken | took | date, machine, seed |", "| --- | --- | --- | --- | --- |"]
    for name, part in parts.items():
        counts = "; ".join(f"{key} {_plain(value)}" for key, value in part["counts"].items())
        form = "" if part["form"] == "full" else f" ({part['form']} form)"
        where = f"{part['date']}, {part['machine']}, seed {part['seed']}"
        lines.append(f"| {name}{form} | {counts} | {part['failures']} | {part['seconds']:,.0f} s | {where} |")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_plain(entry)}" for key, entry in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int) else str(value)

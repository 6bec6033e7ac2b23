"""Output of a report: on the terminal and in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from robometa.errors import UserError
from robometa.escape import say
from robometa.storage.paths import is_own_file
from robometa.storage.table import Table

if TYPE_CHECKING:
    from robometa.reports.report import Report


MAX_REPORT_BYTES = 1 << 24
"""Largest report that is read, bytes."""


def keeps_report(folder: Path, report: Report) -> bool:
    """Returns True if a folder has a report of the same suite that a new one is not to replace unasked.

    That is one of another seed or protocol, of more shots or episodes, or with a control that the new one lacks.
    """
    path = folder / "report.json"
    if not is_own_file(folder, path.name):
        return False
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            return False
        table = Table(json.loads(path.read_text(encoding="utf-8")), "report.json")
        if table.text("suite_hash") != report.suite_hash:
            return False
        same = table.whole("seed") == report.seed
        same = same and (table.optional("protocol", table.text) or "") == report.protocol
        worlds, shots = table.whole("worlds"), len(table.content["shots"])
        loses = report.control is None and any(shot.content.get("control") for shot in table.tables("shots"))
    except (OSError, ValueError, RecursionError, TypeError, KeyError, UserError):
        return False
    return not same or loses or worlds > report.exploring.returns.shape[2] or shots > len(report.episodes_seen)


def publish(report: Report, save: Callable[[], list[Path]]) -> None:
    """Saves a report, prints it even if that fails, and prints the paths of its files."""
    from robometa.reports.terminal import print_report

    try:
        written = save()
    finally:
        print_report(report)
    say("written: " + ", ".join(map(str, written)))

"""Output of a report: on the terminal and in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from robometa.errors import UserError
from robometa.escape import say

if TYPE_CHECKING:
    from robometa.reports.report import Report


def require_writable(folder: Path) -> None:
    """Checks that a report can be written into a folder, before anything is measured.

    Raises:
        UserError: If it cannot.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UserError(f"cannot write the report into {folder}: {existing} is not a folder that can be written to")


def publish(report: Report, save: Callable[[], list[Path]]) -> None:
    """Saves a report, prints it even if that fails, and prints the paths of its files."""
    from robometa.reports.terminal import print_report

    try:
        written = save()
    finally:
        print_report(report)
    say("written: " + ", ".join(map(str, written)))

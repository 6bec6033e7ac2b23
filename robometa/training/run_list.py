"""Runs in folders, described one by one; a damaged one is described as such."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fcntl import LOCK_SH
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.storage.json_lines import Lines
from robometa.storage.open_folder import opened
from robometa.storage.paths import RUN, checked
from robometa.storage.table import Table

METRICS = "metrics.jsonl"
"""Table of a run's metrics."""
HELD_OUT = "held_out_return_"
"""Beginning of the names of held-out returns; the number of adaptations follows."""
MAX_BYTES = 1 << 26
"""Largest run.json that is read, bytes."""
MAX_DEPTH = 4
"""Folders below the one that is searched, at most."""


@dataclass(frozen=True)
class Run:
    """A run, as a list shows it."""

    folder: str
    suite: str = ""
    learner: str = ""
    seed: int | None = None
    iterations: int = 0
    """Iterations that are done."""
    end: int | None = None
    """Iterations of the whole run."""
    steps: int = 0
    """Environment steps that are done."""
    last_return: float | None = None
    """Mean return after the last adaptation, in the newest iteration."""
    held_out_return: float | None = None
    """The newest held-out return after the last adaptation."""
    bytes: int = 0
    """Size on the disk."""
    state: str = ""
    """`running`, `done`, `stopped` or `damaged`."""
    fault: str = ""
    """Description of the damage."""

    def to_json(self) -> dict[str, Any]:
        """All entries."""
        return asdict(self)


def runs_in(folders: Sequence[str | Path]) -> list[Run]:
    """Describes the runs in folders, sorted by path; numbers in names count as numbers.

    Args:
        folders: Folders of runs, or with runs somewhere below them.

    Raises:
        UserError: If there is no such folder.
    """
    places: dict[Path, None] = {}
    for folder in folders:
        place = checked(folder)
        if not place.is_dir():
            raise UserError(f"{place} is not a folder")
        places |= dict.fromkeys(_below(place, MAX_DEPTH))
    return [described(place) for place in sorted(places, key=_natural)]


def described(folder: Path) -> Run:
    """Describes a run."""
    run: dict[str, Any] = {"folder": str(folder), "bytes": _size(folder)}
    try:
        return Run(**run, **_content(folder))
    except UserError as error:
        return Run(**run, state="damaged", fault=str(error).splitlines()[0])
    except OSError as error:
        return Run(**run, state="damaged", fault=f"{folder} cannot be read: {error.strerror}")


def _content(folder: Path) -> dict[str, Any]:
    """Reads the configuration and the metrics of a run.

    Raises:
        UserError: If one of them is damaged.
    """
    table = configuration(folder / RUN)
    last, held_out, end = dict[str, float](), dict[str, float](), table.table("config").whole("iterations", 1)
    for last in Lines(folder / METRICS).rows():
        held_out = last if any(name.startswith(HELD_OUT) for name in last) else held_out
    done = int(last.get("iteration", -1)) + 1
    return {
        "suite": table.text("suite"),
        "learner": table.text("learner").rpartition(":")[2],
        "seed": table.whole("seed"),
        "iterations": done,
        "end": end,
        "steps": int(last.get("steps", 0)),
        "last_return": _last_shot(last, "return_"),
        "held_out_return": _last_shot(held_out, HELD_OUT),
        "state": "running" if _is_locked(folder) else "done" if done >= end else "stopped",
    }


def configuration(path: Path) -> Table:
    """Reads a run.json.

    Raises:
        UserError: If it is damaged.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is damaged: it has more than {MAX_BYTES} bytes")
    try:
        return Table(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:200]}") from None


def _last_shot(row: dict[str, float], beginning: str) -> float | None:
    """The number of this name after the last adaptation."""
    shots = [int(name.removeprefix(beginning)) for name in row if re.fullmatch(re.escape(beginning) + r"\d{1,4}", name)]
    return row[f"{beginning}{max(shots)}"] if shots else None


def _is_locked(folder: Path) -> bool:
    """Tests if a process trains in the folder."""
    with opened(folder) as opened_folder:
        return opened_folder.lock_at_once(LOCK_SH) is False


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Folders of runs at or below a folder; follows no links, and looks into no run."""
    if (folder / RUN).is_file():
        yield folder
    elif depth:
        try:
            with os.scandir(folder) as entries:
                inside = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return
        for name in inside:
            if not name.startswith("."):
                yield from _below(folder / name, depth - 1)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; one with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(Path(place) / name)
            except OSError:  # removed meanwhile
                continue
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def _natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts paths with the numbers in them by their value."""
    words = re.findall(r"\d+|\D+", str(path))
    return tuple((0, int(word), "") if word.isdecimal() and word.isascii() else (1, 0, word) for word in words)

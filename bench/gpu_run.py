"""Running the parts of the measurement on a GPU, each in a process of its own, and keeping what they find."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bench.gpu_bench import TARGETS, Row

ROOT = Path(__file__).parents[1]
LOOK = 0.1
"""Seconds between two looks at what a part has written."""
USAGE = 2
"""A process's exit code where what it was asked for cannot be."""


@dataclass(frozen=True)
class Part:
    """A measurement in a process of its own."""

    call: str
    """Module and function, `gpu_parts.engine_part`."""
    seconds: float
    """After which it is ended."""
    options: Row = field(default_factory=dict)
    """The function's."""
    processors: int = 0
    """To how many of them it is kept; 0: all."""
    needs: float = 8.0
    """Seconds without which it is not begun."""


class Asked(NamedTuple):
    """Order to a process."""

    name: str
    file: Path
    """File that it writes."""
    until: float
    """End of its time, by the monotonic clock."""
    flags: tuple[str, ...]
    """Flags for what it does without."""


class Measurement:
    """Runs parts one after the other while there is time, and writes all that they find, whatever ends them.

    It never touches the device itself: an error of CUDA spoils what else a process does there.
    """

    def __init__(
        self, folder: Path, minutes: float, command: Callable[[Asked], list[str]], *, add: bool = False
    ) -> None:
        """Begins the clock.

        Args:
            folder: Where gpu.json and gpu.log are written.
            minutes: After which it ends.
            command: What runs a part.
            add: Whether to go on with what stands in gpu.json.
        """
        self.folder, self._command = folder, command
        self._started, self._minutes = time.monotonic(), minutes
        self.record: Row = {"machine": {}, "targets": TARGETS, "parts": {}}
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "gpu.json"
        if add and file.exists():
            self.record = json.loads(file.read_text(encoding="utf-8"))
            self.record.pop("cut_off", None)
        else:
            (folder / "gpu.log").unlink(missing_ok=True)
        self._before = float(self.record.get("seconds", 0.0))
        self._flags: tuple[str, ...] = ()
        self.write()

    def left(self) -> float:
        """Seconds that are left."""
        return 60 * self._minutes - (time.monotonic() - self._started)

    def run(self, name: str, part: Part, seconds: float | None = None) -> Row:
        """Runs a part if there is time, again without graphs if it failed as a capture does; what it found.

        Args:
            name: The part's.
            part: What it does.
            seconds: Instead of the part's own.
        """
        started, limit = time.monotonic(), part.seconds if seconds is None else seconds
        if self.left() < part.needs:
            row: Row = {"left_out": f"no time: {self.left():.0f} s left"}
        else:
            row = self._run(name, limit, {}, self._flags)
            if row.pop("try_without_graphs", False) and "--without-graphs" not in self._flags:
                first = {"with_graphs": row}
                if self.left() >= part.needs:
                    flags = (*self._flags, "--without-graphs")
                    row = self._run(name, limit, first, flags)
                else:
                    row |= {"left_out": "no time to measure without graphs"}
                row.pop("try_without_graphs", None)
        if row.get("fallback_works"):
            self._flags = ("--without-conditional",)
        row["part_seconds"] = round(time.monotonic() - started, 1)
        self.record["parts"][name] = row
        self.write()
        print(f"{name}: {json.dumps(shortened(row))}", flush=True)
        return row

    def _run(self, name: str, limit: float, first: Row, flags: tuple[str, ...]) -> Row:
        """Figures of a process until it ends, or is ended."""
        limit = min(limit, self.left() - 0.5)
        row: Row = dict(first)
        with tempfile.TemporaryDirectory() as aside, (self.folder / "gpu.log").open("ab") as log:
            log.write(f"== {name}\n".encode())
            log.flush()
            file, until, place = Path(aside) / "part.json", time.monotonic() + limit, log.tell()
            asked = self._command(Asked(name, file, until, flags))
            # a group of its own, so that what it starts ends with it
            process = subprocess.Popen(asked, cwd=ROOT, env=_environment(), stdout=log, stderr=log, process_group=0)
            seen = 0
            try:
                while process.poll() is None and time.monotonic() < until:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
                    seen = self._take_in(name, row, file, seen)
                if process.poll() is None:
                    row["cut_off"] = f"after {limit:.0f} s"
            except BaseException as why:
                row["cut_off"] = f"the measurement was ended: {type(why).__name__}"
                raise
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self._take_in(name, row, file, seen)
                self.record["parts"][name] = row
                self.write()
            if process.returncode and "cut_off" not in row:
                row["ended_with"] = process.returncode
                row["said"] = self._said(place)
        if process.returncode == USAGE and not seen:
            raise SystemExit(row["said"].strip().splitlines()[-1] if row["said"].strip() else f"{name} cannot be run")
        return row

    def _take_in(self, name: str, row: Row, file: Path, seen: int) -> int:
        """Writes what the part has written since it was looked at, and says when that was."""
        if not file.exists() or file.stat().st_mtime_ns == seen:
            return seen
        seen = file.stat().st_mtime_ns
        row |= json.loads(file.read_text(encoding="utf-8"))
        machine = row.pop("machine", None)
        if machine:
            self.record["machine"] |= machine
            row["device"] = machine["device"]
        self.record["parts"][name] = row | {"running": True}
        self.write()
        return seen

    def _said(self, place: int) -> str:
        """The end of what the part has printed."""
        with (self.folder / "gpu.log").open("rb") as log:
            log.seek(place)
            return log.read().decode(errors="replace")[-1500:]

    def end(self, why: str) -> None:
        """Notes that what remains was not measured."""
        self.record["cut_off"] = why
        self.write()

    def write(self) -> None:
        """Writes the record, over what was written before."""
        self.record["seconds"] = round(self._before + 60 * self._minutes - self.left(), 1)
        aside = self.folder / ".gpu.json"
        aside.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")
        aside.replace(self.folder / "gpu.json")


def _environment() -> dict[str, str]:
    """This process's, with the checkout before the other places where modules are looked for."""
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}


def shortened(content: Any) -> Any:
    """Leaves out the middles of long lists and the beginnings of long texts."""
    if isinstance(content, dict):
        return {name: shortened(value) for name, value in content.items()}
    if isinstance(content, list):
        few = content if len(content) <= MANY else [*content[:3], "...", content[-1]]
        return [shortened(value) for value in few]
    return f"...{content[-500:]}" if isinstance(content, str) and len(content) > 500 else content


MANY = 6
"""Entries of a list that are printed."""

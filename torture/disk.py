"""Full disks: room runs out at every write of a save, by injection, by a limit on files, and on a small real disk.

The training either goes on, and ends in the same bytes as if there had been room, or stops with a message and no
traceback; what was saved before is intact, and with room again it is resumed to the same bytes.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from robometa.commands import main
from robometa.training.run_folder import RunFolder
from robometa.training.train import resume
from torture.findings import Findings, Settings
from torture.operations import Operations, watched
from torture.trainings import Child, differences, small, suite_file, train, written

LEARNER, ITERATIONS, SPOILT = "maml-trpo", 4, 3
"""Learner that is trained, and the save that fails."""
ENDINGS = (1, 2)
"""Exit codes of a training that ends with a message: something went wrong here, or there is no room to begin."""


def run(settings: Settings) -> Findings:
    """Fills the disk in all ways."""
    return _Disk(settings).fill()


class _Disk:
    """A training whose disk is full at some time."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.findings = settings, Findings(counts={"full disks": 0})
        self.chance = random.Random(f"{settings.seed} disk")
        self.straight = settings.folder / "straight"
        Child(lambda: train(self.straight, LEARNER, ITERATIONS), settings.folder / "straight.log").wait()
        self.expected = written(self.straight)

    def fill(self) -> Findings:
        """Injected at every write of one save; limits from nothing to the largest file; a real disk, if one mounts."""
        short, folder = self.settings.short, self.settings.folder
        total = self._changes_of_a_save()
        for at in range(0, total, 6 if short else 1):
            for torn in (True,) if short else (False, True):
                self._try(
                    folder / "injected", lambda run, at=at, torn=torn: self._injected(run, at, torn), f"change {at}"
                )
        largest = max(path.stat().st_size for path in self.straight.rglob("*") if path.is_file())
        limits = sorted(self.chance.randrange(200, largest) for _ in range(2 if short else 40))
        for limit in limits:
            self._try(folder / "limited", lambda run, limit=limit: self._limited(run, limit), f"files of {limit} bytes")
        self._on_small_disks(folder / "small", 1 if short else 20)
        return self.findings

    def _on_small_disks(self, folder: Path, count: int) -> None:
        """A disk of a few hundred kilobytes, more of which is taken each time."""
        need = sum(path.stat().st_size for path in self.straight.rglob("*") if path.is_file())
        for index in range(count):
            room = self.chance.randrange(need // 8, 2 * need)
            folder.mkdir(exist_ok=True)
            words = ["mount", "-t", "tmpfs", "-o", f"size={room}", "torture", str(folder)]
            if subprocess.run(words, capture_output=True, check=False).returncode != 0:
                self.findings.counts["real small disks"] = "none: only root may mount one"
                return
            try:
                begun = Child(lambda: self._command(folder / "run"), self.settings.folder / f"small{index}.log")
                self._judge(folder / "run", begun, f"a disk of {room} bytes", lambda: _enlarge(folder))
                self.findings.count("real small disks")
            finally:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def _try(self, folder: Path, act: Callable[[Path], object], what: str) -> None:
        """One training that runs out of room; resumed if that stopped it."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        run = folder / "run"
        self._judge(run, Child(lambda: act(run), folder / "log"), f"{folder.name}: {what}")
        self.findings.count(folder.name)

    def _judge(self, run: Path, begun: Child, what: str, make_room: Callable[[], object] = lambda: None) -> None:
        self.findings.count("full disks")
        code, said = begun.wait(), begun.said()
        if code not in (0, *ENDINGS) or "Traceback" in said:
            self.findings.fail(f"{what}: exit code {code}, and not a message but: {said[-500:]}")
            return
        self.findings.count("went on" if code == 0 else "ended with a message")
        make_room()
        if code != 0 and not run.exists():
            self.findings.count("before anything was there")
            return
        if code != 0:
            lost = RunFolder(run).checkpoints() and RunFolder(run).newest_checkpoint() is None
            resumed = Child(lambda: resume(run, threads=1), begun.log.with_suffix(".resumed"))
            if lost or resumed.wait() != 0:
                self.findings.fail(f"{what}: cannot be resumed with room again: {resumed.said()[-500:]}")
                return
        other = differences(self.expected, written(run))
        if other:
            self.findings.fail(f"{what}: {len(other)} differ, such as {other[:3]}; it had said: {said[-300:]}")

    def _changes_of_a_save(self) -> int:
        """Number of changes that a save makes to the disk."""
        counted = self.settings.folder / "counted"
        counted.mkdir()
        operations = Operations(notes=counted / "notes.json")
        Child(lambda: self._watch_a_save(counted / "run", operations, end=True), counted / "log").wait()
        return (counted / "notes.json").read_text(encoding="utf-8").count('", "') + 1

    def _injected(self, run: Path, at: int, torn: bool) -> int:
        return self._watch_a_save(run, Operations(at=at, torn=torn, fails=True), end=False)

    def _watch_a_save(self, run: Path, operations: Operations, end: bool) -> int:
        """A training in which only one save is watched."""
        save, saves = RunFolder.save_checkpoint, []

        def spoilt(self: RunFolder, saved: object) -> None:
            saves.append(saved)
            operations.watching = len(saves) == SPOILT
            try:
                save(self, saved)  # type: ignore[arg-type]
            finally:
                if len(saves) == SPOILT and end:
                    operations.end()
                operations.watching = False

        with watched(operations):
            operations.watching = False
            RunFolder.save_checkpoint = spoilt  # type: ignore[method-assign]
            code = self._command(run)
            operations.notes = None
        return code

    def _limited(self, run: Path, limit: int) -> int:
        """No file may grow beyond the limit."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return self._command(run)

    def _command(self, run: Path) -> int:
        """Trains as the command line does."""
        words = ["train", str(suite_file(self.settings.folder)), LEARNER, "--folder", str(run), "--threads", "1"]
        words += ["--torch-threads", "1", "--checkpoint-minutes", "0"]
        for name, value in small(LEARNER, ITERATIONS).items():
            words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
        return main.main(words)


def _enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)

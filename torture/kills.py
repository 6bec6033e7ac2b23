"""Kills: a training's process group is ended by SIGKILL at a random moment; resumed, it must end in the same bytes."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from robometa.training.run_folder import CONFIGURATION
from robometa.training.train import resume
from torture.findings import Findings, Settings
from torture.trainings import TRAINED, Child, differences, train, written

MOST = {"maml-trpo": 50, "pearl": 50, "rl2": 50, "varibad": 50}
OTHERS = 10
ITERATIONS = 8
TRIES = 12
"""Attempts to hit a moment inside a save, which takes a few milliseconds."""


def run(settings: Settings) -> Findings:
    """Kills every learner's training many times."""
    findings = Findings(counts={"kills": 0})
    names = settings.learners or (("pearl",) if settings.short else TRAINED)
    for name in names:
        kills = settings.kills or (3 if settings.short else MOST.get(name, OTHERS))
        _Victim(name, settings, findings).kill_often(kills)
    return findings


def leftovers(run: Path) -> list[Path]:
    """Remains of an unfinished save: folders written aside, or moved aside to be replaced."""
    return [path for folder in (run, run / "checkpoints") if folder.is_dir() for path in folder.glob(".*")]


class _Victim:
    """One learner, whose training is killed again and again."""

    def __init__(self, learner: str, settings: Settings, findings: Findings) -> None:
        self.learner, self.findings = learner, findings
        self.folder = settings.folder / learner
        self.folder.mkdir(parents=True)
        self.chance = random.Random(f"{settings.seed} kills {learner}")
        straight = self.folder / "straight"
        begun = self._begin(straight)
        while not (straight / CONFIGURATION).exists() and begun.running():
            time.sleep(0.001)
        seen = time.monotonic()
        if begun.wait() != 0:
            raise RuntimeError(f"{learner} does not train at all:\n{begun.said()}")
        self.seconds = time.monotonic() - seen
        """From the folder's first file to the end."""
        self.expected = written(straight)

    def kill_often(self, kills: int) -> None:
        """Two in five kills inside a save, one in five also of the resumed process, the others anywhere."""
        counts = dict.fromkeys(("anywhere", "inside a save", "again while resuming"), 0)
        for index in range(kills):
            kind = ("inside a save", "anywhere", "again while resuming", "inside a save", "anywhere")[index % 5]
            run = self.folder / f"run{index}"
            if kind == "inside a save":
                kind = kind if self._kill_inside_save(run) else "anywhere"
            else:
                self._kill_anywhere(run)
                if kind == "again while resuming":
                    again = self._resume(run)
                    time.sleep(self.chance.uniform(0, self.seconds))
                    again.kill()
            counts[kind] += 1
            self._finish(run, kind, index)
        self.findings.count("kills", kills)
        self.findings.counts[self.learner] = counts

    def _begin(self, run: Path) -> Child:
        return Child(lambda: train(run, self.learner, ITERATIONS), run.with_suffix(".log"))

    def _resume(self, run: Path) -> Child:
        return Child(lambda: resume(run, threads=1), run.with_suffix(".log"))

    def _kill_anywhere(self, run: Path) -> None:
        """From the moment when the run's folder is there, at a uniform time."""
        child = self._begin(run)
        while not run.exists() and child.running():
            time.sleep(0.0005)
        time.sleep(self.chance.uniform(0, self.seconds))
        child.kill()

    def _kill_inside_save(self, run: Path) -> bool:
        """True if a kill hit a save, of which something half done must be there afterwards."""
        for _ in range(TRIES):
            child = self._begin(run)
            nth, delay = self.chance.randrange(1, ITERATIONS + 2), self.chance.uniform(0, 0.006)
            saves: set[str] = set()
            while child.running() and len(saves) < nth:
                saves |= {path.name for path in leftovers(run) if path.is_dir()}
            time.sleep(delay)
            child.kill()
            if any(path.is_dir() for path in leftovers(run)):
                return True
            shutil.rmtree(run, ignore_errors=True)
        self._kill_anywhere(run)
        return False

    def _finish(self, run: Path, kind: str, index: int) -> None:
        """Goes on to the end and compares; what is the same is thrown away."""
        label = f"{self.learner}, kill {index} ({kind})"
        begun = (run / CONFIGURATION).exists()
        if not begun:
            self.findings.count("killed before anything was asked for in writing")
        child = self._resume(run) if begun else self._begin(run)
        code = child.wait()
        if code != 0:
            self.findings.fail(f"{label}: cannot go on (exit code {code}): {child.said()[-600:]}")
            return
        other = differences(self.expected, written(run))
        if other:
            self.findings.fail(f"{label}: {len(other)} differ, such as {other[:3]}")
            return
        left = [path.name for path in leftovers(run)]
        if left:
            self.findings.fail(f"{label}: {left} was left behind")
        shutil.rmtree(run)

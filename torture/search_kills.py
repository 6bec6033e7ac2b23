"""Kills of a search: its process group is ended by SIGKILL at random moments; resumed, it ends in the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from robometa.search.record_file import RECORD
from robometa.search.run import read
from robometa.suites.toml_file import written
from torture.findings import Findings, Settings
from torture.trainings import SUITE

KILLS = 50
SPACE = {
    "search": {
        "tasks": {"low": 2, "high": 3},
        "hidden": {"width": [4, 8], "depth": [1, 2]},
        "kl_bound": {"low": 0.001, "high": 0.1, "log": True},
    }
}
WORDS = ("--budget", "1500", "--training", "120", "--generation", "3", "--rungs", "2", "--finalists", "1")
MOST_FOLDERS = 16
"""More than the runs of a search that a kill waits for."""


def run(settings: Settings) -> Findings:
    """Kills a search again and again, and begins the next one when it has ended all the same."""
    findings = Findings(counts={"kills": 0, "searches": 0})
    chance, kills = random.Random(f"{settings.seed} search"), settings.kills or (2 if settings.short else KILLS)
    place = settings.folder
    (place / "tiny.toml").write_text(SUITE + "\n[learner.maml-trpo]\ntasks = 2\nworlds = 2\nhidden = [4]\n")
    (place / "space.toml").write_text(written(SPACE))
    straight = _started(place, "straight")
    if straight.wait() != 0:
        raise RuntimeError("the search does not end at all")
    expected = _bytes(place / "straight")
    while findings.counts["kills"] < kills:
        name = f"killed{findings.counts['searches']}"
        _kill_often(place, name, chance, kills, findings)
        findings.count("searches")
        other = _bytes(place / name)
        if other != expected:
            wrong = sorted(key for key in {*expected, *other} if expected.get(key) != other.get(key))
            findings.fail(f"{name}: {len(wrong)} files differ, such as {wrong[:3]}")
        numbers = [trial.number for trial in read(place / name).state.trials]
        if numbers != [*range(len(numbers))]:
            findings.fail(f"{name}: trials are lost or counted twice: {numbers}")
    return findings


def _kill_often(place: Path, name: str, chance: random.Random, kills: int, findings: Findings) -> None:
    """Kills a search at random moments until it has ended, at most five times."""
    for attempt in range(1000):
        process = _started(place, name)
        if attempt < 5 and findings.counts["kills"] < kills:
            _wait_for(place / name, chance.randrange(1, MOST_FOLDERS), process)
            time.sleep(chance.uniform(0.0, 1.0))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                findings.count("kills")
                process.wait()
                continue
        if process.wait() == 0:
            return
        raise RuntimeError(f"{name} cannot go on: exit code {process.returncode}")


def _wait_for(folder: Path, runs: int, process: subprocess.Popen[bytes]) -> None:
    """Waits until a search has begun so many runs, or has ended."""
    while process.poll() is None and len([*folder.glob("*/*/run.json")]) < runs:
        time.sleep(0.01)


def _started(place: Path, name: str) -> subprocess.Popen[bytes]:
    """Begins a search in a process group of its own, or resumes it."""
    begin = ("search", "tiny.toml", "maml-trpo", "--space", "space.toml", "--folder", name, *WORDS)
    words = ("search", "--resume", name) if (place / name / "search.json").exists() else begin
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *_path()])}
    command = [sys.executable, "-P", "-m", "robometa", *words, "--jobs", "2"]
    return subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def _path() -> list[str]:
    return list(filter(None, [os.environ.get("PYTHONPATH")]))


def _bytes(folder: Path) -> dict[str, bytes]:
    """Everything of a search that must repeat."""
    names = [*folder.glob("*/*/metrics.jsonl"), *folder.glob("*/*/policy/tensors.safetensors"), folder / RECORD]
    return {str(path.relative_to(folder)): path.read_bytes() for path in names}

"""A soak: train, evaluate and record in one process again and again; memory, open files and threads must stay flat."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from statistics import median

from robometa.commands import main
from robometa.video.record import record
from torture.findings import Findings, Settings
from torture.trainings import Child, train

MINUTES, SHORT_ROUNDS = 60.0, 4
GROWTH = 0.02
"""Factor by which the last quarter of the rounds may hold more memory than the second."""
LEARNERS = ("maml-trpo", "pearl", "rl2", "varibad")


def run(settings: Settings) -> Findings:
    """Goes round for as long as asked, in a process of its own."""
    findings = Findings()
    rounds_file = settings.folder / "rounds.jsonl"
    minutes = MINUTES if settings.minutes is None else settings.minutes
    child = Child(lambda: _go_round(settings, rounds_file, minutes), settings.folder / "log")
    if child.wait(60 * minutes + 600) != 0:
        findings.fail(f"it stopped: {child.said()[-600:]}")
    lines = rounds_file.read_text(encoding="utf-8").splitlines() if rounds_file.exists() else []
    rounds = [json.loads(line) for line in lines]
    judge(rounds, findings)
    return findings


def judge(rounds: list[dict[str, float]], findings: Findings) -> None:
    """Compares the last quarter of the rounds with the second; what happens in the first is warming up."""
    findings.counts["rounds"] = len(rounds)
    if len(rounds) < SHORT_ROUNDS:
        findings.fail(f"{len(rounds)} rounds tell nothing")
        return
    quarter = len(rounds) // 4
    second, last = rounds[quarter : 2 * quarter], rounds[-quarter:]
    for name in ("memory_mib", "files", "threads"):
        before, after = (median(entry[name] for entry in part) for part in (second, last))
        findings.counts[name.replace("_mib", ", MiB")] = {"early": before, "late": after}
        if name == "memory_mib" and len(rounds) < 4 * SHORT_ROUNDS:
            continue  # too few to be warm
        if after > before * (1 + GROWTH if name == "memory_mib" else 1):
            findings.fail(f"{name} grew from {before} to {after} over {len(rounds)} rounds")


def _go_round(settings: Settings, rounds_file: Path, minutes: float) -> None:
    os.chdir(settings.folder)
    until, index = time.monotonic() + 60 * minutes, 0
    while index < SHORT_ROUNDS if settings.short else time.monotonic() < until:
        learner = LEARNERS[0] if settings.short else LEARNERS[index % len(LEARNERS)]
        folder = settings.folder / "run"
        policy = train(folder, learner, 2)
        main.main(["evaluate", str(policy), "--worlds", "2", "--shots", "1", "--threads", "2"])
        if not settings.short:
            record(policy, shots=1, width=480, height=240, gif=False, out="film.mp4")
        shutil.rmtree(folder)
        with rounds_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"memory_mib": _memory(), "files": _count("fd"), "threads": _count("task")}) + "\n")
        index += 1


def _memory() -> float:
    """Resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _count(what: str) -> int:
    return len(os.listdir(f"/proc/self/{what}"))  # noqa: PTH208

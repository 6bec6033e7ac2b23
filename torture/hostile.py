"""Hostile files: each is given to every command that would take it, in a process that is watched.

Nothing of it may be executed, nothing written outside, memory is bounded; the answer is one message and exit code 2.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from robometa.commands import main
from torture.corpus import Case, cases
from torture.findings import Findings, Settings
from torture.guard import watch
from torture.trainings import Child, train

MISTAKE = 2
SECONDS = 60.0
MEMORY = 1 << 20
"""Kilobytes that an answer may take beyond what the process had."""
LONGEST = 4000
"""Characters of an answer: a message, not a dump of the file."""


def run(settings: Settings) -> Findings:
    """Gives every case to the command line."""
    findings = Findings(counts={"cases": 0, "answered with exit code 2": 0})
    ground = settings.folder / "ground"
    ground.mkdir()
    made = Child(lambda: train(ground / "run", "maml-trpo", 2), settings.folder / "log")
    if made.wait() != 0:
        raise RuntimeError(f"no policy to spoil:\n{made.said()}")
    nothing = Child(lambda: 0, settings.folder / "nothing.log")
    nothing.wait()
    chosen = [case for case in cases() if settings.cases in case.name]
    for index, case in enumerate(chosen[::12] if settings.short else chosen):
        _give(case, settings.folder / f"case{index}", ground, nothing.peak, findings)
    return findings


def _give(case: Case, box: Path, ground: Path, before: int, findings: Findings) -> None:
    """Makes one case's files beside an unspoilt run, gives them to its commands, and looks at what happened."""
    files, work = box / "files", box / "work"
    shutil.copytree(ground, files)
    work.mkdir()
    case.make(files)
    for words in case.commands(files):
        places = (work, files / "run") if words[0] == "resume" else (work,)
        listed = _listing(box, places)
        label = f"{case.name}: robometa {words[0]}"
        child = _command(words, places, box)
        code = child.wait(SECONDS)
        said, used = child.said(), child.peak - before
        findings.count("cases")
        findings.count(words[0])
        findings.counts["most memory, MiB"] = max(findings.counts.get("most memory, MiB", 0), used // 1024)
        trace = (box / "trace").read_text(encoding="utf-8", errors="replace") if (box / "trace").exists() else ""
        message = said.rpartition("error: ")[2]
        faults = {
            f"it did {trace[:300]!r}": bool(trace),
            "something was executed": (box / "executed").exists(),
            "something was written outside": _listing(box, places) != listed,
            f"it took {used // 1024} MiB": used > MEMORY,
            f"exit code {code}: {said[-400:]!r}": code not in ((0, MISTAKE) if case.may_go_on else (MISTAKE,)),
            f"no message: {said[-400:]!r}": code == MISTAKE and "error: " not in said,
            "a traceback": "Traceback" in said,
            f"a message of {len(message)} characters: {message[:200]!r}": len(message) > LONGEST,
            "a message with control characters": any(ord(sign) < 32 and sign not in "\n\t" for sign in message),
        }
        for fault, there in faults.items():
            if there:
                print(f"  broken: {label}: {fault}", flush=True)
                findings.fail(f"{label}: {fault}")
        if not any(faults.values()):
            findings.count("answered with exit code 2")
        (box / "trace").unlink(missing_ok=True)
    shutil.rmtree(box)


def _command(words: list[str], places: tuple[Path, ...], box: Path) -> Child:
    return Child(lambda: watch(lambda: main.main(words), places, box / "trace"), box / f"{words[0]}.log")


def _listing(box: Path, places: tuple[Path, ...]) -> dict[str, tuple[int, int]]:
    """Every file outside the folders to work in, with its size and time."""
    made = {box / "trace"}
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in box.rglob("*")
        if not any(path.is_relative_to(place) for place in places)
        and path not in made
        and path.suffix != ".log"
        and not path.is_dir()
    }

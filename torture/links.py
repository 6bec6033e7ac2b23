"""Links: one is planted at every name that is written, or that was once written aside; it leads to a file of the user.

No file outside may change, and none may appear; the command ends with a message or does its work.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robometa.commands import main
from robometa.video.record import publish
from torture.findings import Findings, Settings
from torture.trainings import Child, suite_file, train

CODES = (0, 1, 2)
"""Exit codes of a command that has done its work, or says why not."""
POLICY = ("README.md", "report.json", "tasks.csv", "manifest.json")
RUN = ("run.json", "metrics.jsonl", "timings.jsonl")
FOLDERS = ("checkpoints", "checkpoints/0000003", "policy", "divergences")


@dataclass(frozen=True)
class Case:
    """A link at a name, and the command that would write there."""

    name: str
    """The link's, below the folder with the run and all else."""
    command: str
    dangling: bool = False
    """The link leads to nothing; else to a copy of what was there, or to a file or folder of the user's."""


def run(settings: Settings) -> Findings:
    """Plants every link, one at a time."""
    findings = Findings(counts={"links": 0})
    ground = settings.folder / "ground"
    ground.mkdir()
    made = Child(lambda: train(ground / "run", "maml-trpo", 3), settings.folder / "log")
    if made.wait() != 0:
        raise RuntimeError(f"nothing to plant links in:\n{made.said()}")
    every = list(cases())
    for index, case in enumerate(every[::10] if settings.short else every):
        _plant(case, settings.folder / f"case{index}", ground, findings)
    return findings


def cases() -> Iterator[Case]:
    """Every name that is written, the hidden names of earlier versions beside it, and the command that writes it."""
    for dangling in (False, True):
        for name in POLICY[: 3 if dangling else 4]:
            yield Case(f"run/policy/{name}", "evaluate", dangling)
        for name in POLICY:
            yield Case(f"run/policy/.{name}.writing", "evaluate", dangling)
        for name in RUN if not dangling else RUN[1:]:
            yield Case(f"run/{name}", "resume", dangling)
        for name in (*RUN, *FOLDERS):
            yield Case(f"run/{_beside(name, 'writing')}", "resume", dangling)
        for name in FOLDERS:
            yield Case(f"run/{name}", "resume", dangling)
            yield Case(f"run/{_beside(name, 'old')}", "resume", dangling)
        for name in ("new", ".new.writing", ".new.old"):
            yield Case(name, "merge", dangling)
            yield Case(name, "train", dangling)
        for name in ("video.mp4", ".video.writing.mp4", ".video.mp4.writing"):
            yield Case(name, "publish", dangling)


def _plant(case: Case, box: Path, ground: Path, findings: Findings) -> None:
    """Runs a command beside one planted link, and looks at what is outside."""
    work, outside = box / "work", box / "outside"
    shutil.copytree(ground, work)
    outside.mkdir()
    if case.command == "resume":  # there is something left to do
        shutil.rmtree(work / "run" / "policy")
        shutil.rmtree(work / "run" / "checkpoints" / "0000003")
    _link(work / case.name, outside / "mine", case.dangling)
    before = _listing(outside)
    child = Child(lambda: COMMANDS[case.command](work), box / "log")
    code, said = child.wait(), child.said()
    label = f"{case.command}, {'dangling ' if case.dangling else ''}link at {case.name}"
    findings.count("links")
    findings.count(case.command)
    if _listing(outside) != before:
        findings.fail(
            f"{label}: something outside has changed: {sorted(_listing(outside).items() ^ before.items())[:4]}"
        )
    if code not in CODES or "Traceback" in said:
        findings.fail(f"{label}: exit code {code}: {said[-400:]}")
    shutil.rmtree(box)


def _link(place: Path, target: Path, dangling: bool) -> None:
    """Puts a link in the place of what is there, which the link leads to."""
    if place.is_dir():
        shutil.move(place, target)
    elif place.exists():
        place.rename(target)
    elif any(place.name.endswith(name) for name in (*(name.rpartition("/")[2] for name in FOLDERS), "new", ".old")):
        target.mkdir()
        (target / ".hidden.writing").write_text("mine", encoding="utf-8")
        (target / "2024").mkdir()
    else:
        target.write_text("mine", encoding="utf-8")
    if dangling:
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    place.symlink_to(target)


def _beside(name: str, ending: str) -> str:
    """The hidden name beside a name that earlier versions wrote to."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}.{last}.{ending}"


def _listing(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file and folder with its content and time."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.lstat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }


def _train(work: Path) -> int:
    words = ["--iterations", "1", "--tasks", "2", "--worlds", "2", "--hidden", "8", "--threads", "1"]
    return main.main(["train", str(suite_file(work)), "maml-trpo", "--folder", str(work / "new"), *words])


def _of_policy(*words: str) -> Callable[[Path], int]:
    options = {"evaluate": ("--worlds", "2", "--shots", "0", "--threads", "1")}
    return lambda work: main.main([*(word.format(work=work) for word in words), *options.get(words[0], ())])


COMMANDS: dict[str, Callable[[Path], object]] = {
    "evaluate": _of_policy("evaluate", "{work}/run/policy"),
    "resume": _of_policy("resume", "{work}/run", "--threads", "1"),
    "merge": _of_policy("merge", "{work}/run/policy", "{work}/run/policy", "--out", "{work}/new"),
    "train": _train,
    "publish": lambda work: publish(work / "tiny.toml", work / "video.mp4"),
}

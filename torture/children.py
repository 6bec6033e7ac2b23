"""A folder full of modules with the names of what is imported: no process that a command starts runs one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from torture.findings import Findings, Settings
from torture.trainings import Child, train

REPOSITORY = Path(__file__).parents[1]
HOSTILE = "import os\nos.close(os.open({canary!r}, os.O_CREAT | os.O_WRONLY))\nos._exit(7)\n"
"""Content of a hostile module: it leaves a file behind."""
START = "from robometa.commands.main import main; raise SystemExit(main())"
"""Program of a command, started as its script is: the current folder is not on its path."""
SECONDS = 300.0


def run(settings: Settings) -> Findings:
    """Runs every command that starts a process, in a folder full of hostile modules."""
    findings = Findings(counts={"commands": 0})
    ground, trap = settings.folder / "ground", settings.folder / "trap"
    ground.mkdir()
    made = Child(lambda: train(ground / "run", "maml-trpo", 1), settings.folder / "log")
    if made.wait() != 0:
        raise RuntimeError(f"nothing to record:\n{made.said()}")
    canary = settings.folder / "ran"
    findings.counts["modules"] = fill(trap, canary)
    for words in commands(ground)[: 2 if settings.short else None]:
        code, said = started(words, trap)
        findings.count("commands")
        if canary.exists():
            findings.fail(f"robometa {words[0]} ran a module of the current folder")
            canary.unlink()
        if code not in (0, 1, 2):
            findings.fail(f"robometa {words[0]}: exit code {code}: {said[-400:]!r}")
    return findings


def fill(trap: Path, canary: Path) -> int:
    """Makes a folder with a hostile module for every name that may be imported; returns how many."""
    trap.mkdir()
    names = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)
    names |= {"OpenGL", "imageio_ffmpeg", "mujoco", "numpy", "robometa", "sitecustomize", "usercustomize"}
    for name in names:
        (trap / f"{name}.py").write_text(HOSTILE.format(canary=str(canary)), encoding="utf-8")
    return len(names)


def commands(ground: Path) -> list[list[str]]:
    """Every command, those that start processes first."""
    run, suite = str(ground / "run"), str(ground / "tiny.toml")
    policy = f"{run}/policy"
    tiny = ["--width", "480", "--height", "240"]
    small = ["--iterations", "1", "--tasks", "1", "--worlds", "1", "--hidden", "8", "--threads", "1"]
    return [
        ["record", policy, "--shots", "1", "--out", str(ground / "film.mp4"), "--no-gif", *tiny],
        ["doctor"],
        ["suites", suite],
        ["learners", "maml-trpo"],
        ["train", suite, "maml-trpo", *small, "--folder", str(ground / "new")],
        ["evaluate", policy, "--worlds", "2", "--shots", "1"],
        ["baseline", "sb3-ppo", suite, "--tasks", "1", "--steps", "10", "--worlds", "1", "--out", str(ground / "sb3")],
        ["merge", policy, policy, "--out", str(ground / "merged")],
        ["verify", run, "--iterations", "1"],
        ["resume", run, "--iterations", "2", "--threads", "1"],
        ["replay", str(ground / "none")],
    ]


def started(words: list[str], trap: Path, **more: str) -> tuple[int, str]:
    """Exit code and output of a command in the folder, with more variables."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", START, *words],
        cwd=trap,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), **more},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr

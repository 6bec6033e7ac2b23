"""Fuzzing: inputs that a fuzzer makes up for everything that loads a file; only typed errors may come out.

Coverage guides it where `atheris` is installed; inputs are mutated blindly otherwise, and in the short form.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from torture.findings import Findings, Settings
from torture.trainings import Child, train

REPOSITORY = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
"""Environment of a child that finds `torture` in the repository, never in the current folder."""
MINUTES, SHORT_SECONDS = 10.0, 0.8
LONGEST = 4096
"""Bytes of an input."""
ROOM = 4 << 30
"""Bytes of address space that loading may take, where inputs are mutated blindly."""


def run(settings: Settings) -> Findings:
    """Fuzzes each loader for its share of the time."""
    from torture.loaders import LOADERS

    guided = not settings.short and importlib.util.find_spec("atheris") is not None
    findings = Findings(
        counts={"inputs": 0, "guided by": "coverage (atheris)" if guided else "nothing: blind mutations"}
    )
    run = settings.folder / "run"
    made = Child(lambda: train(run, "maml-trpo", 1), settings.folder / "log")
    if made.wait() != 0:
        raise RuntimeError(f"nothing to load:\n{made.said()}")
    minutes = MINUTES if settings.minutes is None else settings.minutes
    seconds = SHORT_SECONDS if settings.short else 60 * minutes / len(LOADERS)
    for name in LOADERS:
        if guided:
            _guided(name, seconds, settings, run, findings)
        else:
            _blind(name, seconds, settings, run, findings)
    return findings


def _guided(name: str, seconds: float, settings: Settings, run: Path, findings: Findings) -> None:
    """In an interpreter of its own, whose bytecode tells what it covers."""
    words = [sys.executable, "-P", "-m", "torture.guided", name, str(run), str(settings.folder / name)]
    words += [f"-max_total_time={max(1, round(seconds))}", f"-seed={settings.seed + 1}", f"-max_len={LONGEST}"]
    done = subprocess.run(words, env=REPOSITORY, capture_output=True, text=True, errors="replace", check=False)
    runs = re.findall(r"^#(\d+)\s", done.stderr, re.MULTILINE)
    findings.counts[name] = int(runs[-1]) if runs else 0
    findings.count("inputs", findings.counts[name])
    if done.returncode != 0:
        where = done.stderr.find("Uncaught Python exception")
        findings.fail(f"{name}: {done.stderr[where:][:700] if where >= 0 else done.stderr[-700:]}")


def _blind(name: str, seconds: float, settings: Settings, run: Path, findings: Findings) -> None:
    """In a process of its own, which tells how far it came."""
    count, last = settings.folder / f"{name}.count", settings.folder / f"{name}.input"
    copy = settings.folder / name / "run"
    shutil.copytree(run, copy)
    shutil.copy(run.parent / "tiny.toml", copy.parent)
    act = lambda: _mutate(name, seconds, settings.seed, copy, count, last)  # noqa: E731
    child = Child(act, settings.folder / f"{name}.log")
    code = child.wait(seconds + 60)
    findings.counts[name] = int(count.read_text(encoding="utf-8")) if count.exists() else 0
    findings.count("inputs", findings.counts[name])
    if code != 0:
        kept = last.read_bytes()[:300] if last.exists() else b""
        findings.fail(f"{name}: exit code {code}: {child.said()[-500:]} on {kept!r}")


def _mutate(name: str, seconds: float, seed: int, run: Path, count: Path, last: Path) -> None:
    from torture.loaders import LOADERS

    limit = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.chdir(run.parent)
    chance, loader = random.Random(f"{seed} fuzz {name}"), LOADERS[name](run)
    seeds, tried, until = loader.seeds(), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        content = mutated(chance.choice(seeds), seeds, chance)
        last.write_bytes(content)
        loader.load(content)
        tried += 1
        count.write_text(str(tried), encoding="utf-8")


def mutated(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """An input with a few changes: bytes turned, taken out, doubled, put in, or another's end."""
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(changed) + 1)
        span = chance.randrange(1, 20)
        kind = chance.randrange(6)
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del changed[place : place + span]
        elif kind == 2:
            changed[place:place] = changed[place : place + span] * chance.choice((1, 2, 50))
        elif kind == 3:
            changed[place:place] = chance.choice(WORDS)
        elif kind == 4:
            changed[place : place + span] = chance.choice(WORDS)
        else:
            changed[place:] = chance.choice(others)[place:]
    return bytes(changed[: 4 * LONGEST])


WORDS = (b"[" * 2000, b"{", b"}", b"]", b'"', b"\\", b"\n", b"\0", b"\xff", b"nan", b"inf", b"-1", b"0", b"1e999")
WORDS += (b"9" * 5000, b"9" * 400, b"null", b"true", b"../", b"/dev/zero", b"1979-05-27", b"=", b".", b"'''", b",")

"""Flipped bits: one bit of one file of a checkpoint or policy is another; whoever loads it must notice."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import torch

from robometa.commands import main
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.storage import sealed_folder
from robometa.training.run_folder import Progress, RunFolder, Saved
from torture.findings import Findings, Settings
from torture.trainings import Child, train

FLIPS, FEW = 1000, 120


def run(settings: Settings) -> Findings:
    """Flips bits one at a time, and puts each back."""
    findings = Findings(counts={"flips": 0, "noticed": 0})
    run, chance = settings.folder / "run", random.Random(f"{settings.seed} flips")
    made = Child(lambda: _make(run), settings.folder / "log")
    if made.wait() != 0:
        raise RuntimeError(f"nothing to flip bits in:\n{made.said()}")
    small, large = RunFolder(run).checkpoints()[-2:]
    policy = run / "policy"
    places: list[tuple[str, Path, Callable[[], object]]] = [
        ("checkpoints", small, lambda: sealed_folder.load(small, "checkpoint")),
        ("checkpoints", large, lambda: sealed_folder.load(large, "checkpoint")),
        ("policies", policy, lambda: policy_folder.load_policy(policy)),
    ]
    for flip in range(FEW if settings.short else FLIPS):
        kind, folder, load = places[flip % len(places)]
        findings.count(kind)
        _flip(folder, load, chance, findings)
    files = {path.name for _, folder, _ in places for path in _files(folder)}
    findings.counts["files"] = len({path for _, folder, _ in places for path in _files(folder)})
    if not {"README.md", "report.json", "tasks.csv"} <= files:
        findings.fail(f"the policy has no card or report to flip bits in: {sorted(files)}")
    for _, _, load in places:
        load()  # every bit is back in its place, or what was noticed was something else
    return findings


def _make(run: Path) -> None:
    """A trained and evaluated policy, a checkpoint of its training, and one whose replay is kept in shards."""
    train(run, "pearl", 3)
    last = RunFolder(run).newest_checkpoint()
    assert last is not None
    state = last.state | {"training/ring": torch.arange(700_000.0)}
    RunFolder(run).save_checkpoint(Saved(state, Progress(4, 40)))
    assert main.main(["evaluate", str(run / "policy"), "--worlds", "2", "--shots", "1", "--threads", "1"]) == 0


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flip(folder: Path, load: Callable[[], object], chance: random.Random, findings: Findings) -> None:
    """Half the flips go to every file alike, half to every byte alike."""
    files = _files(folder)
    sizes = [path.stat().st_size for path in files] if chance.random() < 0.5 else [1] * len(files)
    path = chance.choices(files, sizes)[0]
    place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
    _turn(path, place, bit)
    flipped = f"bit {bit} of byte {place} of {folder.name}/{path.name}"
    findings.count("flips")
    warned = io.StringIO()
    try:
        with contextlib.redirect_stderr(warned):
            load()
        if warned.getvalue():  # a text is damaged: whoever loads the folder is warned, and goes on
            raise UserError(warned.getvalue())
    except UserError as error:
        findings.count("noticed")
        if folder.name not in str(error):
            findings.fail(f"{flipped}: the message names no folder: {error}")
    except Exception as error:  # any other is a fault
        findings.fail(f"{flipped}: {type(error).__name__}: {error}")
    else:
        findings.fail(f"{flipped} was not noticed")
    _turn(path, place, bit)


def _turn(path: Path, place: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))

"""Races: two processes write, or one writes and one reads, one folder at the same moment, again and again.

Each succeeds or says in a sentence that it lost. Afterwards the folder is whole, and that of one of the two.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robometa.compute.hardware import Hardware
from robometa.errors import TrainingError, UserError
from robometa.policies.merge import merge
from robometa.storage import sealed_folder
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import RunFolder
from torture.findings import Findings, Settings
from torture.trainings import Child, train

RACES, FEW = 1000, 25
RUNNERS = 2
DONE = "done"
"""Outcome of a runner that succeeded; the message of one that did not is its outcome."""
SECONDS = 90.0
"""Longest time that a race may take."""


@dataclass(frozen=True)
class Race:
    """Something that two processes do to one folder, and how to tell that nothing is damaged."""

    name: str
    prepare: Callable[[Path], object]
    """Makes the folder ready before each race."""
    act: Callable[[Path, int], object]
    fault: Callable[[Path, list[str]], str]
    """Describes the fault of the folder and the outcomes afterwards; empty if there is none."""


def run(settings: Settings) -> Findings:
    """Runs every kind of race."""
    findings = Findings(counts={"races": 0})
    ground = settings.folder / "ground"
    ground.mkdir()
    for name in ("first", "second"):
        made = Child(lambda name=name: train(ground / name, "maml-trpo", 1), settings.folder / "log")
        if made.wait() != 0:
            raise RuntimeError(f"no policy to merge:\n{made.said()}")
    for race in (*RACES_IN_ONE_FOLDER, _merges(ground)):
        folder = settings.folder / race.name.replace(" ", "-")
        folder.mkdir()
        _run_often(race, folder, FEW if settings.short else RACES, findings)
    return findings


def _run_often(race: Race, folder: Path, times: int, findings: Findings) -> None:
    """Lets the runners start together, and looks at what they have left, as often as asked."""
    gate = multiprocessing.get_context("fork").Barrier(RUNNERS + 1)
    runners = [Child(lambda who=who: _runner(race, folder, who, times, gate), folder / "log") for who in range(RUNNERS)]
    try:
        for index in range(times):
            race.prepare(folder)
            gate.wait(SECONDS)
            gate.wait(SECONDS)
            outcomes = [(folder / f"outcome{who}").read_text(encoding="utf-8") for who in range(RUNNERS)]
            findings.count("races")
            findings.count(race.name)
            fault = _judged(race, folder, outcomes)
            if fault:
                findings.fail(f"{race.name}, race {index}: {fault}; outcomes: {outcomes}")
    except threading.BrokenBarrierError:
        findings.fail(f"{race.name}: a runner hangs or is gone: {(folder / 'log').read_text(encoding='utf-8')[-500:]}")
    finally:
        for runner in runners:
            runner.kill()


def _runner(race: Race, folder: Path, who: int, times: int, gate: Any) -> None:
    for _ in range(times):
        gate.wait(SECONDS)
        try:
            race.act(folder, who)
            outcome = DONE
        except (UserError, TrainingError) as error:
            outcome = str(error)
        except Exception as error:  # any other is a fault
            outcome = f"Traceback {type(error).__name__}: {error}"
        (folder / f"outcome{who}").write_text(outcome, encoding="utf-8")
        gate.wait(SECONDS)


def _judged(race: Race, folder: Path, outcomes: list[str]) -> str:
    """Describes the fault after a race."""
    if any(outcome.startswith("Traceback") or "\n" in outcome for outcome in outcomes):
        return "an outcome is no sentence"
    try:
        fault = race.fault(folder, outcomes)
    except Exception as error:  # an exception is as much of a fault as any
        return f"{type(error).__name__}: {error}"
    left = [path.name for path in folder.rglob(".*") if path.name.endswith((".writing", ".old"))]
    return fault or (f"left behind: {left}" if left else "")


def _save(folder: Path, who: int) -> None:
    tensors = {"weight": torch.full((300,), float(who))}
    sealed_folder.save(folder / "policy", tensors, {"kind": "policy"}, {"README.md": str(who), "report.json": str(who)})


def _save_once(folder: Path) -> None:
    if not (folder / "policy").exists():
        _save(folder, 0)


def _put(folder: Path, who: int) -> None:
    sealed_folder.put(folder / "policy", dict.fromkeys(("report.json", "tasks.csv", "README.md"), f"put by {who}"))


def _load(folder: Path) -> float:
    """Loads a policy, whose every file must be whole, and returns the number that its tensors consist of."""
    warned = io.StringIO()
    with contextlib.redirect_stderr(warned):
        tensors, _ = sealed_folder.load(folder / "policy", "policy")
    if warned.getvalue():
        raise ValueError(warned.getvalue())
    return float(tensors["weight"].unique().item())


def _fault_of_puts(folder: Path, outcomes: list[str]) -> str:
    _load(folder)
    texts = {(folder / "policy" / name).read_text(encoding="utf-8") for name in ("report.json", "tasks.csv")}
    return _all_done(outcomes) or ("" if len(texts) == 1 else f"texts of both: {texts}")


def _fault_of_saves(folder: Path, outcomes: list[str]) -> str:
    whose = f"{_load(folder):.0f}"
    card = (folder / "policy" / "README.md").read_text(encoding="utf-8")
    return _all_done(outcomes) or ("" if card in (whose, "put by 1") else f"tensors of {whose} and card of {card}")


def _fault_of_reader(folder: Path, outcomes: list[str]) -> str:
    _load(folder)
    return _all_done(outcomes)


def _all_done(outcomes: list[str]) -> str:
    return "" if all(outcome == DONE for outcome in outcomes) else "not both were done, though one waits for the other"


def _one_won(outcomes: list[str]) -> str:
    lost = [outcome for outcome in outcomes if outcome != DONE]
    return "" if len(lost) == 1 and "exists already" in lost[0] else "not exactly one won"


def _create(folder: Path, who: int) -> None:
    hardware = Hardware(threads=1, torch_threads=1)
    config = RunConfig("point-robot", "0" * 64, "random", None, "default", {"iterations": 1}, who, hardware, 5.0)
    with RunFolder(folder / "run").created(config):
        pass


def _fault_of_creates(folder: Path, outcomes: list[str]) -> str:
    seed = RunFolder(folder / "run").configuration().seed
    return _one_won(outcomes) or ("" if outcomes[seed] == DONE else f"run.json holds the loser's seed {seed}")


def _removed(name: str) -> Callable[[Path], object]:
    return lambda folder: shutil.rmtree(folder / name, ignore_errors=True)


RACES_IN_ONE_FOLDER = (
    Race("put and put", _save_once, _put, _fault_of_puts),
    Race("save and save", lambda folder: None, _save, _fault_of_saves),
    Race("save and put", _save_once, lambda folder, who: _put(folder, 1) if who else _save(folder, 0), _fault_of_saves),
    Race("save and load", _save_once, lambda folder, who: _load(folder) if who else _save(folder, 0), _fault_of_reader),
    Race("put and load", _save_once, lambda folder, who: _load(folder) if who else _put(folder, 0), _fault_of_reader),
    Race("create and create", _removed("run"), _create, _fault_of_creates),
)


def _merges(ground: Path) -> Race:
    """Two merges into one folder; the weights in its manifest say whose it is."""
    policies, weights = [ground / name / "policy" for name in ("first", "second")], (0.25, 0.75)

    def fault(folder: Path, outcomes: list[str]) -> str:
        _, manifest = sealed_folder.load(folder / "merged", "policy")
        weight = manifest["training"]["merged"][0]["weight"]
        whose = outcomes[weights.index(weight)]
        return _one_won(outcomes) or ("" if whose == DONE else f"it is the loser's: {json.dumps(weight)}")

    return Race(
        "merge and merge",
        _removed("merged"),
        lambda folder, who: merge(*policies, weights[who], out=folder / "merged"),
        fault,
    )

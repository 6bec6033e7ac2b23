"""Crashes: the process ends before, or in the midst of, every single change that a save makes to the disk.

After each crash three disks are looked at: as it is, with everything gone that was not flushed, and with every rename
undone besides that a flush did not yet make last.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robometa.compute.hardware import Hardware
from robometa.storage import sealed_folder
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import Progress, RunFolder, Saved
from robometa.training.train import resume
from torture import operations
from torture.findings import Findings, Settings
from torture.operations import CRASHED, Operations, watched
from torture.trainings import Child, differences, train, written

OLD, NEW = ({"weight": torch.full((300,), value)} for value in (1.0, 2.0))
BUFFER = torch.arange(600_000.0)
"""Numbers of a tensor that is kept in shards, some of which a checkpoint shares with an earlier one."""


@dataclass(frozen=True)
class Scene:
    """Something that is saved, and how to tell that nothing of it is lost."""

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    """Ended at each of its changes."""
    fault: Callable[[Path], str]
    """Describes the fault afterwards; empty if there is none."""


def run(settings: Settings) -> Findings:
    """Ends every scene at every one of its changes."""
    findings = Findings(counts={"crashes": 0})
    for scene in SCENES if settings.short else (*SCENES, _whole_run(settings.folder)):
        _crash_everywhere(scene, settings.folder / scene.name.replace(" ", "-"), findings, settings.short)
    return findings


def _crash_everywhere(scene: Scene, folder: Path, findings: Findings, short: bool) -> None:
    folder.mkdir()
    total = len(_played(scene, folder, Operations())["done"])
    points = [(at, torn) for at in range(total) for torn in (False, True)]
    for at, torn in points[:: 2 if short else 1]:
        notes = _played(scene, folder, Operations(at=at, torn=torn))
        states = [folder / name for name in ("played", "flushed", "undone")]
        for state, undo in zip(states[1:], (False, True), strict=True):
            _copy_with_losses(states[0], state, notes, undo)
        for state in states:
            findings.count("crashes")
            findings.count(scene.name)
            fault = scene.fault(state)
            if fault:
                done = f"{'in the midst of' if torn else 'before'} {notes['done'][-1]!r}, change {at} of {total}"
                findings.fail(f"{scene.name}: {done}, disk {state.name}: {fault}")


def _played(scene: Scene, folder: Path, changes: Operations) -> dict[str, Any]:
    """Plays a scene from its beginning in a process of its own; what it did to the disk."""
    stage, changes.notes = folder / "played", folder / "notes.json"
    shutil.rmtree(stage, ignore_errors=True)
    (folder / "log").unlink(missing_ok=True)
    stage.mkdir()
    if (prepared := folder / "prepared").exists():
        shutil.copytree(prepared, stage, dirs_exist_ok=True)
    else:
        scene.prepare(stage)
        shutil.copytree(stage, prepared)

    def act() -> None:
        with watched(changes):
            scene.act(stage)

    child = Child(act, folder / "log")
    code = child.wait()
    if code != (0 if changes.at is None else CRASHED):
        raise RuntimeError(f"{scene.name}: exit code {code} at change {changes.at}:\n{child.said()}")
    notes: dict[str, Any] = json.loads(changes.notes.read_text(encoding="utf-8"))
    return notes


def _copy_with_losses(played: Path, target: Path, notes: dict[str, Any], undo: bool) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(played, target)

    def moved(path: str) -> str:
        return path.replace(str(played), str(target), 1)

    renames = [(moved(source), moved(end), copy) for source, end, copy in notes["renames"]]
    lost = {"unflushed": {moved(path): size for path, size in notes["unflushed"].items()}, "renames": renames}
    operations.lose_power(lost, undo_renames=undo)


def _save(stage: Path, iterations: int) -> None:
    buffer = torch.cat((BUFFER[: 500_000 - iterations], torch.full((100_000 + iterations,), float(iterations))))
    state = NEW | {"iteration": torch.tensor(iterations), "buffer": buffer}
    RunFolder(stage).save_checkpoint(Saved(state, Progress(iterations, 10 * iterations)))


def _fault_of_checkpoints(stage: Path) -> str:
    """The newest or the one before must be found, whole; and the next save must go through and tidy up."""
    newest = RunFolder(stage).newest_checkpoint()
    if newest is None:
        return "no checkpoint is found"
    state, iterations = newest.state, newest.progress.iterations
    if iterations not in (2, 3):
        return f"the checkpoint of iteration {iterations} is found"
    if not torch.equal(state["iteration"], torch.tensor(iterations)) or not torch.equal(state["weight"], NEW["weight"]):
        return "other numbers than those saved"
    RunFolder(stage).cut(iterations)  # as a resume does
    _save(stage, 4)
    left = [path.name for path in (stage / "checkpoints").glob(".*")]
    return f"left behind by the next save: {left}" if left else ""


def _fault_of_policy(stage: Path) -> str:
    """Describes the fault of a replaced folder, which must be the old or the new one."""
    tensors, _ = sealed_folder.load(stage / "policy", "policy")
    return "" if any(torch.equal(tensors["weight"], one["weight"]) for one in (OLD, NEW)) else "neither old nor new"


def _guarded(fault: Callable[[Path], str]) -> Callable[[Path], str]:
    def guarded(stage: Path) -> str:
        try:
            return fault(stage)
        except Exception as error:  # an exception is as much of a fault as any
            return f"{type(error).__name__}: {error}"

    return guarded


def _policy(stage: Path, tensors: dict[str, torch.Tensor]) -> None:
    sealed_folder.save(stage / "policy", tensors, {"kind": "policy"}, {"README.md": "a card"})


def _tables(stage: Path) -> None:
    run = RunFolder(stage)
    for iteration in range(3):
        run.table("metrics.jsonl").append({"iteration": iteration, "steps": 10})


def _fault_of_tables(stage: Path) -> str:
    run = RunFolder(stage)
    seed = run.configuration().seed
    if seed not in (1, 2):
        return f"run.json holds seed {seed!r}"
    done = [row["iteration"] for row in run.rows("metrics.jsonl")]
    return "" if done in ([0, 1, 2], [0, 1]) else f"metrics.jsonl holds iterations {done}"


def _config(seed: int) -> RunConfig:
    hardware = Hardware(threads=1, torch_threads=1)
    return RunConfig("point-robot", "0" * 64, "random", None, "default", {"iterations": 1}, seed, hardware, 5.0)


def _configure(stage: Path) -> None:
    run = RunFolder(stage)
    run.configure(_config(seed=2))
    run.cut(2)


SCENES = (
    Scene(
        "save of a checkpoint",
        lambda stage: [_save(stage, iterations) for iterations in (1, 2)],
        lambda stage: _save(stage, 3),
        _guarded(_fault_of_checkpoints),
    ),
    Scene(
        "save over a folder",
        lambda stage: _policy(stage, OLD),
        lambda stage: _policy(stage, NEW),
        _guarded(_fault_of_policy),
    ),
    Scene(
        "start of a resume",
        lambda stage: (RunFolder(stage).configure(_config(seed=1)), _tables(stage)),
        _configure,
        _guarded(_fault_of_tables),
    ),
)


def _whole_run(folder: Path) -> Scene:
    """A resumed training from its second iteration to its policy, ended at each change; gone on with each time."""
    straight = folder / "straight"
    Child(lambda: train(straight, "maml-trpo", 3), folder / "straight.log").wait()
    expected = written(straight)

    def fault(stage: Path) -> str:
        child = Child(lambda: resume(stage / "run", threads=1), stage / "resumed.log")
        if child.wait() != 0:
            return child.said()[-400:]
        return ", ".join(differences(expected, written(stage / "run")))

    def prepare(stage: Path) -> None:
        run = stage / "run"
        shutil.copytree(straight, run)
        for newest in sorted((run / "checkpoints").glob("[0-9]*"))[1:]:
            shutil.rmtree(newest)
        shutil.rmtree(run / "policy")

    return Scene("end of a training", prepare, lambda stage: resume(stage / "run", threads=1), _guarded(fault))

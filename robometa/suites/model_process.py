"""Compiles a model that lies in a folder: `python -P -m robometa.suites.model_process FOLDER`, a process of its own.

Input: `request.json` and the folder `model`. Output: `result.json`, with the model's sizes or its fault; `model.mjb`;
and `model.xml`, if the request asks for the text.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mujoco

from robometa.compute import limits
from robometa.suites import model_edits, model_servos
from robometa.suites.robots import Sizes
from robometa.suites.terrain import Terrain
from robometa.suites.variations import driven_joints

MEMORY = 4 << 30
"""Limit on the address space beyond what the process begins with, bytes."""
COMPILE_SECONDS, STEP_SECONDS = 60, 10
"""Limits on the processor time of compiling, and of the first steps."""
STEPS = 10
"""First steps that are simulated."""
MAX_BINARY, MAX_DRAWN = 1 << 28, 1 << 30
"""Limits on the bytes of a compiled model: of one that each task has for itself, and of the one that a video shows."""


def main(folder: Path, edit: Callable[[mujoco.MjSpec], None] | None = None) -> None:
    """Compiles the model in the folder.

    Args:
        folder: Where the request lies, and the results go.
        edit: A change to the model before it is compiled.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it in the midst of C code too
    limits.end_with(sys.stdin.fileno())
    os.chdir(folder)  # MuJoCo's log file goes to the current folder
    mujoco.set_mju_user_warning(lambda message: None)
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    limits.limit(MEMORY, COMPILE_SECONDS)
    try:
        result: dict[str, Any] = _compile(folder, request, edit)
    except MemoryError:
        result = {"fault": f"it needs more than {MEMORY >> 30} GB of memory"}
    except Exception as error:  # whatever MuJoCo raises: the parent reports it
        result = {"fault": str(error)}
    Path("result.json").write_text(json.dumps(result), encoding="utf-8")


def _compile(folder: Path, request: dict[str, Any], edit: Callable[[mujoco.MjSpec], None] | None) -> dict[str, Any]:
    """Compiles, steps and saves the model, and describes it."""

    def edited() -> mujoco.MjSpec:
        """The model with all changes, read anew: MuJoCo 3.3 cannot compile one with a skin twice."""
        spec = mujoco.MjSpec.from_file(str(folder / "model" / request["model"]))
        model_edits.name_bodies(spec)
        if request["servos"]:
            model_servos.add_servos(spec)
        if request["floor"]:
            model_edits.add_floor(spec)
        if request["terrain"]:
            model_edits.add_terrain(spec, Terrain(**request["terrain"]))
        model_edits.set_physics(spec, request["physics"])
        model_edits.add_sensors(spec, request["sensors"])
        if edit is not None:
            edit(spec)
        return spec

    whole = edited().compile()
    model = model_edits.without_looks(whole, edited) if edit is None else whole
    size, most = mujoco.mj_sizeModel(model), MAX_BINARY if edit is None else MAX_DRAWN
    if size > most:
        raise ValueError(f"compiled, it takes {size >> 20} MiB, and at most {most >> 20} are taken")
    Path("stepping").touch()
    limits.limit_seconds(STEP_SECONDS)
    data = mujoco.MjData(model)
    for _ in range(STEPS):
        mujoco.mj_step(model, data)
    mujoco.mj_saveModel(model, "model.mjb")
    if Path("model.mjb").stat().st_size != size:  # MuJoCo tells nobody
        raise OSError("no room on the disk for the compiled model")
    if request["text"]:
        Path("model.xml").write_text(model_edits.text_of(whole, edited), encoding="utf-8")
    bodies = [model.body(index).name for index in range(1, model.nbody)]
    return {"sizes": asdict(_sizes(model)), "bodies": bodies, "main": model_edits.main_body(model)}


def _sizes(model: mujoco.MjModel) -> Sizes:
    driven = len(driven_joints(model))
    return Sizes(model.nbody - 1, model.ngeom, model.nv, model.nu, model.opt.timestep, driven)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Compiles a model that lies in a folder: `python -P -m robometa.suites.model_process FOLDER`, a process of its own.

Input: `request.json` and the folder `model`. Output: `result.json`, with the model's sizes or its fault; `model.mjb`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robometa.compute import limits
from robometa.suites.own_model import Sensor
from robometa.suites.robots import Sizes

MEMORY = 4 << 30
"""Limit on the address space beyond what the process begins with, bytes."""
COMPILE_SECONDS, STEP_SECONDS = 60, 10
"""Limits on the processor time of compiling, and of the first steps."""
STEPS = 10
"""First steps that are simulated."""
FOOT, ACTUATOR = "FOOT", "ACTUATOR"
"""Words for what a sensor looks at: a foot, which MuJoCo has none for, and an actuator, which goes by its index."""
FOOT_ZONE, EVERYWHERE = 1.5, 100.0
"""Radius of a foot's touch zone in sizes of its geom, and for a whole body, m."""
MAX_BINARY = 1 << 28
"""Limit on the bytes of a compiled model."""


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
        result: dict[str, Any] = {"sizes": asdict(_compile(folder, request, edit))}
    except MemoryError:
        result = {"fault": f"it needs more than {MEMORY >> 30} GB of memory"}
    except Exception as error:  # whatever MuJoCo raises: the parent reports it
        result = {"fault": str(error)}
    Path("result.json").write_text(json.dumps(result), encoding="utf-8")


def _compile(folder: Path, request: dict[str, Any], edit: Callable[[mujoco.MjSpec], None] | None) -> Sizes:
    """Compiles, steps and saves the model."""
    spec = mujoco.MjSpec.from_file(str(folder / "model" / request["model"]))
    add_sensors(spec, request["sensors"])
    if edit is not None:
        edit(spec)
    model = spec.compile()
    if mujoco.mj_sizeModel(model) > MAX_BINARY:
        raise MemoryError
    Path("stepping").touch()
    limits.limit_seconds(STEP_SECONDS)
    data = mujoco.MjData(model)
    for _ in range(STEPS):
        mujoco.mj_step(model, data)
    mujoco.mj_saveModel(model, "model.mjb")
    return Sizes(model.nbody - 1, model.ngeom, model.nv, model.nu, model.opt.timestep)


def add_sensors(spec: mujoco.MjSpec, sensors: Iterable[Sensor]) -> None:
    """Adds sensors to a model that is not compiled yet."""
    for name, kind, target, watched in sensors:
        if target == FOOT:
            add_foot(spec, name, watched)
            continue
        spec.add_sensor(
            name=name,
            type=getattr(mujoco.mjtSensor, f"mjSENS_{kind}"),
            objtype=getattr(mujoco.mjtObj, f"mjOBJ_{target}"),
            objname=_actuator(spec, int(watched)) if target == ACTUATOR else watched,
        )


def _actuator(spec: mujoco.MjSpec, index: int) -> str:
    """Name of an actuator, which gets one if it has none."""
    actuator = spec.actuators[index]
    actuator.name = actuator.name or f"actuator-{index}"
    return str(actuator.name)


def add_foot(spec: mujoco.MjSpec, name: str, foot: str) -> None:
    """Adds a sensor of the force on a foot, a geom or else a body, to a model that is not compiled yet."""
    geom, body = spec.geom(foot), spec.body(foot)
    if geom is None and body is None:
        raise ValueError(f"it has no geom and no body {foot!r}, which the suite calls a foot")
    if geom is not None:  # a zone around the shape: its body may have others, such as a calf
        ends = np.array(geom.fromto).reshape(2, 3)
        drawn = bool(np.isfinite(ends).all())  # between two points, which MuJoCo turns into a place later
        size = max(geom.size[:1]) + np.linalg.norm(ends[1] - ends[0]) / 2 if drawn else max(geom.size)
        zone = {"pos": ends.mean(axis=0) if drawn else geom.pos, "size": [FOOT_ZONE * size or EVERYWHERE] * 3}
        geom.parent.add_site(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, group=5, **zone)
    else:
        body.add_site(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, group=5, size=[EVERYWHERE] * 3)
    spec.add_sensor(name=name, type=mujoco.mjtSensor.mjSENS_TOUCH, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

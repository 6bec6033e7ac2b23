"""Compiles a user's own robot model in a process of its own, with limits on memory and time.

MuJoCo's parser and compiler are C: a model may crash them, or keep them busy for ever. The process reads a private copy
of the files that were checked, and returns the compiled model; this process never parses a user's XML with MuJoCo.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from robometa.compute.python_process import environment, python
from robometa.errors import UserError, unknown
from robometa.storage.scratch import scratch
from robometa.suites.mjcf_check import Model, read_model
from robometa.suites.robots import Physics, Robot, Sizes
from robometa.suites.terrain import Terrain

COMPILE = "robometa.suites.model_process"
"""The module that compiles a model as it is."""
PATIENCE = 300.0
"""Limit on the time that the process may take by the clock, s; its processor time is limited far below."""
KEPT, KEPT_BYTES = 16, 1 << 24
"""Compiled models that are kept, and the limit on the bytes of each."""

Sensor = tuple[str, str, str, str]
"""A sensor to add: its name, its type, and the type and name of what it looks at, by MuJoCo's words."""


@dataclass(frozen=True)
class Compiled:
    """A compiled model."""

    binary: bytes
    """MuJoCo's binary format (MJB)."""
    sizes: Sizes
    bodies: tuple[str, ...]
    """Names of its bodies without the world; the process names those that have none."""
    main: str
    """The body that can only be meant as the robot's; empty if there are several, or none."""
    text: str = ""
    """The model as MJCF, if it was asked for."""


_kept: dict[str, Compiled] = {}
"""Recent models by the hash of their files and of what was asked for."""


def compile_apart(
    path: Path,
    sensors: tuple[Sensor, ...] = (),
    module: str = COMPILE,
    *,
    root: Path | None = None,
    servos: bool = False,
    floor: bool = False,
    text: bool = False,
    physics: Physics | None = None,
    terrain: Terrain | None = None,
) -> Compiled:
    """Compiles a model and takes its first steps in a process of its own.

    Args:
        path: The model's file.
        sensors: Sensors to add to it.
        module: The module that the process runs.
        root: Folder that the model's files may lie in; its own if None.
        servos: Give a model without actuators one for each hinge and slide that is not its base's.
        floor: Add a flat floor.
        text: Write the model as MJCF too.
        physics: Numbers of the simulation in place of the model's own.
        terrain: Uneven ground to lay, flat as yet.

    Raises:
        UserError: If the check finds a fault, or MuJoCo cannot load the model within the limits.
    """
    model = read_model(path, root)
    if model.faults:
        raise UserError("\n".join(model.faults))
    numbers, ground = ({} if one is None else asdict(one) for one in (physics, terrain))
    wanted = {"model": model.place, "sensors": sensors, "servos": servos, "floor": floor, "text": text}
    request = json.dumps({**wanted, "physics": numbers, "terrain": ground})
    key = _key(model, request + module)
    if key not in _kept:
        compiled = _run(model, request, module)
        if len(compiled.binary) > KEPT_BYTES:
            return compiled
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = compiled
    return _kept[key]


def sizes_of(robot: Robot) -> Sizes:
    """Returns the sizes of a robot's model, which is compiled to count them if they are not known.

    Raises:
        UserError: If MuJoCo cannot load the model.
    """
    return robot.sizes or compile_robot(robot).sizes


def compile_robot(
    robot: Robot, sensors: tuple[Sensor, ...] = (), module: str = COMPILE, *, text: bool = False
) -> Compiled:
    """Compiles a robot's model in a process of its own, as `compile_apart` does."""
    servos = robot.gains is not None
    terrain = None if robot.real is None else robot.real.terrain
    return compile_apart(
        robot.mjcf,
        sensors,
        module,
        root=robot.root,
        servos=servos,
        floor=robot.floor,
        physics=robot.physics,
        terrain=terrain,
        text=text,
    )


def main_body(robot: Robot) -> str:
    """Returns the name of the body that a robot's model leaves no choice about.

    Raises:
        UserError: Naming its bodies, if there is a choice, or MuJoCo cannot load the model.
    """
    compiled = compile_robot(robot)
    if not compiled.main:
        raise UserError(
            f"{unknown('body', robot.body, compiled.bodies, robot.mjcf.name)}; say which one in [robot] body"
        )
    return compiled.main


def _key(model: Model, request: str) -> str:
    """Hash of a model's files with their places, and of a request."""
    parts = [(place, hashlib.sha256(model.content[file]).hexdigest()) for place, file in sorted(model.places.items())]
    return hashlib.sha256(json.dumps([request, parts]).encode()).hexdigest()


def _run(model: Model, request: str, module: str) -> Compiled:
    """Runs the process on a copy of the files."""
    with scratch() as folder:
        for place, file in model.places.items():
            copy = folder / "model" / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(model.content[file])
        (folder / "request.json").write_text(request, encoding="utf-8")
        code = _exit_code(python("-m", module, folder), folder / "said")
        if code == -signal.SIGINT:
            raise KeyboardInterrupt
        fault = _fault(folder, code)
        if fault:
            raise UserError(f"{model.path.name} is not a model that MuJoCo can load: {fault}")
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        binary, sizes = (folder / "model.mjb").read_bytes(), Sizes(**result["sizes"])
        text = (folder / "model.xml").read_text(encoding="utf-8") if json.loads(request)["text"] else ""
        return Compiled(binary, sizes, tuple(result["bodies"]), result["main"], text)


def _exit_code(words: list[str], said: Path) -> int:
    """Runs a command to its end and returns its exit code, minus a signal's number; the command never outlives this.

    Its standard input is a pipe that ends when this process does, even one that is killed.
    """
    with said.open("wb") as output:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment())
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return -signal.SIGXCPU
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _fault(folder: Path, code: int) -> str:
    """Describes the failure of the process; an empty string if it succeeded."""
    during = "taking its first steps" if (folder / "stepping").exists() else "compiling it"
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"{during} takes too long, or too much memory"
    if code < 0:
        return f"MuJoCo crashes while {during} ({signal.Signals(-code).name})"
    if code > 0 or not (folder / "result.json").exists():
        with (folder / "said").open("rb") as said:
            said.seek(max(0, os.fstat(said.fileno()).st_size - 500))
            last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process ended with exit code {code} while {during}: {last}"
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    copy = f"{folder / 'model'}{os.sep}"
    fault = str(result.get("fault", "")).replace(copy, "").replace(str(folder.resolve() / "model") + os.sep, "")
    return " ".join(fault.split())

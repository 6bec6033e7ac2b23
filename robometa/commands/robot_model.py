"""`robometa suites ROBOT.xml`: the parts of a robot's model, and a suite's file to begin with."""

from __future__ import annotations

import json
from pathlib import Path

from robometa.errors import UserError
from robometa.escape import printable, say

SUITE = """\
objective = "forward"
horizon = 200

[robot]
mjcf = {mjcf}
body = {body}

[train]
tasks = 40
body_mass = {{ uniform = [0.8, 1.2] }}

[test]
tasks = 10
seed = 1
body_mass = {{ uniform = [0.8, 1.2] }}
"""
"""File of a first suite with a model."""


def print_model(path: Path) -> None:
    """Prints the bodies, joints, actuators and sensors of a model, and a suite's file to begin with.

    Raises:
        UserError: If there is no such file, or it is not a model that MuJoCo can load.
    """
    if not path.is_file():
        raise UserError(f"no robot file {str(path)!r}")
    from robometa.sim.locomotion.models import from_binary
    from robometa.suites.own_model import compile_apart

    model = from_binary(compile_apart(path).binary)
    kinds = {"bodies": (model.body, model.nbody), "joints": (model.joint, model.njnt)}
    kinds |= {"actuators": (model.actuator, model.nu), "sensors": (model.sensor, model.nsensor)}
    names = {kind: [part(index).name for index in range(count)] for kind, (part, count) in kinds.items()}
    names["bodies"] = names["bodies"][1:]  # the first is the world
    say(f"{printable(path.name)}: a robot's model, physics step {model.opt.timestep:g} s")
    for kind, of_kind in names.items():
        say(f"  {len(of_kind)} {kind}: {', '.join(printable(name or 'without a name') for name in of_kind) or 'none'}")
    body = next((name for name in names["bodies"] if name), "")
    words = {"mjcf": json.dumps(path.name), "body": json.dumps(body)}
    say(f"\nA first suite to put beside it; `robometa suites ./mine.toml` checks it:\n\n{SUITE.format(**words)}")

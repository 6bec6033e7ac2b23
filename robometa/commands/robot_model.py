"""`robometa suites ROBOT.xml`: the parts of a robot's model, and a suite's file to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from robometa.errors import UserError
from robometa.escape import printable, say
from robometa.storage.paths import checked, is_plain_file
from robometa.suites.toml_file import quoted

if TYPE_CHECKING:
    import mujoco

    from robometa.suites.own_model import Compiled

TASKS = """\
[train]
tasks = 40
{varied}
[test]
tasks = 10
seed = 1
{varied}"""
VARIED = "body_mass = { uniform = [0.8, 1.2] }\nmotor_strength = { uniform = [0.8, 1.2] }\n"
CONTROL_STEP = 0.02
"""Control step that a first suite asks for, s."""
WALKER = """\
# For a robot on legs, positions in place of torques, and what it can measure itself:
# gains = { stiffness = 35.0, damping = 0.5 }
# action = { centre = "keyframe", scale = 0.4 }
# observe = ["base_angular_velocity", "projected_gravity", "joint_positions", "joint_velocities", "last_action"]"""
"""Lines for a robot with a free base that motors move, to be tried."""
ITS_BODY = '"?"  # one of the bodies above: its motion is what a suite measures'
"""Place for a body's name where several can be meant."""


def print_model(path: Path) -> None:
    """Prints the bodies, joints, actuators, sensors and keyframes of a model, and a suite's file to begin with.

    A model may use files in the folder that this is run from, if that holds it.

    Raises:
        UserError: If there is no such file, or it is not a model that MuJoCo can load.
    """
    if not is_plain_file(checked(path)):
        raise UserError(f"no robot file {str(path)!r}")
    from robometa.sim.locomotion.models import from_binary
    from robometa.suites.own_model import compile_apart

    inside = not path.is_absolute() and ".." not in path.parts
    compiled = compile_apart(path, root=Path.cwd() if inside else None)
    model = from_binary(compiled.binary)
    say(f"{printable(path.name)}: a robot's model, physics step {model.opt.timestep:g} s")
    for kind, words in _parts(model).items():
        say(f"  {len(words)} {kind}: {', '.join(map(printable, words)) or 'none'}")
    where = "the folder that you are in" if inside else "its folder"
    named = str(path) if inside else path.name
    say(f"\nA first suite to put into {where}; `robometa suites ./mine.toml` checks it:\n")
    say("\n".join(_first_suite(named, model, compiled)))


def _parts(model: mujoco.MjModel) -> dict[str, list[str]]:
    """Descriptions of a model's parts, by kind."""
    from robometa.sim.locomotion.keyframes import key_names

    return {
        "bodies": [model.body(index).name or "without a name" for index in range(1, model.nbody)],
        "joints": [_joint(model, index) for index in range(model.njnt)],
        "actuators": [_actuator(model, index) for index in range(model.nu)],
        "sensors": [model.sensor(index).name or "without a name" for index in range(model.nsensor)],
        "keyframes": key_names(model),
    }


def _joint(model: mujoco.MjModel, index: int) -> str:
    """A joint's name, kind and range."""
    from robometa.sim.locomotion.signals import joint_unit, part_name
    from robometa.suites.mujoco_numbers import FREE, HINGE, SLIDE

    kind, name = model.jnt_type[index], part_name("joint", model.joint(index).name, index)
    if kind not in (SLIDE, HINGE):
        return f"{name} ({'free' if kind == FREE else 'ball'})"
    low, high = model.jnt_range[index]
    unit = joint_unit(model, index)
    return f"{name} ({low:.3g} to {high:.3g} {unit})" if model.jnt_limited[index] else f"{name} (any {unit})"


def _actuator(model: mujoco.MjModel, index: int) -> str:
    """An actuator's name, what it is, and the range of its control."""
    from robometa.sim.locomotion.actions import actuator_name, control_range, is_position_servo

    low, high = control_range(model, index)
    kind = "position servo" if is_position_servo(model, index) else ""
    if not kind and int(model.actuator_biastype[index]) == 0:
        kind = "motor"
    name = actuator_name(model, index)
    return f"{name} ({f'{kind}, ' if kind else ''}{low:.3g} to {high:.3g})"


def _first_suite(named: str, model: mujoco.MjModel, compiled: Compiled) -> Iterator[str]:
    """Lines of a suite's file for a model."""
    from robometa.sim.locomotion.ground import falls_for_ever
    from robometa.sim.locomotion.keyframes import HOME, key_names

    yield from ('objective = "forward"', "horizon = 500", "", "[robot]", f"mjcf = {quoted(named)}")
    yield f"body = {quoted(compiled.main) if compiled.main else ITS_BODY}"
    yield f"frame_skip = {max(1, round(CONTROL_STEP / model.opt.timestep))}"
    if compiled.main and falls_for_ever(model, model.body(compiled.main).id):
        yield "floor = true"
    if not model.nu:
        yield "gains = { stiffness = 20.0, damping = 0.5 }"
    names = key_names(model)
    if names:
        yield f"keyframe = {quoted(HOME if HOME in names else names[0])}"
        yield "reset_joint_noise = 0.05"
    if _may_walk(model):
        yield WALKER
    yield f"\n{TASKS.format(varied=VARIED)}"


def _may_walk(model: mujoco.MjModel) -> bool:
    """True for a robot with a free base that forces of motors move."""
    from robometa.sim.locomotion.actions import is_position_servo
    from robometa.suites.mujoco_numbers import FREE

    motors = [index for index in range(model.nu) if not is_position_servo(model, index)]
    return bool(motors) and bool((model.jnt_type == FREE).any())

"""Bases of robots of one's own: turned roots, slides in bodies one inside another, ball joints."""

import mujoco
import numpy as np
import pytest

from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.locomotion.base import pushed_columns
from robometa.sim.locomotion.beginnings import TOUCHING
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.ground import depths
from robometa.sim.locomotion.signals import robot_spaces
from tests.own_robots import FLOOR, compile_here, suite_of

LEG = (
    '<geom type="box" size="0.2 0.1 0.05" mass="3"/><body name="leg" pos="0 0 -0.1">'
    '<joint name="hip" axis="0 1 0" range="-1 1"/>'
    '<geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.03" mass="1"/></body>'
)
THIN = '<inertial mass="0.01" pos="0 0 0" diaginertia="1e-4 1e-4 1e-4"/>'
NESTED = (
    f'<body name="rail" pos="0 0 0.25"><joint name="along" type="slide" axis="1 0 0"/>{THIN}'
    f'<body name="lift"><joint name="up" type="slide" axis="0 0 1"/>{THIN}'
    f'<body name="trunk"><joint name="pitch" axis="0 1 0"/>{LEG}</body></body></body>'
)
YAWED = (
    '<body name="trunk" pos="0 0 0.25" euler="0 0 90"><joint name="along" type="slide" axis="0 -1 0"/>'
    f'<joint name="up" type="slide" axis="0 0 1"/><joint name="pitch" axis="1 0 0"/>{LEG}</body>'
)
PITCHED = (
    '<body name="trunk" pos="0 0 0.25" euler="0 90 0"><joint name="up" type="slide" axis="-1 0 0"/>'
    f'<joint name="along" type="slide" axis="0 0 1"/><joint name="pitch" axis="0 1 0"/>{LEG}</body>'
)
BALL = (
    '<body name="trunk" pos="0 0 0.25"><joint name="along" type="slide" axis="1 0 0"/>'
    f'<joint name="up" type="slide" axis="0 0 1"/><joint name="pitch" type="ball" range="0 3"/>{LEG}</body>'
)
MOTOR = '<motor joint="hip" ctrlrange="-5 5"/>'
TERMS = 'observe = ["joint_positions", "joint_velocities"]\n'


@pytest.fixture(autouse=True)
def _compile_here(monkeypatch):
    compile_here(monkeypatch)


def engine_on(folder, base, robot="", *, floor=FLOOR, actuators=MOTOR, body="trunk"):
    xml = f"<mujoco><worldbody>{floor}{base}</worldbody><actuator>{actuators}</actuator></mujoco>"
    engine = CpuEngine(suite_of(folder, xml, f'body = "{body}"\n{robot}'), 1, 20, threads=1)
    engine.reset(Noise(0, ("base",), 1, 20))
    return engine


@pytest.mark.parametrize("base", [NESTED, YAWED, PITCHED, BALL])
def test_a_base_begins_above_the_ground_with_little_noise(tmp_path, base):
    engine = engine_on(tmp_path, base)
    model, data = engine.model, mujoco.MjData(engine.model)
    drawn = model.qpos0.copy()
    for state in engine.state().physics[0]:
        data.qpos[:] = qpos = state[1 : 1 + model.nq]
        assert max(depths(model, data).values(), default=0.0) <= TOUCHING
        assert abs(qpos[0 if base is not PITCHED else 1] - drawn[0]) <= 0.02
        turn = qpos[model.joint("pitch").qposadr[0] :][:4] if base is BALL else None
        assert turn is None or 2 * np.arccos(min(abs(turn[0]), 1.0)) <= np.radians(3) + 1e-9


@pytest.mark.parametrize("base", [NESTED, YAWED, PITCHED])
def test_a_base_is_no_joint_that_a_robot_measures_and_can_be_pushed(tmp_path, base):
    engine = engine_on(tmp_path, base, TERMS)
    names = [one.name for one in robot_spaces(engine.suite).observation]
    assert names == ["joint_positions/hip", "joint_velocities/hip"]
    model = engine.model
    along, pitch = (1 + model.nq + int(model.joint(name).dofadr[0]) for name in ("along", "pitch"))
    assert pushed_columns(model, "robot", "trunk") == (along, None, None, pitch, None)


@pytest.mark.parametrize("base", [NESTED, YAWED, PITCHED])
def test_a_pitch_is_about_the_worlds_axis(tmp_path, base):
    engine = engine_on(tmp_path, base, "pitch = 1.0\n")
    assert engine.layout.pitch == 1 + int(engine.model.joint("pitch").qposadr[0])
    with pytest.raises(UserError, match="a pitch limit needs a body with a hinge about y"):
        engine_on(tmp_path, YAWED.replace('axis="1 0 0"', 'axis="0 1 0"'), "pitch = 1.0\n")


@pytest.mark.parametrize("base", [NESTED, YAWED, PITCHED])
def test_a_driven_joint_below_a_base_is_no_part_of_it(tmp_path, base):
    model = engine_on(tmp_path, base).model
    assert pushed_columns(model, "robot", "leg") == pushed_columns(model, "robot", "trunk")
    with pytest.raises(UserError, match="a pitch limit needs a body with a hinge about y"):
        engine_on(tmp_path, base, "pitch = 1.0\n", body="leg")


def test_gains_give_a_nested_base_no_servos(tmp_path):
    engine = engine_on(tmp_path, NESTED, "gains = { stiffness = 20.0 }\n", actuators="")
    assert [engine.model.actuator(index).name for index in range(engine.model.nu)] == ["hip"]


def test_a_nested_base_that_falls_for_ever_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no floor, so that trunk falls for ever"):
        engine_on(tmp_path, NESTED, floor="")


def test_a_joint_that_damping_holds_still_begins_at_rest(tmp_path):
    """Gymnasium-Robotics' Fetch stands on such slides: at 0.1 m/s they would push with 10 GN."""
    base = NESTED.replace('name="along"', 'name="along" damping="1e11"')
    velocities = engine_on(tmp_path, base).state().physics[0, :, -4:]
    assert (velocities[:, 0] == 0).all()
    assert (velocities[:, 1:] != 0).all()

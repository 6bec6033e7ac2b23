"""The runtime's observer: from a robot's readings to the numbers that the simulator shows a policy."""

import math
import types
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from robometa import suites
from robometa.deployment.contract import plugs_of
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.signals import robot_spaces

runtime = pytest.importorskip("robometa_runtime", reason="the extra onnx is not installed", exc_type=ImportError)
SUITE = """
horizon = 8
objective = { track_velocity = 1.0 }
command = { velocity = { uniform = [0.5, 1.0] }, yaw_rate = { uniform = [-0.5, 0.5] } }
[robot]
name = "ant"
keyframe = "qpos0"
frame_skip = 1
observe = [
  { term = "base_angular_velocity", scale = 0.25 },
  { term = "joint_positions", history = 3 },
  { term = "joint_positions", delay = 0.02 },
  { term = "joint_velocities", scale = 0.05, clip = 2.0, history = 2 },
  "projected_gravity",
  { term = "last_action", delay = 0.01, history = 2 },
  "command",
  { term = "base_angular_velocity", frame = "heading" },
]
[train]
tasks = 2
gravity = { uniform = [0.8, 1.2] }
[test]
tasks = 1
gravity = { uniform = [0.8, 1.2] }
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("observer") / "seen.toml"
    path.write_text(SUITE, encoding="utf-8")
    return suites.load(path)


@pytest.fixture
def contract(suite):
    return types.SimpleNamespace(content=plugs_of(suite, robot_spaces(suite)), folder=Path("exported"))


@pytest.fixture
def readings(contract):
    """Sound readings."""
    return {
        name: [0.75] if name == "command" else np.linspace(0.1, 0.2, len(parts))
        for name, parts in runtime.Observer(contract).readings.items()
    } | {"command": [0.75, 0.25]}


def test_it_gives_what_the_simulator_shows(suite, contract):
    engine, observe = CpuEngine(suite, 1, 1, threads=1), runtime.Observer(contract)
    engine.assign(list(suite.test))
    seen = engine.reset(Noise(0, ("observer",), 1, 1))
    actions = contract.content["action"]
    middle, half = (np.array([one[name] for one in actions]) for name in ("offset", "scale"))
    assert observe.readings["joint_positions"] == observe.readings["joint_velocities"]
    draws, before = torch.Generator().manual_seed(0), engine.state().physics[0, 0]
    for _ in range(6):
        shown, state = seen[0, 0].numpy(), engine.state().physics[0, 0]
        np.testing.assert_allclose(observe(measured(engine.model, observe, state, before, shown)), shown, atol=1e-5)
        before = state.copy()
        action = 2.6 * torch.rand(1, 1, 8, generator=draws) - 1.3  # the simulator clips what is outside of -1..1
        observe.sent = middle + half * action[0, 0].numpy()
        seen = engine.step(action).obs


def measured(model, observe, state, before, shown):
    """Readings from the physics; what is asked for stands in the observation that is shown.

    MuJoCo's sensors of the body are one physics step behind its joints.
    """
    qpos, qvel = state[1 : 1 + model.nq], state[1 + model.nq : 1 + model.nq + model.nv]
    turn, turning = before[4:8] / np.linalg.norm(before[4:8]), before[4 + model.nq : 7 + model.nq]
    (w, x, y, z), spin, level = turn, np.zeros(3), np.zeros(3)
    heading = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    mujoco.mju_rotVecQuat(spin, turning, turn)
    mujoco.mju_rotVecQuat(level, spin, np.array([math.cos(heading / 2), 0, 0, -math.sin(heading / 2)]))
    names = observe.readings["joint_positions"]
    return {
        "base_angular_velocity (body frame)": turning,
        "base_angular_velocity (heading frame)": level,
        "projected_gravity": runtime.projected_gravity(turn),
        "joint_positions": {name: qpos[model.joint(name).qposadr[0]] for name in names},
        "joint_velocities": [qvel[model.joint(name).dofadr[0]] for name in names],
        "command": shown[-5:-3],
    }


def test_a_new_episode_has_no_former_samples(contract, readings):
    observe = runtime.Observer(contract)
    first = observe(readings)
    observe.sent = np.ones(8)
    assert not np.array_equal(observe({**readings, "joint_positions": np.zeros(8)}), first)
    observe.reset()
    np.testing.assert_array_equal(observe(readings), first)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"joint_positions": np.zeros(7)}, r"joint_positions must be 8 numbers \(hip_1, .*\), not 7"),
        ({"joint_positions": {"hip_1": 0.0}}, "joint_positions must name hip_1, .*, not hip_1"),
        ({"joint_positions": ["a"] * 8}, "joint_positions must be 8 numbers"),
        ({"joint_velocities": [0, np.nan, *[0] * 6]}, "joint_velocities/ankle_1 is nan, not finite"),
        ({"joint_positions": ["1"] * 8}, "joint_positions must be 8 numbers"),
        ({"joint_positions": np.array(["1"] * 8, object)}, "joint_positions must be 8 numbers"),
        ({"joint_positions": np.ones(8) + 1j}, "joint_positions must be 8 numbers"),
        ({"joint_positions": [10**400, *[0] * 7]}, "joint_positions must be 8 numbers"),
        ({"joint_positions": np.ma.array(np.ones(8), mask=[1, *[0] * 7])}, "joint_positions/hip_1 is nan, not finite"),
        ({"base_angular_velocity (body frame)": [1e40, 0, 0]}, "base_angular_velocity/x is too large"),
        ({1: 2}, "unknown 1: this policy sees base_angular_velocity"),
        ({"command": [1.5, 0.0]}, "command/velocity is 1.5, and was from 0.5 to 1 m/s in training"),
        (
            {"joint_positions": np.full(8, 30.0)},
            r"joint_positions/hip_1 is 30, far outside of -0.5236 to 0.5236 rad: is it in another unit\?",
        ),
        ({"projected_gravity": [0.0, 0.0, -9.81]}, "projected_gravity/z is -9.81, far outside of -1 to 1: is it"),
        ({"gyro": np.zeros(3)}, "unknown gyro: this policy sees base_angular_velocity"),
    ],
)
def test_an_unsound_reading_is_refused_and_changes_nothing(contract, readings, change, told):
    observe, other = runtime.Observer(contract), runtime.Observer(contract)
    for one in (observe, other):
        one(readings)
    with pytest.raises(runtime.ObservationError, match=told):
        observe({**readings, **change})
    again = {**readings, "joint_positions": np.zeros(8)}
    np.testing.assert_array_equal(observe(again), other(again))


@pytest.mark.parametrize(
    ("sent", "told"),
    [(np.zeros(3), r"have the shape \(8,\), not \(3,\)"), ([math.nan] * 8, "not finite"), (["a"] * 8, "be numbers")],
)
def test_a_wrong_action_is_refused(contract, readings, sent, told):
    observe = runtime.Observer(contract)
    observe.sent = sent
    with pytest.raises(runtime.ObservationError, match=f"sent (is|must) {told}"):
        observe(readings)


@pytest.mark.parametrize("name", ["last_action", "command", "imu@-x", "imu@-1", "imu/gyro/x"])
def test_a_sensor_may_have_any_name(name):
    number = {"name": name, "offset": 0.0, "scale": 1.0, "clip": None, "delay": 0.02, "frame": None}
    number |= {"low": None, "high": None}
    content = {"observation": [number], "action": [{"name": "m", "offset": 0.0, "scale": 1.0}], "control_hz": 50.0}
    observe = runtime.Observer(types.SimpleNamespace(content=content, folder=Path()))
    ((reading, _),) = observe.readings.items()
    for value in (1.0, 2.0):
        np.testing.assert_array_equal(observe({reading: value}), [1.0 if name == "command" else value])


def test_a_reading_beyond_its_clip_is_clipped():
    number = {"name": "qvel/knee", "offset": 0.0, "scale": 1.0, "clip": [-10.0, 10.0], "delay": 0.0, "frame": None}
    number |= {"low": -10.0, "high": 10.0}  # of a robot whose velocities are clipped
    content = {"observation": [number], "action": [{"name": "m", "offset": 0.0, "scale": 1.0}], "control_hz": 50.0}
    observe = runtime.Observer(types.SimpleNamespace(content=content, folder=Path()))
    np.testing.assert_array_equal(observe(qvel=40.0), [10.0])


def test_missing_readings_are_refused(contract, readings):
    observe = runtime.Observer(contract)
    with pytest.raises(runtime.ObservationError, match=r"missing command: this policy sees"):
        observe({name: value for name, value in readings.items() if name != "command"})


def test_a_damaged_contract_is_refused(contract):
    changes = [{"scale": None}, {"scale": math.nan}, {"offset": math.inf}, {"delay": 1e9}]
    for change in (*changes, {"clip": [1]}, {"clip": "ab"}, {"clip": [1, -1]}):
        damaged = [contract.content["observation"][0] | change, *contract.content["observation"][1:]]
        with pytest.raises(runtime.ContractError, match="is damaged"):
            runtime.Observer(types.SimpleNamespace(content=contract.content | {"observation": damaged}, folder=Path()))


def test_gravity_needs_a_quaternion():
    np.testing.assert_allclose(runtime.projected_gravity([2.0, 0, 0, 0]), [0, 0, -1])
    with pytest.raises(runtime.ObservationError, match="the quaternion is 0"):
        runtime.projected_gravity(np.zeros(4))

"""The page's simulator: one control step from the same state leads where the CPU engine's does.

Ant, hopper, rover and humanoid have contacts with a margin, which the page's MuJoCo 3.14 computes otherwise than 3.3.
"""

from contextlib import closing
from dataclasses import replace

import numpy as np
import own_robots
import pytest
import torch
from node_tools import needs, node

from robometa import suites
from robometa.deployment.contract import plugs_of
from robometa.deployment.page.robot import robot_of
from robometa.noise import Noise
from robometa.sim.locomotion import models
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.reader import Reader
from robometa.sim.signals import robot_spaces
from robometa.suites.own_model import sizes_of
from robometa.suites.variations import VARIATIONS

STEPS = 12
TOLERANCE = 1e-11


def changes(suite, generator):
    """Every variation at once, as far as the robot has it."""
    sizes = sizes_of(suite.robot)
    numbers = {"slope": [0.12], "payload": [1.5], "gravity": [1.2]}
    for name in ("body_mass", "geom_friction", "joint_damping", "motor_strength"):
        numbers[name] = generator.uniform(0.6, 1.4, VARIATIONS[name].size(sizes)).tolist()
    numbers["joint_offset"] = generator.uniform(-0.1, 0.1, sizes.driven).tolist()
    return numbers


def stepped(suite, task, generator):
    """A case for the page, and what the CPU engine makes of it: states, rewards, observations."""
    case, wanted = {"steps": []}, []
    with closing(CpuEngine(suite, 1, 1, threads=1)) as engine:
        engine.assign([task])
        seen = engine.reset(Noise(0, ("page",), 1, 1))
        commands = {} if engine._wires is None else engine._wires.commands
        case["command"] = [one for values in commands.values() for one in values[0].tolist()]
        case["asked"] = {name: values[0].tolist() for name, values in commands.items()}
        positions, velocities = engine.model.nq, engine.model.nv
        split = (1, 1 + positions, 1 + positions + velocities, 1 + positions + velocities + engine.model.na)
        for _ in range(STEPS):
            before = engine.state()
            action = generator.uniform(-1.2, 1.2, engine.spaces.action)
            outcome = engine.step(torch.tensor(action, dtype=torch.float32)[None, None])
            if bool(outcome.terminated.any()):  # the state after it is another episode's
                break
            parts = np.split(before.physics[0, 0], split)[1:4]
            given = {name: part.tolist() for name, part in zip(("qpos", "qvel", "act"), parts, strict=True)}
            given |= {"sensed": before.sensors[0, 0].tolist(), "action": np.float32(action).astype(float).tolist()}
            case["steps"].append(given)
            after = np.split(engine.state().physics[0, 0], split)[1:3]
            measured = {"obs": outcome.next_obs[0, 0].numpy(), "reward": float(outcome.reward[0, 0])}
            first = {"first": seen[0, 0].numpy()}
            wanted.append(dict(zip(("qpos", "qvel"), after, strict=True)) | measured | first)
            seen = outcome.next_obs
    return case, wanted


def compared(suite, drawn):
    """Compares control steps of the page with the CPU engine's: first the task's variations, then drawn ones."""
    generator, task, robot = np.random.default_rng(0), suite.test[0], robot_of(suite)
    numbers = {key: list(value) for key, value in task.parameters if key in VARIATIONS}
    hidden = {key: list(value) for key, value in task.parameters if key not in VARIATIONS}
    cases, wanted = [], []
    for chosen in (numbers, changes(suite, generator) if drawn else {"gravity": [1.2]}):
        parameters = tuple((key, tuple(value)) for key, value in sorted((hidden | chosen).items()))
        case, after = stepped(suite, replace(task, parameters=parameters), generator)
        case["asked"] |= hidden
        cases.append(case | {"numbers": dict(sorted(chosen.items()))})
        wanted += after
    objective = {"objective": suite.objective, "coefficients": dict(task.coefficients), "horizon": suite.horizon}
    plugs = plugs_of(suite, robot_spaces(suite))
    given = {"robot": robot, "task": objective, "contract": plugs, "cases": cases}
    found = [step for case in node("physics.mjs", given) for step in case]
    assert len(found) == len(wanted) > STEPS / 2
    for step, after in zip(found, wanted, strict=True):
        assert not step["terminated"]
        for part in ("qpos", "qvel"):
            np.testing.assert_allclose(step[part], after[part], atol=TOLERANCE, rtol=TOLERANCE)
        for part in ("first", "obs"):
            np.testing.assert_allclose(step[part], after[part], atol=1e-6, rtol=1e-6)
        assert step["reward"] == pytest.approx(after["reward"], abs=1e-5)
    return wanted


@pytest.mark.parametrize(
    "name",
    [
        "half-cheetah-velocity",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("half-cheetah-direction", "half-cheetah-params", "half-cheetah-terrain", "half-cheetah-crippled"),
                *("walker2d-params", "point-robot", "sparse-point-robot"),
            )
        ),
    ],
)
@needs("@mujoco/mujoco")
def test_a_control_step_is_that_of_the_cpu_engine(name):
    compared(suites.load(name), drawn="point" not in name)


@pytest.mark.parametrize(
    ("model", "robot"),
    [
        ({"floor": ""}, "floor = true\naction = { scale = 0.3 }\nreset_base_noise = 0.01\nreset_joint_noise = 0.05"),
        ({}, 'action = { centre = "range", scale = [0.1, 2, 0.1, 2, 0.1, 2, 0.1, 2] }'),
        (
            {"kind": "motor", "more": 'ctrlrange="-9 9" gear="2"', "ctrl": ""},
            "gains = { stiffness = 40, damping = 1.5 }\naction = { scale = 0.25 }",
        ),
        ({}, "gains = { stiffness = 30, damping = 1, effort = 12 }"),
    ],
    ids=["floor", "range", "motors", "effort"],
)
@needs("@mujoco/mujoco")
def test_a_robot_of_ones_own_begins_and_acts_as_on_the_cpu(tmp_path, monkeypatch, model, robot):
    own_robots.compile_here(monkeypatch)
    compared(own_robots.suite_of(tmp_path, own_robots.quadruped(**model), robot), drawn=True)


RAIL = '<joint type="slide" axis="1 0 0" damping="1e8"/>'
LOAD = f'<body pos="0 0 0.1">{RAIL}<geom type="sphere" size="0.02" mass="1"/></body>'


@pytest.mark.parametrize("height", [0.27, 0.1], ids=["standing", "in the ground"])
@needs("@mujoco/mujoco")
def test_a_robot_begins_where_it_does_on_the_cpu(tmp_path, monkeypatch, height):
    """A load that damping holds still has no velocity; what is in the ground is lifted."""
    own_robots.compile_here(monkeypatch)
    xml = own_robots.quadruped(height=height).replace('mass="6"/>', f'mass="6"/>{LOAD}')
    suite = own_robots.suite_of(tmp_path, xml.replace(f"1 0 0 0 {own_robots.HOME}", f"1 0 0 0 0 {own_robots.HOME}"))
    model, layout = models.compiled(suite.robot)
    begin = Reader(suite.robot, model, layout, torch.float64, "cpu").beginnings
    draws = (0.0, 0.5, 1.0)
    found = node("beginnings.mjs", {"robot": robot_of(suite), "draws": draws})
    for draw, one in zip(draws, found, strict=True):
        wanted = begin.positions(np.full((1, model.nq), draw), [model])[0]
        assert height > 0.2 or wanted[2] > 0.2
        np.testing.assert_allclose(one["qpos"], wanted, atol=TOLERANCE)
        np.testing.assert_allclose(one["qvel"], begin.velocities(np.full((1, model.nv), 2 * draw - 1))[0])
        assert (one["qvel"][6], one["qvel"][7]) == (0.0, pytest.approx(0.1 * (2 * draw - 1)))


TERMS = """
observe = [
  {{ term = "base_angular_velocity", scale = 0.25 }},
  {{ term = "base_linear_velocity", frame = "heading", clip = 0.4, scale = 2.0 }},
  {{ term = "base_linear_velocity", frame = "world" }},
  "projected_gravity", "base_orientation", "base_height", "base_position",
  {{ term = "joint_positions", history = 3 }},
  {{ term = "joint_positions", relative = false, clip = 0.5 }},
  {{ term = "joint_velocities", scale = 0.05, clip = 3.0, delay = {delay} }},
  "last_action", "command", "foot_contacts",
]
"""
WALK = """
[objective]
track_velocity   = {{ weight = 1.0, sigma = 0.3 }}
track_yaw_rate   = 0.5
upright          = 0.2
tilt             = -0.3
height_error     = {{ weight = -1.0, target = 0.3 }}
vertical_velocity = -0.1
rolling          = -0.01
effort           = -0.001
torque           = -0.0001
energy           = -0.002
smoothness       = -0.01
pose             = -0.05
alive            = 0.1
forward          = 0.3
feet_air_time    = {{ weight = 0.5, target = 0.02 }}
[command]
velocity = {{ uniform = [0.5, 1.0] }}
lateral_velocity = {{ uniform = [-0.2, 0.2] }}
yaw_rate = {{ uniform = [-0.3, 0.3] }}
[sim_to_real]
action_delay = [{action_delay}, {action_delay}]
"""


def walking(folder, robot, delay, action_delay):
    """A suite with all that a policy may see, be asked for and be paid."""
    text = (
        "horizon = 200\nfinite = true\n"
        + WALK.format(action_delay=action_delay)
        + f"[robot]\n{robot}"
        + TERMS.format(delay=delay)
    )
    text += "".join(f"[{split}]\ntasks = 1\nslope = 0.1\n" for split in ("train", "test"))
    path = folder / "walk.toml"
    path.write_text(text, encoding="utf-8")
    return suites.load(path)


@pytest.mark.parametrize(
    ("robot", "delay", "action_delay"),
    [
        ('name = "half-cheetah"\nfeet = ["bfoot", "ffoot"]', 0.1, 0.03),
        ('mjcf = "robot.xml"\nframe_skip = 10\nfeet = ["FL_shin", "FR_shin", "RL_shin", "RR_shin"]', 0.02, 0.03),
    ],
    ids=["half-cheetah", "quadruped"],
)
@needs("@mujoco/mujoco")
def test_observation_terms_commands_and_weighted_rewards_are_those_of_the_cpu_engine(
    tmp_path, monkeypatch, robot, delay, action_delay
):
    own_robots.compile_here(monkeypatch)
    (tmp_path / "robot.xml").write_text(own_robots.quadruped(), encoding="utf-8")
    wanted = compared(walking(tmp_path, robot, delay, action_delay), drawn=True)
    assert {len(after["obs"]) for after in wanted} <= {60, 74}


ERRORS = """objective = "forward"
horizon = 200
finite = true
[robot]
name = "half-cheetah"
observe = [
  { term = "joint_positions", noise = 0.1, bias = 0.2 },
  { term = "joint_velocities", noise = { normal = 0.1 }, scale = 0.5 },
]
[sim_to_real]
action_delay = [0.0, 0.05]
motor_offset = 0.02
gain_error = 0.1
pushes = { every = [0.3, 0.5], speed = 0.4, turn = 0.2 }
[train]
tasks = 1
[test]
tasks = 1
"""


@needs("@mujoco/mujoco")
def test_delays_errors_noise_and_pushes_are_drawn_within_what_the_suite_says(tmp_path):
    path = tmp_path / "errs.toml"
    path.write_text(ERRORS, encoding="utf-8")
    suite = suites.load(path)
    task = {"objective": suite.objective, "coefficients": dict(suite.train[0].coefficients), "horizon": suite.horizon}
    given = {"robot": robot_of(suite), "task": task, "contract": plugs_of(suite, robot_spaces(suite))}
    found = node("errors.mjs", given | {"asked": {}, "command": []})
    episodes = found["episodes"]
    assert {one["delay"] for one in episodes} == {0, 1, 2, 3, 4, 5}
    for name, middle, half in (("offset", 0, 0.02), ("gain", 1, 0.1)):
        drawn = np.array([one[name] for one in episodes]) - middle
        assert 0.9 * half < np.abs(drawn).max() <= half
    bias = np.abs([one["bias"] for one in episodes])
    assert 0.18 < bias[:, :6].max() <= 0.2
    assert bias[:, 6:].max() == 0
    assert all(0.08 < one["high"] <= 0.11 and -0.11 <= one["low"] < -0.08 for one in found["spread"][:6])
    assert all(0.045 < one["deviation"] < 0.056 for one in found["spread"][6:])
    kicks = np.array([one["pushed"] for one in found["kicks"]])
    assert {one["step"] for one in found["kicks"]} <= set(range(5, 20))
    assert 40 <= len(kicks) <= 140  # every 6 to 10 of 20 steps, in 40 episodes
    assert 0.35 < np.abs(kicks[:, 0]).max() <= 0.4
    assert 0.15 < np.abs(kicks[:, 2]).max() <= 0.2
    assert np.abs(kicks[:, 3:]).max() == 0
    assert found["whole"]


ARM = """<mujoco><option timestep="0.005"/><worldbody>
<body name="upper" pos="0 0 1" euler="0 0 30"><joint name="shoulder" axis="0 1 0" damping="0.5"/>
<geom type="capsule" fromto="0 0 0 0 0 -0.4" size="0.03"/>
<body name="hand" pos="0 0 -0.4"><joint name="elbow" axis="0 1 0" damping="0.5"/>
<geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03"/></body></body></worldbody>
<actuator><motor joint="shoulder" gear="5"/><motor joint="elbow" gear="5"/></actuator></mujoco>"""


@needs("@mujoco/mujoco")
def test_a_body_whose_place_no_position_has_is_measured_after_the_step(tmp_path, monkeypatch):
    own_robots.compile_here(monkeypatch)
    robot = 'body = "hand"\nobserve = ["joint_positions", "velocities", "position"]\nheight = [0.1, 1.5]'
    suite = own_robots.suite_of(tmp_path, ARM, robot, "goal = [0.2, 0.1]", objective="goal")
    compared(suite, drawn=True)

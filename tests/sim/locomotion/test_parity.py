"""One control step of ours against Gymnasium's own environments, and rewards against numbers worked out by hand."""

import dataclasses
import math

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion import models
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.objectives import OBJECTIVES
from robometa.suites.own_model import sizes_of
from robometa.suites.robots import ROBOTS
from robometa.suites.task import Task

WORLDS = 40
COST, ALIVE = 0.1, 1.0
# Tolerances on positions and on velocities. The humanoid's PGS solver stops early, so that its answer depends on the
# warmstart, which we do not carry over; its velocities, up to 30 rad/s, differ by up to 6e-4.
PAIRS = {
    "half-cheetah": ("HalfCheetah-v5", 1e-9, 1e-9),
    "ant": ("Ant-v5", 1e-9, 1e-9),
    "walker2d": ("Walker2d-v5", 1e-9, 1e-9),
    "hopper": ("Hopper-v5", 1e-9, 1e-9),
    "humanoid": ("Humanoid-v5", 1e-4, 2e-3),
}
FACTORS = {"body_mass": (0.5, 2.0), "geom_friction": (0.5, 2.0), "joint_damping": (0.5, 2.0)}


def suite_of(robot, changed):
    """A suite of one task that runs forward, its model changed at random where asked."""
    robot, source = ROBOTS[robot], np.random.default_rng(0)
    sizes = sizes_of(robot)
    length = {"body_mass": sizes.bodies, "geom_friction": 3 * sizes.geoms, "joint_damping": sizes.velocities}
    parameters = tuple((name, tuple(source.uniform(*FACTORS[name], length[name]))) for name in FACTORS if changed)
    weight = {"control_cost": COST, "alive_bonus": ALIVE}
    task = Task(robot, "forward", tuple(weight.items()), parameters, 100)
    shown = suites.load("half-cheetah-params")
    return dataclasses.replace(shown, robot=robot, objective="forward", train=(task,), test=(task,), horizon=100)


def states(theirs, count):
    """Positions and velocities met under random actions. `[state, position]`, `[state, velocity]`."""
    theirs.reset(seed=0)
    theirs.action_space.seed(0)
    met = []
    for _ in range(count):
        for _ in range(3):
            theirs.step(theirs.action_space.sample())
        met.append((theirs.data.qpos.copy(), theirs.data.qvel.copy()))
        if len(met) % 10 == 0:
            theirs.reset()
    positions, velocities = zip(*met, strict=True)
    return np.array(positions), np.array(velocities)


@pytest.mark.parametrize("changed", [False, True], ids=["as-drawn", "randomised"])
@pytest.mark.parametrize("robot", PAIRS)
def test_a_control_step_is_gymnasiums(robot, changed):
    name, tolerance, velocity_tolerance = PAIRS[robot]
    suite = suite_of(robot, changed)
    theirs = gymnasium.make(name).unwrapped
    if changed:
        copy_numbers(models.varied(suite.train[0]), theirs.model)
    positions, velocities = states(theirs, WORLDS)
    ours, nq = CpuEngine(suite, 1, WORLDS, threads=2), theirs.model.nq
    ours.reset(Noise(0, ("parity",), 1, WORLDS))
    ours._before[:, 1 : 1 + nq], ours._before[:, 1 + nq :] = positions, velocities
    action = 2 * torch.rand(1, WORLDS, ours.model.nu, generator=torch.Generator().manual_seed(0)) - 1
    outcome = ours.step(action)
    after = ours._after.numpy()
    for world in range(WORLDS):
        control = action[0, world].numpy() * theirs.action_space.high
        theirs.set_state(positions[world], velocities[world])
        theirs.do_simulation(control, theirs.frame_skip)
        np.testing.assert_allclose(after[world, 1 : 1 + nq], theirs.data.qpos, rtol=0, atol=tolerance)
        np.testing.assert_allclose(after[world, 1 + nq :], theirs.data.qvel, rtol=0, atol=velocity_tolerance)
        # Gymnasium's ant and humanoid measure their velocity on places that are one physics step old, ours on the
        # joints as they are: so the reward is compared with the joints' own change.
        ahead = (theirs.data.qpos[0] - positions[world, 0]) / theirs.dt
        by_hand = ahead + ALIVE - COST * np.square(control).sum()
        assert outcome.reward[0, world].item() == pytest.approx(by_hand, abs=100 * tolerance + 1e-5)
        if robot != "half-cheetah":
            assert bool(outcome.terminated[0, world]) == (not theirs.is_healthy)
    theirs.close()


def copy_numbers(source, target):
    """Gives Gymnasium's model the numbers of ours, constants that follow from them included."""
    for name in ("body_mass", "body_inertia", "geom_friction", "dof_damping"):
        getattr(target, name)[:] = getattr(source, name)
    mujoco.mj_setConst(target, mujoco.MjData(target))


def test_the_change_reaches_the_motion():
    """The randomised half of the test above compares something: the two models move differently."""
    after = []
    for changed in (False, True):
        engine = CpuEngine(suite_of("hopper", changed), 1, 4, threads=1)
        engine.reset(Noise(0, ("parity",), 1, 4))
        engine.step(torch.full((1, 4, 3), 0.5))
        after.append(engine._after.clone())
    assert (after[0] - after[1]).abs().max() > 1e-4


def paid(name, *, hidden=None, velocity=(0.0, 0.0), position=(0.0, 0.0), control=(0.0,)):
    """Reward and success under the coefficients of a shipped suite's file."""
    suite = suites.load(name)
    quantity = {
        "velocity": torch.tensor([velocity]),
        "forward_velocity": torch.tensor([velocity[0]]),
        "position": torch.tensor([position]),
        "control": torch.tensor([control]),
    }
    parameter = {key: torch.tensor([value]) for key, value in (hidden or {}).items()}
    reward, success = OBJECTIVES[suite.objective].reward(quantity, parameter, dict(suite.train[0].coefficients))
    return reward.item(), None if success is None else bool(success)


@pytest.mark.parametrize(
    ("name", "step", "reward", "success"),
    [
        # -|1.5 - 2.25| - 0.05 (0.6^2 + 0.8^2) = -0.75 - 0.05
        (
            "half-cheetah-velocity",
            {"hidden": {"velocity": [2.25]}, "velocity": (1.5, 0), "control": (0.6, 0.8)},
            -0.80,
            0,
        ),
        # |1.5 - 1.4| = 0.1 is within 0.2: -0.1
        ("half-cheetah-velocity", {"hidden": {"velocity": [1.4]}, "velocity": (1.5, 0)}, -0.1, 1),
        # -1 * 1.5 - 0.05 * 1
        (
            "half-cheetah-direction",
            {"hidden": {"direction": [-1.0]}, "velocity": (1.5, 0), "control": (0.6, 0.8)},
            -1.55,
            None,
        ),
        # -1 * -2 + 1 - 0.5 * 1
        ("ant-direction", {"hidden": {"direction": [-1.0]}, "velocity": (-2.0, 9), "control": (0.6, 0.8)}, 2.5, None),
        # 3 cos 60 deg + 2 sin 60 deg + 1 - 0.5 * 1 = 1.5 + 1.7320508 + 0.5
        (
            "ant-direction-2d",
            {"hidden": {"angle": [math.pi / 3]}, "velocity": (3.0, 2.0), "control": (0.6, 0.8)},
            3.7320508,
            None,
        ),
        # -(|1 - 2| + |-1 - 0.5|) - 0.1 * 1 = -2.5 - 0.1
        ("ant-goal", {"hidden": {"goal": [2.0, 0.5]}, "position": (1.0, -1.0), "control": (0.6, 0.8)}, -2.6, 0),
        # -(0.2 + 0.2), and 0.4 is within 0.5
        ("ant-goal", {"hidden": {"goal": [1.2, 0.2]}, "position": (1.0, 0.0)}, -0.4, 1),
        # 1.05 - |2 - 0.5| - 0.005 * 1
        ("ant-velocity", {"hidden": {"velocity": [0.5]}, "velocity": (2.0, 0), "control": (0.6, 0.8)}, -0.455, 0),
        # 1.25 (0 * 2 + 1 * 0.4) + 5 - 0.1 (0.3^2 + 0.4^2) = 0.5 + 5 - 0.025
        (
            "humanoid-direction-2d",
            {"hidden": {"angle": [math.pi / 2]}, "velocity": (2.0, 0.4), "control": (0.3, 0.4)},
            5.475,
            None,
        ),
        # 2 + 1 - 0.001 * 1
        ("walker2d-params", {"velocity": (2.0, 0), "control": (0.6, 0.8)}, 2.999, None),
        ("hopper-params", {"velocity": (2.0, 0), "control": (0.6, 0.8)}, 2.999, None),
        # 2 - 0.1 * 1
        ("half-cheetah-params", {"velocity": (2.0, 0), "control": (0.6, 0.8)}, 1.9, None),
        ("half-cheetah-crippled", {"velocity": (2.0, 0), "control": (0.6, 0.8)}, 1.9, None),
        # 2 + 1 - 0.5 * 1
        ("ant-params", {"velocity": (2.0, 0), "control": (0.6, 0.8)}, 2.5, None),
        ("ant-crippled", {"velocity": (2.0, 0), "control": (0.6, 0.8)}, 2.5, None),
        # the 3-4-5 triangle: -0.5
        ("point-robot", {"hidden": {"goal": [0.0, 1.0]}, "position": (0.3, 0.6)}, -0.5, 0),
        ("sparse-point-robot", {"hidden": {"goal": [0.0, 1.0]}, "position": (0.3, 0.6)}, 0.0, 0),
        # 0.1 m away, within 0.2: 1 - 0.1
        ("sparse-point-robot", {"hidden": {"goal": [0.0, 1.0]}, "position": (0.06, 0.92)}, 0.9, 1),
    ],
)
def test_the_reward_is_what_the_source_says(name, step, reward, success):
    value, flag = paid(name, **step)
    assert value == pytest.approx(reward, abs=1e-6)
    assert flag == (None if success is None else bool(success))


@pytest.mark.parametrize(
    ("robot", "column", "inside", "outside"),
    [
        # columns of the state: the time, then the positions
        ("ant", 3, (0.21, 0.99), (0.19, 1.01)),  # height
        ("humanoid", 3, (1.01, 1.99), (0.99, 2.01)),  # height
        ("walker2d", 2, (0.81, 1.99), (0.79, 2.01)),  # height
        ("walker2d", 3, (-0.99, 0.99), (-1.01, 1.01)),  # pitch
        ("hopper", 2, (0.71, 50.0), (0.69,)),  # height
        ("hopper", 3, (-0.19, 0.19), (-0.21, 0.21)),  # pitch
        ("hopper", 10, (-99.0, 99.0), (-101.0, 101.0)),  # a velocity
        ("half-cheetah", 2, (-5.0, 5.0), ()),  # nothing ends it
    ],
)
def test_the_episode_ends_where_the_robot_says(robot, column, inside, outside):
    engine = CpuEngine(suite_of(robot, changed=False), 1, 1, threads=1)
    engine.reset(Noise(0, ("ends",), 1, 1))
    for values, ended in ((inside, False), (outside, True)):
        for value in values:
            engine._after.copy_(engine._state)
            engine._after[:, column] = value
            assert bool(engine._terminated()) == ended, value


def test_an_ant_with_a_goal_may_fall():
    engine = CpuEngine(suites.load("ant-goal"), 1, 1, threads=1)
    engine.reset(Noise(0, ("ends",), 1, 1))
    engine._after.copy_(engine._state)
    engine._after[:, 3] = 0.05
    assert not engine._terminated()

"""The CPU engine: threads, neighbours and restores change nothing; episodes begin and end; what blows up is unpaid."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.resets import BLOCK

TASKS, WORLDS = 2, 5
EVENTFUL = ("half-cheetah-velocity", "hopper-params", "humanoid-direction-2d", "ant-params", "rover-goal")


def make(name, tasks=TASKS, worlds=WORLDS, threads=2, horizon=None):
    suite = suites.load(name)
    return CpuEngine(dataclasses.replace(suite, horizon=horizon or suite.horizon), tasks, worlds, threads=threads)


def noise(tasks=TASKS, worlds=WORLDS, seed=0):
    return Noise(seed, ("engine",), tasks, worlds)


def actions(engine, steps, seed=0):
    """The same actions for a world whatever stands beside it. `[time, task, world, action]`."""
    draws = torch.rand(20, 8, steps, engine.spaces.action, generator=torch.Generator().manual_seed(seed))
    return (2 * draws[: engine.tasks, : engine.worlds] - 1).movedim(2, 0)


def trace(engine, acts):
    """Everything that an engine returns over these actions."""
    return [torch.cat([value.flatten().double() for value in engine.step(action)]) for action in acts]


def same(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", EVENTFUL)
def test_threads_change_nothing(name):
    traces = []
    for threads in (1, 2, 3):
        engine = make(name, threads=threads)
        engine.reset(noise())
        traces.append(trace(engine, actions(engine, 30)))
    assert same(traces[0], traces[1])
    assert same(traces[0], traces[2])


@pytest.mark.parametrize("name", EVENTFUL)
def test_a_restored_state_goes_on_exactly(name):
    engine = make(name, horizon=12)
    engine.reset(noise())
    acts = actions(engine, 40)
    trace(engine, acts[:10])
    state = engine.state()
    first = trace(engine, acts[10:])
    engine.restore(state)
    assert torch.equal(engine.state().obs, state.obs)
    assert same(first, trace(engine, acts[10:]))
    other = make(name, horizon=12)
    other.restore(state)
    assert same(first, trace(other, acts[10:]))


@pytest.mark.parametrize("name", EVENTFUL)
def test_what_stands_beside_a_world_changes_nothing(name):
    few, many = make(name, 1, 2, horizon=12), make(name, 3, 7, horizon=12)
    assert torch.equal(few.reset(noise(1, 2)), many.reset(noise(3, 7))[:1, :2])
    for one, other in zip(actions(few, 30), actions(many, 30), strict=True):
        for value, beside in zip(few.step(one), many.step(other), strict=True):
            assert torch.equal(value, beside[:1, :2])


def test_an_episode_that_terminates_begins_anew():
    engine = make("ant-direction")
    engine.reset(noise())
    engine._before[3, 3] = 1.5  # the torso's height, m
    outcome = engine.step(torch.zeros(TASKS, WORLDS, 8))
    assert outcome.terminated.flatten().tolist() == [world == 3 for world in range(TASKS * WORLDS)]
    assert not outcome.truncated.any()
    assert outcome.next_obs[0, 3, 0] > 1.0  # the height that ended it
    assert outcome.obs[0, 3, 0] < 0.9  # the height that the next begins at, 0.75 give or take 0.1
    kept = torch.arange(TASKS * WORLDS) != 3
    assert torch.equal(outcome.obs.flatten(0, 1)[kept], outcome.next_obs.flatten(0, 1)[kept])
    assert engine.state().episodes.flatten().tolist() == [1 + (world == 3) for world in range(TASKS * WORLDS)]
    assert engine.state().steps.flatten().tolist() == [int(world != 3) for world in range(TASKS * WORLDS)]


def test_an_episode_is_truncated_at_the_horizon_and_not_before():
    engine = make("half-cheetah-velocity", horizon=4)
    starts = [engine.reset(noise())]
    for step in range(1, 4 * (BLOCK + 2) + 1):  # further than one block of drawn starts
        outcome = engine.step(torch.zeros(TASKS, WORLDS, 6))
        assert bool(outcome.truncated.all()) == (step % 4 == 0)
        assert bool(outcome.truncated.any()) == (step % 4 == 0)
        assert not outcome.terminated.any()
        if step % 4 == 0:
            starts.append(outcome.obs)
    flat = torch.stack(starts).flatten(0, 2)
    assert len(torch.unique(flat, dim=0)) == len(flat)  # every episode of every world starts elsewhere


def test_a_termination_at_the_horizon_is_no_truncation():
    engine = make("ant-direction", horizon=1)
    engine.reset(noise())
    engine._before[0, 3] = 1.5
    outcome = engine.step(torch.zeros(TASKS, WORLDS, 8))
    assert (outcome.terminated ^ outcome.truncated).all()
    assert outcome.terminated[0, 0]


def test_resets_are_as_noisy_as_the_robot_says():
    engine = make("half-cheetah-velocity", tasks=2, worlds=400)
    engine.reset(noise(2, 400))
    positions, velocities = engine._before[:, 1:10], engine._before[:, 10:19]
    assert np.abs(positions).max() <= 0.1
    assert positions.std() == pytest.approx(0.1 / np.sqrt(3), rel=0.03)  # uniform in -0.1..0.1
    assert velocities.std() == pytest.approx(0.1, rel=0.03)
    assert np.abs(velocities).max() > 0.3  # normal


def test_actions_are_clipped():
    first, second = make("half-cheetah-velocity"), make("half-cheetah-velocity")
    first.reset(noise())
    second.reset(noise())
    assert torch.equal(
        first.step(torch.full((TASKS, WORLDS, 6), 7.0)).obs, second.step(torch.ones(TASKS, WORLDS, 6)).obs
    )


BAD = (float("nan"), float("inf"), -float("inf"), 1e12)


def injected(name, value, column, step, threads=2):
    """The outcome of the step at which a bad number stands in world 3, and that of the same step without it."""
    outcomes = []
    for spoil in (True, False):
        engine = make(name, threads=threads)
        engine.reset(noise())
        acts = actions(engine, step + 3)
        for action in acts[:step]:
            engine.step(action)
        if spoil:
            engine._before[3, column] = value
        outcomes.append([engine.step(action) for action in acts[step:]])
        assert engine.divergences == int(spoil)
    return outcomes


@pytest.mark.parametrize("step", [0, 4], ids=["first", "later"])
@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("half-cheetah-velocity", 1),  # a position
        ("half-cheetah-velocity", 12),  # a velocity
        ("ant-direction-2d", 5),  # a number of the quaternion
        ("ant-direction-2d", 20),
        ("humanoid-direction-2d", 10),  # a robot with sensors
        ("rover-goal", 13),
        ("point-robot", 1),  # one physics step per control step
        ("point-robot", 3),
    ],
)
def test_a_world_that_blows_up_is_caught_unpaid_and_begun_anew(name, column, value, step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spoilt, clean = injected(name, value, column, step)
    caught = torch.arange(TASKS * WORLDS).reshape(TASKS, WORLDS) == 3
    assert torch.equal(spoilt[0].diverged, caught)
    assert spoilt[0].reward[caught].item() == 0.0
    assert spoilt[0].terminated[caught].all()
    assert not (spoilt[0].truncated | spoilt[0].success)[caught].any()
    for outcome, other in zip(spoilt, clean, strict=True):
        assert outcome.obs.isfinite().all()
        assert outcome.next_obs.isfinite().all()
        assert outcome.reward.isfinite().all()
        for number, expected in zip(outcome, other, strict=True):
            assert torch.equal(number[~caught], expected[~caught])
    assert not any(outcome.diverged.any() for outcome in spoilt[1:])
    assert not any(tmp_path.iterdir())  # MuJoCo would write MUJOCO_LOG.TXT


@pytest.mark.parametrize("value", BAD)
def test_an_action_that_is_no_number_is_a_divergence(value):
    engine = make("half-cheetah-velocity")
    engine.reset(noise())
    action = torch.zeros(TASKS, WORLDS, 6)
    action[1, 2, 4] = value
    outcome = engine.step(action)
    assert outcome.diverged.nonzero().tolist() == [[1, 2]]
    assert outcome.terminated[1, 2]
    assert outcome.reward[1, 2] == 0.0
    assert outcome.obs.isfinite().all()
    assert outcome.next_obs.isfinite().all()
    assert engine.divergences == 1


STORM = """
import torch
from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine

engine = CpuEngine(suites.load("half-cheetah-velocity"), 1, 500, threads=3)
engine.reset(Noise(0, ("storm",), 1, 500))
for step in range(20):
    engine._before[:, 1 + step % 18] = float("nan")
    outcome = engine.step(torch.zeros(1, 500, 6))
    assert outcome.diverged.all() and not outcome.reward.any()
print(engine.divergences)
"""


@pytest.mark.slow
def test_threads_that_warn_at_once_do_not_lock_up(tmp_path):
    """In a process of its own: a lock between MuJoCo's warning and the interpreter's would hang it."""
    done = subprocess.run(
        [sys.executable, "-c", STORM], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["10000"], done.stderr
    assert not any(tmp_path.iterdir())


def test_no_worlds_is_told():
    with pytest.raises(UserError, match="at least one task and one world, not 0 and 5"):
        make("half-cheetah-velocity", tasks=0)


def test_another_number_of_tasks_is_told():
    engine = make("half-cheetah-velocity")
    with pytest.raises(UserError, match="steps 2 tasks at once, not 3"):
        engine.assign(engine.suite.train[:3])

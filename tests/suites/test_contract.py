"""What every suite promises, whatever its robot, objective and variations."""

import dataclasses
import functools

import pytest
import torch

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.variations import VARIATIONS

TASKS, WORLDS, STEPS = 2, 6, 12


def noise(seed=0):
    return Noise(seed, ("contract",), TASKS, WORLDS)


def spread(suite):
    """Two different tasks of a suite."""
    first = suite.train[0]
    return [first, next(task for task in suite.train[1:] if task != first)]


def hides_a_goal(suite):
    """Whether all that a task hides is what it is paid for."""
    return not {name for task in suite.train for name, _ in task.parameters} & set(VARIATIONS)


@functools.cache
def engine(name):
    return CpuEngine(suites.load(name), TASKS, WORLDS, threads=2)


def roll_out(name, source, tasks, drift=0.0):
    """Observations `[time + 1, task, world, obs]`, rewards `[time, task, world]`; every task gets the same actions."""
    stepper = engine(name)
    stepper.assign(tasks)
    seen, paid = [stepper.reset(source)], []
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        action = 2 * torch.rand(WORLDS, stepper.spaces.action, generator=generator) - 1 + 2 * torch.tensor(drift)
        outcome = stepper.step(action.expand(TASKS, -1, -1))
        assert not outcome.diverged.any()
        seen.append(outcome.obs)
        paid.append(outcome.reward)
    return torch.stack(seen), torch.stack(paid)


def alike(source):
    """The noise that gives both tasks the numbers of the first: what differs then is the tasks."""

    class Alike(Noise):
        def uniform(self, *shape):
            return super().uniform(*shape)[:1].expand(TASKS, *[-1] * (len(shape) + 1)).contiguous()

        def normal(self, *shape):
            return super().normal(*shape)[:1].expand(TASKS, *[-1] * (len(shape) + 1)).contiguous()

        def fork(self, *purpose):
            return Alike(self.seed, self.purpose + purpose, self.tasks, self.worlds)

    return Alike(source.seed, source.purpose, source.tasks, source.worlds)


@pytest.fixture(params=suites.names())
def name(request):
    return request.param


@pytest.mark.sample(8)
def test_finite_and_in_single_precision(name):
    obs, reward = roll_out(name, noise(), spread(suites.load(name)))
    assert obs.isfinite().all()
    assert reward.isfinite().all()
    assert obs.dtype == reward.dtype == torch.float32
    assert obs.shape == (STEPS + 1, TASKS, WORLDS, engine(name).spaces.observation)


def test_the_same_noise_gives_the_same_bytes_and_other_noise_does_not(name):
    tasks = spread(suites.load(name))
    first, again, other = (
        roll_out(name, noise(), tasks),
        roll_out(name, noise(), tasks),
        roll_out(name, noise(1), tasks),
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_every_world_starts_elsewhere(name):
    obs, _ = roll_out(name, noise(), spread(suites.load(name)))
    start = obs[0].flatten(0, 1)
    assert len(torch.unique(start, dim=0)) == TASKS * WORLDS


def test_no_observation_element_is_constant(name):
    obs, _ = roll_out(name, noise(), spread(suites.load(name)))
    flat = obs.flatten(0, 2)
    constant = ((flat.amax(0) - flat.amin(0)) < 1e-7).nonzero()[:, 0].tolist()
    assert constant == []


GRAVITY = {3, 4, 5}
"""Observed at once by a robot on leaning ground: the direction of gravity."""


def test_what_is_hidden_acts_and_is_not_seen(name):
    """From the same starts under the same actions, two tasks differ in reward or motion, not in what is seen first."""
    suite = suites.load(name)
    tasks = [dataclasses.replace(task, change=None) for task in spread(suite)]  # some begin alike, and change later
    # A sparse reward is only met on the way to a goal.
    drift = dict(tasks[0].parameters)["goal"] if suite.objective == "sparse-goal" else 0.0
    obs, reward = roll_out(name, alike(noise()), tasks, drift)
    seen = {int(place) for place in (obs[0, 0] != obs[0, 1]).nonzero()[:, -1]}
    assert seen <= (GRAVITY if name == "go2-worn" else set())
    assert not torch.equal(reward[:, 0], reward[:, 1])
    if hides_a_goal(suite):
        assert torch.equal(obs[:, 0], obs[:, 1])
    else:
        assert not torch.equal(obs[1:, 0], obs[1:, 1])


def test_train_and_test_are_disjoint_unless_the_set_is_finite(name):
    suite = suites.load(name)
    shared = set(suite.train) & set(suite.test)
    assert bool(shared) == suite.finite
    assert len(set(suite.train)) == len(suite.train)
    assert len(set(suite.test)) == len(suite.test)


def test_says_what_it_is_and_where_it_comes_from(name):
    suite = suites.load(name)
    assert suite.about.endswith(".")
    assert suite.source or name in (
        "half-cheetah-terrain",
        "ant-worn",
        "ant-worn-drift",
        "half-cheetah-velocity-switch",
        "rover-goal",
        "go1-payload",
        "go2-payload",
        "go2-worn",
    )

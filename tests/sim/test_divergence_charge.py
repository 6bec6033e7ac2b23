"""The charge for a simulation that diverges: below the return of the worst honest episode, on every suite."""

import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout

from robometa import suites
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.sim.divergence_charge import MIN_STEPS_CHARGED, charged, steps_charged
from robometa.sim.select import engine_of
from robometa.suites.objectives import WORST_AT_BEST
from robometa.trials import make
from robometa.trials.trial import run_trial


def test_only_diverged_steps_are_charged_and_the_others_keep_every_bit():
    reward, diverged = torch.randn(2, 3, 200), torch.zeros(2, 3, 200, dtype=torch.bool)
    worst = torch.tensor([-12.0, -15.0])
    assert torch.equal(charged(reward, diverged, worst), reward)
    reward[0, 1, 7], diverged[0, 1, 7] = 0.0, True
    found = charged(reward, diverged, worst)
    assert found[0, 1, 7] == 200 * -12.0
    assert torch.equal(found[~diverged], reward[~diverged])


def test_an_honest_step_that_is_worse_than_the_bound_lowers_the_charge_of_its_own_task_only():
    reward, diverged = torch.zeros(2, 2, 200), torch.zeros(2, 2, 200, dtype=torch.bool)
    diverged[:, 0, 3] = True
    reward[1, 1, 150] = -40.0
    found = charged(reward, diverged, torch.tensor([-12.0, -12.0]))
    assert found[:, 0, 3].tolist() == [-2400.0, -8000.0]
    # A task gets the same charge in a batch of its own.
    assert torch.equal(charged(reward[1:], diverged[1:], torch.tensor([-12.0])), found[1:])


def test_a_short_episode_is_charged_what_a_discount_counts_of_an_endless_one():
    assert steps_charged(20) == MIN_STEPS_CHARGED == pytest.approx(1 / (1 - 0.99))
    assert steps_charged(200) == 200


@pytest.mark.parametrize("name", suites.names())
def test_no_random_step_is_paid_less_than_the_bound(name):
    suite = suites.load(name)
    engine = engine_of(suite, tasks=2, worlds=4, threads=1)
    engine.reset(Noise(0, ("bound",), 2, 4))
    assert engine.worst_reward.shape == (2,)
    assert engine.worst_reward.dtype == torch.float32
    assert (engine.worst_reward <= WORST_AT_BEST).all()
    for time in range(30):
        outcome = engine.step(Noise(0, ("action", time), 2, 4).normal(engine.spaces.action))
        assert (outcome.reward >= engine.worst_reward[:, None]).all()
    engine.close()


def test_the_bound_is_the_objectives_own_formula():
    suite = suites.load("half-cheetah-velocity")
    engine = engine_of(suite, tasks=2, worlds=3, threads=1)
    engine.assign(suite.train[3:5])
    weight = dict(suite.train[0].coefficients)
    speeds = torch.tensor([dict(task.parameters)["velocity"][0] for task in suite.train[3:5]])
    effort = engine.spaces.action  # controls of this robot are within -1..1
    expected = weight["alive_bonus"] - (10 + speeds) - weight["control_cost"] * effort
    torch.testing.assert_close(engine.worst_reward, expected.float())
    engine.close()


@pytest.mark.parametrize("name", ["rl2", "oracle"])
def test_a_rollout_holds_the_charge_and_a_memory_sees_the_engines_zero(tiny_suite, monkeypatch, name):
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=3)
    engine = make.engine_for(learner, tiny_suite, 3, 2)
    kind, count, seen = type(getattr(engine, "_engine", engine)), [0], []
    step, act = kind.step, learner.act

    def spoilt(self, action):
        count[0] += 1
        if count[0] in (3, 5):  # in the middle of a rollout, and at its end
            self._before[0, 2] = 1e12
        return step(self, action)

    monkeypatch.setattr(kind, "step", spoilt)
    monkeypatch.setattr(learner, "act", lambda adaptation, now, noise: seen.append(now) or act(adaptation, now, noise))
    trial = run_trial(engine, learner, tiny_suite.train, [0, 1, 2], 1, Noise(0, ("train", 0), 3, 2))
    first = trial.rollouts[0]
    assert first.diverged.sum() == 2
    assert (first.reward[0, 0, [2, 4]] == 100 * engine.worst_reward[0]).all()
    assert (first.action[0, 0, 2] != 0).all()  # it was an action, and is learned from
    assert not first.actionless().any()
    assert first.episode_diverged().tolist() == [[True, False], [False, False], [False, False]]
    # What the policy saw while acting is what an update reads again.
    again = trial.joined().seen()
    for time, now in enumerate(seen):
        assert torch.equal(now.last_reward, again.last_reward[:, :, time])
        assert torch.equal(now.last_action, again.last_action[:, :, time])
    engine.close()


def test_an_episode_that_diverged_is_no_success(tiny_suite):
    rollout = fake_rollout(1, 2, 5, 2, 2, seed=0)
    rollout.terminated[:], rollout.success[:] = False, True
    assert rollout.episode_success().all()
    rollout.diverged[0, 1, 3] = rollout.terminated[0, 1, 3] = True
    assert rollout.episode_success().tolist() == [[True, False]]

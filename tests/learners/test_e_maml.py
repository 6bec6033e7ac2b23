"""E-MAML's credit for exploration: against the true gradient of a Gaussian bandit, its baseline, and its unit."""

from dataclasses import replace

import pytest
import torch
from conftest import fake_rollout
from torch.func import grad

from robometa.compute import parallel
from robometa.data import Spaces, Trial
from robometa.learners.e_maml import EMaml, TaskBaseline
from robometa.nn.networks import GaussianPolicy
from robometa.noise import Noise
from robometa.rl.policy_gradient import Batch, InnerStep, TaskBatches
from robometa.rl.returns import generalised_advantages, linear_baseline

MEAN, LOG_STD, SIZE, ACTIONS, TASKS = 0.3, -0.5, 0.05, 4, 40_000


def bandit(data_fixed):
    """Expected return after one inner step on the bandit `-(action - target)^2`, targets +-1.5, by its gradient.

    Args:
        data_fixed: Hold the actions before the step: what MAML differentiates. Otherwise they move with the policy, by
            common random numbers: the true gradient.

    Returns:
        Gradient by mean and log standard deviation; the actions; the returns after the step. `[task, ...]`
    """
    draws = torch.randn(TASKS, ACTIONS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.where(torch.arange(TASKS) % 2 == 0, 1.5, -1.5).double()
    fixed = MEAN + torch.exp(torch.tensor(LOG_STD).double()) * draws

    def after(point):
        mean, log_std = point
        actions = fixed if data_fixed else mean + log_std.exp() * draws
        reward = -(actions - target.unsqueeze(1)).square()
        advantage = reward - reward.mean(dim=1, keepdim=True)
        scaled = (actions - mean) / log_std.exp()
        new_mean = mean + SIZE * (advantage * scaled / log_std.exp()).mean(dim=1)
        new_log_std = log_std + SIZE * (advantage * (scaled.square() - 1)).mean(dim=1)
        return -((new_mean - target).square() + (2 * new_log_std).exp())

    point = torch.tensor([MEAN, LOG_STD], dtype=torch.float64)
    return grad(lambda at: after(at).mean())(point), fixed, after(point)


@pytest.mark.slow
def test_the_credit_is_the_sampling_term_of_the_true_gradient_on_a_bandit(monkeypatch):
    """The bandit of shared science: MAML leaves the sampling term out, the credit with a baseline per task is it."""
    true, actions, returns = bandit(data_fixed=False)
    mamls, _, _ = bandit(data_fixed=True)
    # Baselines as they are after many visits of both tasks.
    tasks, baseline = torch.arange(TASKS) % 2, TaskBaseline(0.01)
    for part in range(0, 2000, 100):
        baseline.surprise(tasks[part : part + 100], returns[part : part + 100])
    surprise = baseline.surprise(tasks, returns)
    learner = EMaml(EMaml.configuration(hidden=(1,)), Spaces(1, 1), 0)
    learner.policy = GaussianPolicy(1, 1, ())
    learner.step = InnerStep(learner.policy, SIZE)
    start = torch.tensor([0.0, MEAN, LOG_STD], dtype=torch.float64)  # weight, bias, log std
    nothing = torch.zeros(TASKS, ACTIONS, 1, dtype=torch.float64)
    batch = Batch(nothing, actions.unsqueeze(-1), torch.zeros_like(actions), torch.zeros_like(actions))
    batches = [TaskBatches((Batch(*row),), Batch(*row)) for row in zip(*batch, strict=True)]
    acted = [[learner.policy.distribution(start, nothing[0])] * 2] * TASKS
    monkeypatch.setattr(parallel, "on_gpu", lambda tensor: True)  # all tasks at once
    found = learner._credit_gradient(start, batches, acted, ACTIONS * surprise)[1:]
    torch.testing.assert_close(mamls + found, true, atol=0.03, rtol=0.03)
    assert float((mamls - true).norm()) > 0.5  # what MAML misses is no small part


def test_the_baseline_of_a_task_is_its_own():
    """Two tasks of unequal difficulty, always the same returns: nothing was explored better or worse."""
    baseline, tasks = TaskBaseline(0.5), torch.tensor([0, 3])
    assert not baseline.surprise(tasks, torch.tensor([-10.0, -90.0])).any()  # new tasks have no surprise
    assert not baseline.surprise(tasks, torch.tensor([-10.0, -90.0])).any()
    # All tasks get better by as much: progress, and no surprise either.
    assert not baseline.surprise(tasks, torch.tensor([-5.0, -85.0])).any()
    found = baseline.surprise(tasks, torch.tensor([-7.5, -77.5]))
    torch.testing.assert_close(found, torch.tensor([-10.0, 10.0]))
    torch.testing.assert_close(baseline.mean[[0, 3]], torch.tensor([-7.5, -82.5]).double())
    again = TaskBaseline(0.5)
    again.load_state_dict(baseline.state_dict())
    one, other = (each.surprise(tasks, torch.tensor([0.0, 1.0])) for each in (baseline, again))
    assert torch.equal(one, other)


def test_a_credit_is_in_the_unit_of_the_outer_loss_and_summed_over_steps():
    learner = EMaml(EMaml.configuration(hidden=(3,), credit="task"), Spaces(2, 2), 0)
    rollouts = [fake_rollout(3, 2, 6, 2, 2, seed, torch.float64) for seed in range(2)]
    trial = Trial(torch.arange(3), tuple(rollouts), Noise(0, ("update",), 3, 2))
    assert not learner._credits(trial).any()
    better = replace(rollouts[1], reward=rollouts[1].reward + torch.tensor([0.0, 1.0, 2.0]).reshape(3, 1, 1))
    found = learner._credits(replace(trial, rollouts=(rollouts[0], better)))
    spreads = [_spread(better, task) for task in range(3)]
    ahead = better.episode_return().mean(dim=1) - rollouts[1].episode_return().mean(dim=1)
    for task in range(3):
        others = [other for other in range(3) if other != task]
        surprise = float(ahead[task] - ahead[others].mean())
        steps = 12 / int(better.done[task].sum())
        assert float(found[task]) == pytest.approx(surprise * 12 / (steps * sum(spreads) / 3), rel=1e-4)


def _spread(better, task):
    """Deviation of a task's advantages: GAE, not standardised, step by step."""
    done = better.done[task]
    returns = torch.zeros(2, 6, dtype=torch.float64)
    for world in range(2):
        running = 0.0
        for time in reversed(range(6)):
            running = float(better.reward[task, world, time]) + 0.99 * running * (not done[world, time])
            returns[world, time] = running
    value = linear_baseline(better.obs[task : task + 1], returns.unsqueeze(0))
    following = torch.cat((value[..., 1:], torch.zeros_like(value[..., :1])), dim=-1)
    parts = (part[task : task + 1] for part in (better.terminated, better.truncated))
    plain = generalised_advantages(better.reward[task : task + 1], value, following, *parts, 0.99, 0.9)
    return float(plain.std(correction=0))


def test_tasks_that_pay_nothing_have_no_huge_credit():
    """On sparse rewards most tasks have no advantage at all: their deviation is 0."""
    learner = EMaml(EMaml.configuration(hidden=(3,), credit="task"), Spaces(2, 2), 0)
    before, after = (fake_rollout(3, 2, 6, 2, 2, seed) for seed in range(2))
    after.reward[1:] = 0.0
    trial = Trial(torch.arange(3), (before, after), Noise(0, ("update",), 3, 2))
    learner.update(trial)
    after.reward[0] += 1.0
    assert 0 < float(learner._credits(trial).abs().max()) < 1e3


def test_the_running_returns_are_saved_for_training_only():
    learner, other = (EMaml(EMaml.configuration(hidden=(3,), credit="task"), Spaces(2, 2), 0) for _ in range(2))
    rollouts = tuple(fake_rollout(3, 2, 6, 2, 2, seed) for seed in range(2))
    trial = Trial(torch.arange(3), rollouts, Noise(0, ("update",), 3, 2))
    logged = learner.update(trial)
    assert logged["credit_spread"] == 0.0
    other.load_state_dict({name: tensor.clone() for name, tensor in learner.state_dict().items()})
    assert learner.update(trial) == other.update(trial)
    assert [name for name in learner.state_dict() if not name.startswith("training/")] == ["parameters"]

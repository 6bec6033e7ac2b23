"""The recurrent hypernetwork: weights that a memory writes, their gradients, and the network that it begins as."""

import pytest
import torch
from conftest import credit, fake_rollout
from torch import nn

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.learners.hypernetwork import Config, Hypernetwork
from robometa.nn import generated as generated_layers
from robometa.nn.generated import Generated, GeneratedLayer
from robometa.nn.networks import Perceptron
from robometa.noise import Noise
from robometa.rl import ppo

SPACES, TASKS, WORLDS, HORIZON = Spaces(3, 2), 2, 3, 4
SIZE = 5
SMALL = {"memory_size": SIZE, "hidden": (4,), "minibatches": 1, "epochs": 1}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perceptron(seed=0):
    return Perceptron((3, 4, 2), generator(seed), nn.Tanh)


def generated(seed=0):
    """A generated network that listens to its memory."""
    made = Generated(perceptron(seed), SIZE)
    with torch.no_grad():
        for factor in made.factors:
            factor.normal_(generator=generator(seed + 1))
    return made


def learner(**options):
    made = Hypernetwork(Config(**(SMALL | options)), SPACES, seed=0)
    with torch.no_grad():
        for network in (made.network.actor, made.network.critic):
            for factor in network.factors:
                factor.normal_(generator=generator(3)).mul_(0.3)
    made.observations.include(torch.randn(50, 3, generator=generator()) * 2 + 1)
    return made


def trial():
    made = tuple(fake_rollout(TASKS, WORLDS, HORIZON, 3, 2, seed) for seed in range(2))
    return Trial(torch.arange(TASKS), made, Noise(0, ("update",), TASKS, WORLDS))


def acted(made, rollout):
    """Mean actions along a rollout, a step at a time. `[task, world, time, action]`."""
    adaptation, means = made.begin(TASKS, WORLDS, Noise(0, ("begin",), TASKS, WORLDS)), []
    seen = rollout.seen()
    for time in range(rollout.reward.shape[-1]):
        step = Step(**{name: part[:, :, time] for name, part in vars(seen).items()})
        mean, adaptation = made.act(adaptation, step, torch.zeros(TASKS, WORLDS, 2))
        means.append(mean)
    return torch.stack(means, dim=2)


def test_whatever_the_memory_says_it_begins_as_an_ordinary_network():
    """Bias-HyperInit: at first the generated weights are those of an ordinary initialisation, in every row."""
    made, ordinary = Generated(perceptron(), SIZE), perceptron()
    x = torch.randn(7, 3, generator=generator(1))
    for memory in (torch.zeros(7, SIZE), torch.randn(7, SIZE, generator=generator(2)) * 10):
        torch.testing.assert_close(made(x, memory), ordinary(x))


def test_a_learner_begins_as_an_ordinary_policy_near_zero_actions():
    made, rollout = Hypernetwork(Config(**SMALL), SPACES, seed=0), trial().rollouts[0]
    means = acted(made, rollout)
    assert 0 < means.abs().max() < 0.01
    other = Rollout(**(vars(rollout) | {"reward": rollout.reward + 5}))  # which only the memory sees
    torch.testing.assert_close(acted(made, other), means)
    assert not torch.allclose(acted(learner(), other), acted(learner(), rollout))


def test_every_row_has_the_weights_that_its_memory_writes():
    made = generated()
    x, memory = torch.randn(6, 3, generator=generator(5)), torch.randn(6, SIZE, generator=generator(6))
    for row in range(6):
        hidden = x[row]
        for index, (factor, constant) in enumerate(zip(made.factors, made.constants, strict=True)):
            weights = constant.clone()  # biases in its last row
            for number in range(SIZE):
                weights = weights + memory[row, number] * factor[number].reshape(constant.shape)
            hidden = (torch.tanh(hidden) if index else hidden) @ weights[:-1] + weights[-1]
        torch.testing.assert_close(made(x, memory)[row], hidden)


@pytest.mark.parametrize("block", [1, 4, 512])
def test_gradients_are_those_of_finite_differences(monkeypatch, block):
    monkeypatch.setattr(generated_layers, "BLOCK", block)

    def normal(*shape, seed):
        return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).requires_grad_(True)

    parts = (normal(9, 3, seed=0), normal(9, 2, seed=1), normal(2, 8, seed=2), normal(4, 2, seed=3))
    assert torch.autograd.gradcheck(GeneratedLayer.apply, parts)
    fixed = (parts[0].detach(), *parts[1:])
    assert torch.autograd.gradcheck(GeneratedLayer.apply, fixed)


def test_the_policy_itself_sees_the_observation_only():
    """All else goes through the memory: with one that never changes, only the observation moves the action."""
    made, rollout = learner(), trial().rollouts[0]
    with torch.no_grad():
        for weight in made.network.memory.parameters():
            weight.zero_()
    means = acted(made, rollout)
    for name in ("reward", "action"):
        assert torch.equal(acted(made, Rollout(**(vars(rollout) | {name: vars(rollout)[name] + 1}))), means)
    assert not torch.allclose(acted(made, Rollout(**(vars(rollout) | {"obs": rollout.obs + 1}))), means)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_at_the_parameters_that_acted_the_ratio_is_1(kind):
    made, whole = learner(memory=kind, backpropagation=2), trial()
    metrics = made.update(whole)
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["clipped"] == 0.0


def test_acting_step_by_step_is_what_the_sequence_says():
    made, rollout = learner(), trial().rollouts[0]
    said, _ = made._read(made._inputs(rollout.seen()).flatten(0, 1))
    torch.testing.assert_close(said.mean[:, :-1].unflatten(0, (TASKS, WORLDS)), acted(made, rollout))


def test_the_memory_learns_through_the_weights_that_it_writes():
    made = learner()
    before = [weight.clone() for weight in made.network.memory.parameters()]
    made.update(trial())
    assert all(not torch.equal(old, new) for old, new in zip(before, made.network.memory.parameters(), strict=True))


def test_credit_crosses_the_ends_of_episodes(monkeypatch):
    made, whole = learner(discount=0.5, gae_lambda=0.8), trial()
    seen = []
    update = ppo.update
    monkeypatch.setattr(ppo, "update", lambda *given: (seen.append(given[2]), update(*given))[1])
    said, _ = made._read(made._inputs(whole.joined().seen()).flatten(0, 1))
    value = made.returns.undo(said.value)
    made.update(whole)
    standard, paid = credit(whole, value, 0.5, 0.8)
    assert not paid.all()
    torch.testing.assert_close(seen[0].advantage[paid], standard[paid], rtol=1e-3, atol=1e-4)

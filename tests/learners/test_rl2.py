"""RL^2: a memory that lasts as long as the trial, and credit that reaches from one episode into the next."""

import copy
from dataclasses import replace

import pytest
import torch
from conftest import copied, credit, fake_rollout, same_tensors
from torch.distributions import Independent, Normal

from robometa import registry
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import UserError
from robometa.learners.rl2 import Config, Rl2
from robometa.noise import Noise
from robometa.rl import ppo

SPACES, TASKS, WORLDS, HORIZON = Spaces(3, 2), 2, 3, 4
SMALL = {"memory_size": 5, "hidden": (4,), "minibatches": 1}


def learner(**options):
    """A small learner whose actor's last layer is large enough to show, and which has seen some numbers."""
    made = Rl2(Config(**(SMALL | options)), SPACES, seed=0)
    with torch.no_grad():
        made.network.actor[-1].weight.mul_(300)
    made.observations.include(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1)
    made.rewards.include(torch.randn(50, 1, generator=torch.Generator().manual_seed(1)) - 3)
    return made


def trial(rollouts=2, horizon=HORIZON):
    made = tuple(fake_rollout(TASKS, WORLDS, horizon, 3, 2, seed) for seed in range(rollouts))
    return Trial(torch.arange(TASKS), made, Noise(0, ("update",), TASKS, WORLDS))


def begun(made):
    return made.begin(TASKS, WORLDS, Noise(0, ("begin",), TASKS, WORLDS))


def acted(made, whole):
    """Mean actions along a trial, a step at a time as the trial's loop does it. `[task, world, time, action]`."""
    adaptation, means = begun(made), []
    last = [torch.zeros(TASKS, WORLDS, 2), torch.zeros(TASKS, WORLDS), torch.zeros(TASKS, WORLDS, dtype=torch.bool)]
    for shot, rollout in enumerate(whole.rollouts):
        for time in range(rollout.reward.shape[-1]):
            step = Step(rollout.obs[:, :, time], *last)
            mean, adaptation = made.act(adaptation, step, torch.zeros(TASKS, WORLDS, 2))
            means.append(mean)
            last = [part[:, :, time] for part in (rollout.action, rollout.reward, rollout.done)]
        if shot < len(whole.rollouts) - 1:
            adaptation = made.adapt(adaptation, rollout, Noise(0, ("adapt",), TASKS, WORLDS))
    return torch.stack(means, dim=2)


def learned_from(made, whole, monkeypatch):
    """What an update hands to PPO."""
    seen = []
    update = ppo.update
    monkeypatch.setattr(ppo, "update", lambda *given: (seen.append(given[2]), update(*given))[1])
    made.update(whole)
    monkeypatch.setattr(ppo, "update", update)
    return seen[0]


@pytest.mark.parametrize("backpropagation", [100, 2])
@pytest.mark.parametrize(
    "memory",
    [
        {"memory": "gru"},
        {"memory": "lstm"},
        {"memory": "transformer", "memory_heads": 1},
        {"encoder": (5, 3), "hidden": ()},
    ],
)
def test_what_the_update_recomputes_is_what_acted(monkeypatch, memory, backpropagation):
    made, whole = learner(**memory, backpropagation=backpropagation), trial()
    means = acted(made, whole)
    policy = Independent(Normal(means, made.network.log_std.detach().exp().expand_as(means)), 1)
    expected = policy.log_prob(whole.joined().action)
    learned = learned_from(made, whole, monkeypatch)
    pieces = 1 if backpropagation == 100 else 4  # 8 steps in pieces of at least 2
    assert learned.log_density.shape == (pieces * TASKS * WORLDS, 8 // pieces)
    torch.testing.assert_close(learned.log_density.reshape(TASKS, WORLDS, 8), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_at_the_parameters_that_acted_the_ratio_is_1(monkeypatch, kind):
    """In pieces too: each begins with the memory that it began with."""
    heads = {"memory_heads": 1} if kind == "transformer" else {}
    made, whole = learner(memory=kind, backpropagation=2, epochs=1, **heads), trial()
    metrics = made.update(whole)
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["clipped"] == 0.0


def test_the_memory_is_empty_at_the_start_of_a_trial_only():
    made, whole = learner(), trial()
    assert torch.equal(begun(made), torch.zeros(TASKS, WORLDS, 5))
    assert any(bool(rollout.done[..., :-1].any()) for rollout in whole.rollouts)  # episodes end inside rollouts
    means = acted(made, whole)
    first = whole.rollouts[0]
    other = Rollout(**(vars(first) | {"obs": first.obs + torch.eye(HORIZON)[0].reshape(-1, 1)}))  # at the first step
    changed = acted(made, Trial(whole.tasks, (other, whole.rollouts[1]), whole.noise))
    apart = (means - changed).abs().amax(dim=-1)
    assert (apart[..., HORIZON:] > 0).all()  # the second rollout knows the first step of the first


def test_adapting_returns_what_it_was_given():
    made = learner()
    memory = torch.randn(TASKS, WORLDS, 5)
    assert made.adapt(memory, trial().rollouts[0], Noise(0, ("adapt",), TASKS, WORLDS)) is memory


def test_acting_leaves_its_memory_alone_and_is_not_learned_from():
    made, rollout = learner(), trial().rollouts[0]
    before, memory = copied(made.state_dict()), torch.ones(TASKS, WORLDS, 5)
    step = Step(rollout.obs[:, :, 0], rollout.action[:, :, 0], rollout.reward[:, :, 0], rollout.done[:, :, 0])
    _, after = made.act(memory, step, torch.zeros(TASKS, WORLDS, 2))
    assert torch.equal(memory, torch.ones(TASKS, WORLDS, 5))
    assert not torch.equal(after, memory)
    assert same_tensors(before, made.state_dict())


@pytest.mark.parametrize("seen", ["obs", "last_action", "last_reward", "last_done"])
def test_the_memory_sees_everything_of_a_step(seen):
    made, memory = learner(), torch.ones(TASKS, WORLDS, 5)
    parts = {
        "obs": torch.zeros(TASKS, WORLDS, 3),
        "last_action": torch.zeros(TASKS, WORLDS, 2),
        "last_reward": torch.zeros(TASKS, WORLDS),
        "last_done": torch.zeros(TASKS, WORLDS, dtype=torch.bool),
    }
    noise = torch.zeros(TASKS, WORLDS, 2)
    _, before = made.act(memory, Step(**parts), noise)
    _, after = made.act(memory, Step(**(parts | {seen: torch.ones_like(parts[seen])})), noise)
    assert not torch.equal(before, after)


def test_credit_crosses_the_ends_of_episodes(monkeypatch):
    """A reward of the second rollout alone is credited to the first one's actions, whatever ended in between."""
    made, whole = learner(discount=0.5, gae_lambda=0.8, backpropagation=2), trial()
    value = value_of(made, whole)
    learned = learned_from(copy.deepcopy(made), whole, monkeypatch)
    standard, paid = credit(whole, value, 0.5, 0.8)
    assert not paid.all()
    torch.testing.assert_close(learned.advantage.reshape(paid.shape)[paid], standard[paid], rtol=1e-3, atol=1e-4)
    assert torch.equal(learned.weight.reshape(paid.shape) > 0, paid)
    bonus = Rollout(**(vars(whole.rollouts[1]) | {"reward": whole.rollouts[1].reward + 100}))
    richer = learned_from(copy.deepcopy(made), Trial(whole.tasks, (whole.rollouts[0], bonus), whole.noise), monkeypatch)
    # the last action that the first rollout paid was paid the same, and is now seen to have been worth the more
    last = paid[:, :HORIZON].sum(dim=1) - 1
    target = richer.target.reshape(-1, 2 * HORIZON)
    later = last > 0
    assert later.any()
    assert (target[later, last[later]] > target[later, 0]).all()


def test_a_fall_loses_what_is_left_of_the_rollout(monkeypatch):
    """A world that begins another episode inside a rollout goes on being paid, but its trial does not."""
    made, whole = learner(discount=1.0, gae_lambda=1.0), trial(rollouts=1)
    (rollout,) = whole.rollouts
    fell = torch.zeros_like(rollout.terminated)
    fell[0, 0, 1] = True
    paid = torch.ones_like(rollout.reward)
    parts = vars(rollout) | {"terminated": fell, "truncated": torch.zeros_like(fell), "reward": paid}
    whole = Trial(whole.tasks, (Rollout(**parts),), whole.noise)
    last = value_of(made, whole)[:, -1]
    learned = learned_from(made, whole, monkeypatch)
    returns = made.returns.undo(learned.target.reshape(-1, HORIZON)[:, 0])
    torch.testing.assert_close(returns[0], torch.tensor(2.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(returns[1:] - last[1:], torch.full_like(last[1:], HORIZON), atol=1e-3, rtol=0)
    assert (learned.weight.reshape(-1, HORIZON)[0] > 0).tolist() == [True, True] + [False] * (HORIZON - 2)
    assert not whole.joined().seen().last_done[0, 0, -1]  # what follows the last action is as if the episode went on


def value_of(made, whole):
    """The returns that a learner expects along a trial. `[trial, time + 1]`."""
    inputs = made._inputs(whole.joined().seen()).flatten(0, 1)
    with torch.no_grad():
        return made.returns.undo(made.network.critic(made.network.memory(inputs))[..., 0])


def test_statistics_are_part_of_the_policy():
    made, whole = learner(), trial()
    made.update(whole)
    policy = {name: tensor for name, tensor in made.state_dict().items() if not name.startswith("training/")}
    assert {"observations/mean", "rewards/mean"} <= set(policy)
    other = Rl2(Config(**SMALL), SPACES, seed=9)
    other.load_state_dict(copied(policy))
    assert torch.equal(acted(other, whole), acted(made, whole))
    assert made.observations.count == 50 + TASKS * WORLDS * 2 * HORIZON


def test_an_encoder_stands_before_the_memory():
    made = learner(encoder=(5, 3))
    assert [layer.out_features for layer in [*made.network.memory.encoder][::2]] == [5, 3]
    assert made.network.memory.memory.cell.input_size == 3
    before = [weight.clone() for weight in made.network.memory.encoder.parameters()]
    made.update(trial())
    assert not any(map(torch.equal, before, made.network.memory.encoder.parameters()))


def test_upstreams_iterations_are_its_steps():
    """Episodes of 500 steps: ML10's 20 million."""
    maml = registry.find("maml-trpo").presets()["upstream"]
    for config in (registry.find("rl2").presets()["upstream"], maml):
        assert config.iterations * config.tasks * config.worlds * (config.shots + 1) * 500 == 20_000_000


def test_an_unknown_memory_is_refused():
    with pytest.raises(UserError, match=r"unknown memory 'gur' \(did you mean 'gru'\?\)"):
        Config(memory="gur")


def test_what_it_is_blind_to_changes_nothing():
    made, whole = learner(blind=(1,)), trial()
    made.update(whole)
    obs = whole.rollouts[0].obs[:, :, 0]
    step = Step(obs, torch.zeros(TASKS, WORLDS, SPACES.action), torch.zeros(TASKS, WORLDS), torch.zeros(TASKS, WORLDS))
    nothing = torch.zeros(TASKS, WORLDS, SPACES.action)

    def action(place):
        other = obs.clone()
        other[..., place] += 1.0
        return made.act(made.begin(TASKS, WORLDS, None), replace(step, obs=other), nothing)[0]

    usual = made.act(made.begin(TASKS, WORLDS, None), step, nothing)[0]
    assert torch.equal(action(1), usual)
    assert not torch.equal(action(0), usual)
    with pytest.raises(UserError, match=r"blind must name places from 0 to 2 of an observation, not 3"):
        learner(blind=(0, 3))
    with pytest.raises(UserError, match="blind must be at least 0"):
        Config(blind=(-1,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"context": 50}, "option context is of memory transformer, not of gru"),
        ({"memory": "lstm", "memory_heads": 2}, "option memory_heads is of memory transformer, not of lstm"),
        ({"memory": "transformer", "memory_size": 10, "memory_heads": 4}, "must divide memory_size 10, not 4"),
    ],
)
def test_options_of_a_transformer_are_refused_without_one_and_where_heads_do_not_fit(options, words):
    with pytest.raises(UserError, match=words):
        Config(**options)
    Config(memory="transformer", memory_size=8, memory_heads=2, context=50)

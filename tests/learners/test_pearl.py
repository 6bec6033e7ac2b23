"""PEARL: which loss reaches which network, what context is made of, and how evidence adds up."""

import copy
import math

import pytest
import torch
from conftest import copied, fake_rollout
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution, kl_divergence

from robometa.data import Spaces, Step, Trial
from robometa.learners.pearl import Config, Pearl
from robometa.nn.task_belief import product_of_gaussians
from robometa.noise import Noise

SPACES = Spaces(3, 2)
SMALL = {"latent": 2, "hidden": (8, 8), "encoder_hidden": (8,), "context": 16, "meta_batch": 3, "batch": 16}
REWARD = SPACES.observation + SPACES.action
"""The column of the reward in a transition."""


def learner(**options):
    made = Pearl(Config(**(SMALL | options)), SPACES, seed=0)
    with torch.no_grad():  # the last layers begin so small that nothing would show
        for network in (made.sac.actor, *made.sac.critics, *made.sac.targets):
            network[-1].weight.mul_(100)
    return made


def noise(tasks=2, worlds=2, purpose="test"):
    return Noise(0, (purpose,), tasks, worlds)


def rollout(tasks=2, worlds=2, horizon=5, seed=0):
    return fake_rollout(tasks, worlds, horizon, SPACES.observation, SPACES.action, seed)


def transitions(seed, tasks=3, count=16):
    """Transitions as the replay keeps them, none of them the last. `[task, n, transition]`."""
    made = torch.randn(tasks, count, 2 * SPACES.observation + SPACES.action + 2, generator=generator(seed))
    made[..., -1] = 0
    return made


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gradients(network):
    return [None if weight.grad is None else weight.grad.clone() for weight in network.parameters()]


def watched(made, monkeypatch):
    """What gradients every network holds when each optimizer takes its step, by optimizer and network."""
    seen = {}
    for name in ("actor_optimizer", "critic_optimizer", "encoder_optimizer"):

        def step(name=name):
            networks = {"actor": made.sac.actor, "critics": made.sac.critics, "encoder": made.encoder}
            seen[name] = {key: gradients(network) for key, network in networks.items()}

        holder = made if name == "encoder_optimizer" else made.sac
        monkeypatch.setattr(getattr(holder, name), "step", step)
    return seen


def gradient_step(made, context, batch):
    """Takes one step, on random numbers of its own."""
    return made._learn(context, batch, *made._draws(generator()))


def evidence(made, context):
    """Precision and precision-weighted mean of the context's belief."""
    return product_of_gaussians(made.encoder(context))


def any_nonzero(found):
    return any(gradient is not None and gradient.abs().max() > 0 for gradient in found)


def same(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def routed(monkeypatch, **options):
    made = learner(**options)
    seen = watched(made, monkeypatch)
    gradient_step(made, transitions(0), transitions(1))
    return made, seen


def test_the_encoder_learns_from_the_critics_loss(monkeypatch):
    _, seen = routed(monkeypatch, kl_weight=0.0)
    assert any_nonzero(seen["encoder_optimizer"]["encoder"])
    assert any_nonzero(seen["critic_optimizer"]["critics"])


def test_the_encoder_learns_from_the_divergence(monkeypatch):
    without = routed(monkeypatch, kl_weight=0.0)[1]["encoder_optimizer"]["encoder"]
    made, seen = routed(monkeypatch, kl_weight=3.0)
    precision, weighted_mean = evidence(made, transitions(0)[..., : REWARD + 1])
    belief = Normal(weighted_mean / precision, precision.rsqrt())
    prior = Normal(torch.zeros(()), torch.ones(()))
    loss = 3.0 * kl_divergence(belief, prior).sum()  # summed over tasks and latents
    expected = torch.autograd.grad(loss, list(made.encoder.parameters()))
    for found, base, wanted in zip(seen["encoder_optimizer"]["encoder"], without, expected, strict=True):
        torch.testing.assert_close(found - base, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_the_critics_loss_does_not_reach_the_actor(monkeypatch):
    _, seen = routed(monkeypatch)
    for optimizer in ("critic_optimizer", "encoder_optimizer"):
        assert all(gradient is None for gradient in seen[optimizer]["actor"])


def test_the_actors_loss_reaches_neither_encoder_nor_critics(monkeypatch):
    _, seen = routed(monkeypatch)
    assert any_nonzero(seen["actor_optimizer"]["actor"])
    assert same(seen["actor_optimizer"]["encoder"], seen["encoder_optimizer"]["encoder"])
    assert same(seen["actor_optimizer"]["critics"], seen["critic_optimizer"]["critics"])


def test_no_loss_reaches_the_target_critics(monkeypatch):
    made, _ = routed(monkeypatch)
    assert all(gradient is None for gradient in gradients(made.sac.targets))


def test_every_network_learns_in_a_gradient_step():
    made = learner()
    before = copied(made.state_dict())
    gradient_step(made, transitions(0), transitions(1))
    for name, tensor in made.state_dict().items():
        if name.startswith(("actor/", "encoder/", "training/critics/", "training/targets/")):
            assert not torch.equal(tensor, before[name]), name


def test_the_twin_critics_differ_and_the_targets_equal_them():
    made = Pearl(Config(**SMALL), SPACES, seed=0)
    first, second = ([weight.detach() for weight in critic.parameters()] for critic in made.sac.critics)
    assert not any(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    for critic, target in zip(made.sac.critics, made.sac.targets, strict=True):
        assert same(critic.parameters(), target.parameters())
    x = [torch.ones(4, width) for width in (SPACES.observation, SPACES.action, 2)]
    one, other = made.sac.critics(*x)
    assert not torch.equal(one, other)


def test_the_targets_follow_the_critics_slowly():
    made = learner(target_rate=0.25)
    before = [weight.clone() for weight in made.sac.targets.parameters()]
    gradient_step(made, transitions(0), transitions(1))
    for old, target, critic in zip(before, made.sac.targets.parameters(), made.sac.critics.parameters(), strict=True):
        torch.testing.assert_close(target, 0.75 * old + 0.25 * critic.detach())


@pytest.mark.parametrize("terminal", [0.0, 1.0])
def test_the_losses_are_those_of_soft_actor_critic(monkeypatch, terminal):
    made = learner(discount=0.9, reward_scale=3.0, temperature=0.4)
    watched(made, monkeypatch)  # no network moves, so the actor is judged by the critics that are compared here
    context, batch = transitions(0), transitions(1)
    batch[..., -1] = terminal
    batch[..., SPACES.observation : REWARD].clamp_(-0.9, 0.9)
    wanted = losses(made, context, batch)
    found = gradient_step(made, context, batch)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def losses(made, context, batch):
    """Critic loss, actor loss, KL per task and entropy, written once more with torch's distributions. `[4]`."""
    config, draws = made.config, generator()
    obs, action, reward, next_obs, terminal = batch.split((3, 2, 1, 3, 1), dim=-1)
    precision, weighted_mean = evidence(made, context[..., : REWARD + 1])
    belief = Normal(weighted_mean / precision, precision.rsqrt())
    latent = (belief.mean + belief.stddev * torch.randn(3, 2, generator=draws)).unsqueeze(1).expand(-1, 16, -1)
    normal = torch.randn(2, 3, 16, 2, generator=draws)

    def acted(seen, drawn):
        mean, log_std = made.sac.actor(torch.cat((seen, latent), dim=-1)).chunk(2, dim=-1)
        squashed = TransformedDistribution(Normal(mean, log_std.clamp(-20, 2).exp()), TanhTransform(cache_size=1))
        taken = torch.tanh(mean + log_std.clamp(-20, 2).exp() * drawn)
        taken = taken.clamp(-1 + 1e-6, 1 - 1e-6)
        return taken, Independent(squashed, 1).log_prob(taken)

    def valued(critics, seen, taken):
        return torch.stack([critic(torch.cat((seen, taken, latent), dim=-1))[..., 0] for critic in critics])

    with torch.no_grad():
        next_action, density = acted(next_obs, normal[0])
        value = valued(made.sac.targets, next_obs, next_action).min(dim=0).values - config.temperature * density
        target = config.reward_scale * reward[..., 0] + config.discount * (1 - terminal[..., 0]) * value
        errors = valued(made.sac.critics, obs, action) - target
        critic_loss = errors.square().mean(dim=(1, 2)).sum()
        kl = kl_divergence(belief, Normal(0.0, 1.0)).sum() / 3
        new_action, density = acted(obs, normal[1])
        value = valued(made.sac.critics, obs, new_action).min(dim=0).values
        return torch.stack((critic_loss, (config.temperature * density - value).mean(), kl, -density.mean()))


def test_time_limits_are_not_terminals():
    cut = rollout()
    cut.terminated.zero_()
    cut.truncated.fill_(True)
    ended = copy.deepcopy(cut)
    ended.terminated.fill_(True)
    for experience, terminal in ((cut, 0.0), (ended, 1.0)):
        made, batches = learner(gradient_steps=1), []
        made.steps.learn = lambda context, batch, *numbers, batches=batches: batches.append(batch) or torch.zeros(4)
        made.update(Trial(torch.arange(2), (experience, experience), noise()))
        assert torch.equal(batches[0][..., -1], torch.full_like(batches[0][..., -1], terminal))


@pytest.mark.parametrize("next_obs", [False, True])
def test_context_has_no_terminals_and_the_next_observation_only_if_asked(next_obs):
    made = learner(context_next_obs=next_obs)

    def belief(**changes):
        experience = rollout()
        for name, change in changes.items():
            getattr(experience, name).copy_(change(getattr(experience, name)))
        found = made.adapt(made.begin(2, 2, noise()), experience, noise())
        return torch.cat((found.precision, found.weighted_mean))

    plain = belief()
    assert torch.equal(belief(terminated=torch.logical_not), plain)
    assert torch.equal(belief(truncated=torch.logical_not), plain)
    for name in ("obs", "reward"):
        assert not torch.allclose(belief(**{name: lambda tensor: tensor + 1}), plain)
    assert not torch.allclose(belief(action=lambda tensor: -tensor), plain)
    assert torch.allclose(belief(next_obs=lambda tensor: tensor + 1), plain) != next_obs


def constant(tasks, reward, horizon=4):
    """A rollout that is paid the same at every step."""
    made = rollout(tasks=tasks, horizon=horizon)
    made.reward.fill_(reward)
    return made


def test_context_is_the_latest_experience_on_the_prior_and_batches_are_all_of_it():
    made = learner(gradient_steps=30, capacity=100)
    contexts, batches = [], []

    def step(context, batch, draws, noise):
        contexts.append(context)
        batches.append(batch)
        return torch.zeros(4)

    made.steps.learn = step
    made.update(Trial(torch.tensor([4, 7]), (constant(2, 1.0), constant(2, 2.0)), noise()))
    assert set(torch.stack(contexts)[..., REWARD].unique().tolist()) == {1.0}
    assert set(torch.stack(batches)[..., REWARD].unique().tolist()) == {1.0, 2.0}
    contexts.clear()
    batches.clear()
    # task 7 is met again, task 4 is not: its context stays what it was
    made.update(Trial(torch.tensor([7, 9]), (constant(2, 3.0), constant(2, 4.0)), noise()))
    seen = {tuple(context[task, :, REWARD].unique().tolist()) for context in contexts for task in range(3)}
    assert seen == {(1.0,), (3.0,)}
    assert set(torch.stack(batches)[..., REWARD].unique().tolist()) == {1.0, 2.0, 3.0, 4.0}


def test_context_and_batch_of_a_gradient_step_are_of_the_same_task():
    made = learner(gradient_steps=30, meta_batch=4)
    pairs = []

    def step(context, batch, draws, noise):
        pairs.extend(zip(context[:, 0, REWARD].tolist(), batch[:, :, REWARD].tolist(), strict=True))
        return torch.zeros(4)

    made.steps.learn = step
    experience = constant(2, 1.0)
    experience.reward[1] = 2.0
    made.update(Trial(torch.arange(2), (experience, experience), noise()))
    assert {reward for reward, _ in pairs} == {1.0, 2.0}
    assert all(set(rewards) == {reward} for reward, rewards in pairs)


def test_one_task_twice_in_a_trial_keeps_the_context_of_both():
    made = learner(gradient_steps=30, meta_batch=1)
    contexts = []
    made.steps.learn = lambda context, batch, *numbers: contexts.append(context) or torch.zeros(4)
    experience = constant(2, 1.0)
    experience.reward[1] = 2.0
    made.update(Trial(torch.tensor([5, 5]), (experience, experience), noise()))
    assert set(torch.stack(contexts)[..., REWARD].unique().tolist()) == {1.0, 2.0}


class Stub(torch.nn.Module):
    """An encoder that says of a transition with reward r that the latent is near r, with variance 1 / r."""

    def forward(self, context):
        """Means, and what softplus makes variances of."""
        reward = context[..., -1:]
        # softplus(raw) = variance where raw = log(exp(variance) - 1)
        raw = torch.log(torch.expm1(1 / reward))
        return torch.cat((reward, reward, raw, raw), dim=-1)


def test_the_belief_is_the_product_of_the_transitions_gaussians():
    made = learner()
    made.encoder = Stub()
    experience = rollout(horizon=2)
    experience.reward[:] = torch.tensor([1.0, 2.0])
    belief = made.adapt(made.begin(2, 2, noise()), experience, noise())
    # N(1, 1) and N(2, 1/2): precision 1 + 2 = 3, mean (1 * 1 + 2 * 2) / 3 = 5/3
    torch.testing.assert_close(belief.precision, torch.full((2, 2, 2), 3.0))
    torch.testing.assert_close(belief.weighted_mean / belief.precision, torch.full((2, 2, 2), 5 / 3))
    # and with a second rollout of one more transition, N(4, 1/4): precision 7, mean (5 + 16) / 7 = 3
    more = rollout(horizon=1)
    more.reward.fill_(4.0)
    belief = made.adapt(belief, more, noise())
    torch.testing.assert_close(belief.precision, torch.full((2, 2, 2), 7.0))
    torch.testing.assert_close(belief.weighted_mean / belief.precision, torch.full((2, 2, 2), 3.0))


def test_the_sample_is_drawn_from_the_belief():
    made = learner()
    made.encoder = Stub()
    experience = rollout(worlds=4000, horizon=2)
    experience.reward[:] = torch.tensor([1.0, 2.0])
    source = noise(worlds=4000)
    sample = made.adapt(made.begin(2, 4000, source), experience, source.fork("adapt")).sample
    assert float(sample.mean()) == pytest.approx(5 / 3, abs=0.02)
    assert float(sample.std()) == pytest.approx(1 / math.sqrt(3), abs=0.02)


def test_evidence_shrinks_the_posterior():
    made = learner()
    belief = made.begin(2, 2, noise())
    assert belief.precision.abs().max() == 0  # the prior does not count as evidence
    for seed in range(3):
        before = belief.precision
        belief = made.adapt(belief, rollout(seed=seed), noise(purpose=f"shot {seed}"))
        assert (belief.precision > before).all()


def test_it_begins_with_a_sample_of_the_prior_for_each_world():
    sample = learner().begin(4, 1000, noise(4, 1000)).sample
    assert sample.shape == (4, 1000, 2)
    assert float(sample.mean()) == pytest.approx(0, abs=0.05)
    assert float(sample.std()) == pytest.approx(1, abs=0.05)
    assert len(sample.flatten(0, 1).unique(dim=0)) == 4000


def test_a_belief_does_not_depend_on_another_worlds_experience():
    made = learner()
    plain = made.adapt(made.begin(2, 2, noise()), rollout(), noise())
    experience = rollout()
    experience.obs[0, 1] += 1
    experience.reward[1] -= 1
    other = made.adapt(made.begin(2, 2, noise()), experience, noise())
    for one, changed in zip(plain, other, strict=True):
        assert torch.equal(one[0, 0], changed[0, 0])
        assert not torch.allclose(one[0, 1], changed[0, 1])
        assert not torch.allclose(one[1], changed[1])


def test_it_acts_on_the_sample_and_without_noise_on_the_mean():
    made = learner()
    step = Step(torch.ones(2, 2, 3), torch.zeros(2, 2, 2), torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool))
    belief = made.begin(2, 2, noise())
    zero = torch.zeros(2, 2, 2)
    action, after = made.act(belief, step, zero)
    assert after is belief
    mean, log_std = made.sac.actor(torch.cat((step.obs, belief.sample), dim=-1)).chunk(2, dim=-1)
    torch.testing.assert_close(action, torch.tanh(mean))
    torch.testing.assert_close(made.act(belief, step, zero + 0.5)[0], torch.tanh(mean + 0.5 * log_std.exp()))
    other = belief._replace(sample=belief.sample + 1)
    assert not torch.allclose(made.act(other, step, zero)[0], action)


def test_only_update_changes_the_learner():
    made = learner(gradient_steps=1)
    made.update(Trial(torch.arange(2), (rollout(), rollout(seed=1)), noise()))
    before = copied(made.state_dict())
    belief = made.begin(2, 2, noise())
    made.adapt(belief, rollout(seed=2), noise())
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
    made.update(Trial(torch.arange(2), (rollout(), rollout(seed=1)), noise()))
    assert not all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items() if name in before)


def test_a_learner_goes_on_from_its_state_as_if_it_had_never_stopped():
    trials = [
        Trial(torch.tensor([seed, 7]), (rollout(seed=seed), rollout(seed=seed + 10)), noise(purpose=f"update {seed}"))
        for seed in range(4)
    ]
    made = learner(gradient_steps=3, capacity=12)
    for trial in trials[:2]:
        made.update(trial)
    state = copied(made.state_dict())
    other = Pearl(made.config, SPACES, seed=5)
    other.load_state_dict(state)
    for trial in trials[2:]:
        assert made.update(trial) == other.update(trial)
    first, second = made.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_learning_rate_falls_between_two_iterations_and_survives_a_reload():
    options = {
        "gradient_steps": 2,
        "learning_rate": 1e-2,
        "final_learning_rate": 1e-3,
        "decay_begin": 1,
        "decay_end": 3,
    }
    made = learner(**options)
    rates = []
    for iteration in range(5):
        again = learner(**options)
        again.load_state_dict(made.state_dict())  # a resumed run knows how far it is
        for current in (made, again):
            trial = Trial(
                torch.tensor([0, 1]), (rollout(seed=iteration), rollout(seed=9)), noise(purpose=str(iteration))
            )
            current.update(trial)
        rates.append([group["lr"] for current in (made, again) for group in current.sac.actor_optimizer.param_groups])
    # whole until iteration 1, halfway after another one, at its end from iteration 3 on
    for found, expected in zip(rates, (1e-2, 1e-2, 5.5e-3, 1e-3, 1e-3), strict=True):
        assert found == pytest.approx([expected] * 2)

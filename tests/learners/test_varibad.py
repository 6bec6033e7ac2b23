"""VariBAD: which loss reaches which network, what beliefs know and predict, and what they are carried through."""

import copy

import pytest
import torch
from conftest import copied, credit, fake_rollout, same_tensors
from torch.distributions import Independent, Normal

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.learners import varibad
from robometa.learners.varibad import PRESETS, Config, Varibad
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.suites.objectives import OBJECTIVES

SPACES, TASKS, WORLDS, HORIZON = Spaces(3, 2), 2, 3, 4
SMALL = {
    "latent": 2,
    "memory_size": 5,
    "hidden": (4,),
    "decoder_hidden": (6,),
    "minibatches": 1,
    "epochs": 1,
    "gradient_steps": 2,
    "batch": 6,
    "beliefs": 3,
    "decodes": 5,
    "capacity": 20,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def learner(**options):
    made = Varibad(Config(**(SMALL | options)), SPACES, seed=0)
    with torch.no_grad():
        made.network.actor[-1].weight.mul_(300)
    made.observations.include(torch.randn(50, 3, generator=generator()) * 2 + 1)
    made.rewards.include(torch.randn(50, 1, generator=generator(1)) - 3)
    return made


def trial(rollouts=2, seed=0):
    made = tuple(fake_rollout(TASKS, WORLDS, HORIZON, 3, 2, seed + shot) for shot in range(rollouts))
    return Trial(torch.arange(TASKS), made, Noise(0, ("update", seed), TASKS, WORLDS))


def acted(made, whole):
    """Mean actions and beliefs along a trial, a step at a time. `[task, world, time, ...]`."""
    belief, found = made.begin(TASKS, WORLDS, Noise(0, ("begin",), TASKS, WORLDS)), []
    last = [torch.zeros(TASKS, WORLDS, 2), torch.zeros(TASKS, WORLDS), torch.zeros(TASKS, WORLDS, dtype=torch.bool)]
    for shot, rollout in enumerate(whole.rollouts):
        for time in range(HORIZON):
            step = Step(rollout.obs[:, :, time], *last)
            action, belief = made.act(belief, step, torch.zeros(TASKS, WORLDS, 2))
            found.append((action, belief.mean, belief.log_variance))
            last = [part[:, :, time] for part in (rollout.action, rollout.reward, rollout.done)]
        if shot < len(whole.rollouts) - 1:
            belief = made.adapt(belief, rollout, Noise(0, ("adapt",), TASKS, WORLDS))
    return [torch.stack(parts, dim=2) for parts in zip(*found, strict=True)]


def columns(whole):
    """Trials as they are kept. `[trial, time, column]`."""
    joined = whole.joined()
    reward, done = joined.reward.unsqueeze(-1), joined.done.unsqueeze(-1).float()
    return torch.cat((joined.obs, joined.action, reward, joined.next_obs, done), dim=-1).flatten(0, 1)


def learned_from(made, whole, monkeypatch):
    """What an update hands to PPO."""
    seen = []
    update = ppo.update
    monkeypatch.setattr(ppo, "update", lambda *given: (seen.append(given[2]), update(*given))[1])
    made.update(whole)
    monkeypatch.setattr(ppo, "update", update)
    return seen[0]


def test_acting_step_by_step_gives_the_beliefs_of_the_sequence():
    made, whole = learner(), trial()
    _, mean, log_variance = acted(made, whole)
    known = made._known(whole.joined().seen()).unflatten(0, (TASKS, WORLDS))[:, :, :-1]
    torch.testing.assert_close(known[..., :3], made.observations(whole.joined().obs))
    torch.testing.assert_close(known[..., 3:5], mean)
    torch.testing.assert_close(known[..., 5:], log_variance)


def test_what_the_update_recomputes_is_what_acted(monkeypatch):
    made, whole = learner(), trial()
    means = acted(made, whole)[0]
    policy = Independent(Normal(means, made.network.log_std.detach().exp().expand_as(means)), 1)
    learned = learned_from(made, whole, monkeypatch)
    expected = policy.log_prob(whole.joined().action).flatten(0, 1)
    torch.testing.assert_close(learned.log_density, expected, rtol=1e-4, atol=1e-4)


def test_the_belief_begins_at_the_prior_and_is_carried_through_the_trial():
    made, whole = learner(), trial()
    prior = made.begin(TASKS, WORLDS, Noise(0, ("begin",), TASKS, WORLDS))
    assert all(not part.any() for part in prior)  # mean 0, and a log variance of 0 is a variance of 1
    assert made.adapt(prior, whole.rollouts[0], Noise(0, ("adapt",), TASKS, WORLDS)) is prior
    assert any(bool(rollout.done[..., :-1].any()) for rollout in whole.rollouts)  # episodes end inside rollouts
    first = whole.rollouts[0]
    other = Rollout(**(vars(first) | {"reward": first.reward + torch.eye(HORIZON)[0]}))  # at the first step
    changed = acted(made, Trial(whole.tasks, (other, whole.rollouts[1]), whole.noise))
    for before, after in zip(acted(made, whole)[1:], changed[1:], strict=True):
        apart = (before - after).abs().amax(dim=-1)
        assert (apart[:, :, 0] == 0).all()
        assert (apart[:, :, 1:] > 0).all()  # to the end of the second rollout


def test_acting_changes_neither_learner_nor_belief():
    made, whole = learner(), trial()
    before = copied(made.state_dict())
    belief = made.begin(TASKS, WORLDS, Noise(0, ("begin",), TASKS, WORLDS))
    step = Step(**{name: part[:, :, 0] for name, part in vars(whole.joined().seen()).items()})
    made.act(belief, step, torch.zeros(TASKS, WORLDS, 2))
    assert all(not part.any() for part in belief)
    assert same_tensors(before, made.state_dict())


def test_reinforcement_learning_leaves_encoder_and_decoders_alone(monkeypatch):
    made = learner()
    before = copied(made.state_dict())
    monkeypatch.setattr(made, "_predict", lambda rollout, generator: {})
    seen = learned_from(made, trial(), monkeypatch)
    assert not any(part.requires_grad for part in seen.inputs)  # the beliefs it is given lead nowhere
    after = made.state_dict()
    for name, tensor in before.items():
        if name.startswith(("encoder/", "training/decoders/")):
            assert torch.equal(tensor, after[name]), name
    assert not torch.equal(before["network/actor.0.weight"], after["network/actor.0.weight"])


def test_prediction_moves_encoder_and_decoders_and_not_the_policy():
    made = learner(decode_state=True)
    before = copied(made.state_dict())
    made._predict(trial().joined(), generator())
    for name, tensor in made.state_dict().items():
        if name.startswith("network/"):
            assert torch.equal(tensor, before[name]), name
        if name.startswith(("encoder/", "training/decoders/")):
            assert not torch.equal(tensor, before[name]), name


def gradient_of_encoder(made, batch, moments, targets, part):
    draws = torch.zeros(len(batch), moments.shape[1], 2)
    loss = made._shortfall(batch, moments, targets, draws)[part]
    return torch.autograd.grad(loss, list(made.encoder.parameters()))


@pytest.mark.parametrize("target", [0, 2 * HORIZON - 1])
def test_a_belief_predicts_past_and_future(target):
    """The error of a step's reward, before or after the belief, in its episode or the other, teaches the encoder."""
    made, batch = learner(), columns(trial())
    moments, targets = torch.full((6, 1), HORIZON), torch.full((6, 1), target)
    assert all(part.abs().max() > 0 for part in gradient_of_encoder(made, batch, moments, targets, 0)[:1])
    draws = torch.zeros(6, 1, 2)
    before = made._shortfall(batch, moments, targets, draws)
    other = batch.clone()
    other[:, target, 5] += 1.0  # its reward
    assert not torch.equal(made._shortfall(other, moments, targets, draws)[0], before[0])


def test_moments_and_steps_are_drawn_from_the_whole_trial(monkeypatch):
    made = learner(beliefs=50, decodes=50, gradient_steps=1)
    seen = []
    shortfall = made._shortfall
    monkeypatch.setattr(made, "_shortfall", lambda *given: (seen.append(given), shortfall(*given))[1])
    made._predict(trial().joined(), generator())
    (_, moments, targets, draws) = seen[0]
    assert set(moments.flatten().tolist()) == set(range(2 * HORIZON + 1))  # before every action, and after the last
    assert set(targets.flatten().tolist()) == set(range(2 * HORIZON))
    assert (moments.unsqueeze(2) > targets.unsqueeze(1)).any(dim=(1, 2)).all()
    assert (moments.unsqueeze(2) <= targets.unsqueeze(1)).any(dim=(1, 2)).all()
    assert draws.shape == (6, 50, 2)


def test_a_belief_knows_the_trial_so_far_only():
    """What it is to predict must not have gone into it."""
    made, batch = learner(), columns(trial())
    moments, targets = torch.full((6, 1), 3), torch.full((6, 1), 1)
    draws = torch.zeros(6, 1, 2)
    before = made._shortfall(batch, moments, targets, draws)[0]
    later, earlier = batch.clone(), batch.clone()
    later[:, 3, 5] += 1.0  # the reward of the action that the belief is for
    earlier[:, 2, 5] += 1.0
    assert torch.equal(made._shortfall(later, moments, targets, draws)[0], before)
    assert not torch.equal(made._shortfall(earlier, moments, targets, draws)[0], before)


def test_the_loss_is_the_evidence_of_a_whole_trial_against_a_divergence(monkeypatch):
    made, batch = learner(kl_weight=0.7, decode_state=True), columns(trial())
    taken, drawn = [], generator(5)
    monkeypatch.setattr(made.predicting_optimizer, "step", lambda: taken.append(None))
    moments = torch.randint(2 * HORIZON + 1, (6, 3), generator=drawn)
    targets = torch.randint(2 * HORIZON, (6, 5), generator=drawn)
    draws = torch.randn(6, 3, 2, generator=drawn)
    made._predicting_step(batch, moments, targets, draws)
    found = made._shortfall(batch, moments, targets, draws)
    loss = 2 * HORIZON * (found[0] + found[1]) + 0.7 * found[2]
    parameters = [*made.encoder.parameters(), *made.decoders.parameters()]
    assert len(taken) == 1
    for parameter, expected in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(parameter.grad, expected)


def test_pieces_give_the_gradient_of_the_whole(monkeypatch):
    whole, cut, batch = learner(), learner(), columns(trial())
    whole.replay.add(batch)
    numbers = whole._drawn(batch.shape[1:], generator(5))
    logged = whole._predicting_step(*numbers)
    monkeypatch.setattr(varibad, "CHUNK", 4)
    torch.testing.assert_close(cut._predicting_step(*numbers), logged)
    for one, other in zip(cut.encoder.parameters(), whole.encoder.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_credit_crosses_the_ends_of_episodes(monkeypatch):
    made, whole = learner(discount=0.5, gae_lambda=0.8), trial()
    with torch.no_grad():
        value = made.returns.undo(made.network(made._known(whole.joined().seen())).value)
    learned = learned_from(copy.deepcopy(made), whole, monkeypatch)
    standard, paid = credit(whole, value.unflatten(0, (-1, 1))[:, 0] if value.ndim > 2 else value, 0.5, 0.8)
    assert not paid.all()
    torch.testing.assert_close(learned.advantage[paid], standard[paid], rtol=1e-3, atol=1e-4)


def test_kept_trials_are_bounded_and_the_latest():
    made = learner(capacity=9)
    for seed in range(3):
        made.update(trial(seed=10 * seed))
    kept = made.state_dict()["training/replay/ring/0"]
    assert kept.shape == (9, columns(trial()).shape[1] * columns(trial()).shape[2])
    latest = columns(trial(seed=20)).flatten(1)
    assert all((kept == row).all(dim=1).any() for row in latest)


def test_going_on_from_a_state_is_as_if_it_never_stopped():
    made = learner(decode_state=True)
    made.update(trial())
    other = Varibad(made.config, SPACES, seed=5)
    other.load_state_dict(copied(made.state_dict()))
    assert made.update(trial(seed=7)) == other.update(trial(seed=7))
    assert same_tensors(made.state_dict(), other.state_dict())


def test_the_policys_part_of_a_state_acts_the_same():
    made, whole = learner(), trial()
    made.update(whole)
    policy = {name: tensor for name, tensor in made.state_dict().items() if not name.startswith("training/")}
    other = Varibad(made.config, SPACES, seed=5)
    other.load_state_dict(copied(policy))
    for one, same in zip(acted(made, whole), acted(other, whole), strict=True):
        assert torch.equal(one, same)


def test_a_direction_is_a_sign_and_an_angle_is_an_angle():
    """A published ant takes the sign of its direction, -1 or 1, for an angle in rad: both then lead forward."""
    forward = {"forward_velocity": torch.tensor([2.0, 2.0]), "control": torch.zeros(2, 1)}
    weights = {"control_cost": 0.0, "alive_bonus": 0.0, "velocity_weight": 1.0}
    paid, _ = OBJECTIVES["direction"].reward(forward, {"direction": torch.tensor([[-1.0], [1.0]])}, weights)
    assert paid.tolist() == [-2.0, 2.0]
    plane = {"velocity": torch.tensor([[2.0, 0.0]] * 3), "control": torch.zeros(3, 1)}
    angles = torch.tensor([[0.0], [torch.pi], [2 * torch.pi]])
    paid, _ = OBJECTIVES["heading"].reward(plane, {"angle": angles}, weights)
    torch.testing.assert_close(paid, torch.tensor([2.0, -2.0, 2.0]))  # a whole turn is no turn


def test_the_papers_preset_is_that_of_its_code_on_half_cheetah_velocity():
    paper = PRESETS["paper"]
    assert (paper.minibatches, paper.decodes, paper.state_error, paper.decoder_gradient_norm) == (8, 50, "mean", 1.0)

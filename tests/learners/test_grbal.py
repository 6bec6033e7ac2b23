"""GrBAL: windows, the gradient through a refit, what a refit does, and plans."""

import math

import pytest
import torch
from conftest import copied, fake_rollout
from torch.func import grad

from robometa.data import Spaces, Step, Trial
from robometa.errors import UserError
from robometa.learners.grbal import Config, Grbal
from robometa.nn.imagination import imagined
from robometa.nn.transitions import transitions_of
from robometa.noise import Noise
from robometa.rl.icem import Plan
from robometa.rl.planning import best_of, cross_entropy
from robometa.rl.replay import WindowReplay, Windows

SPACES = Spaces(3, 2)
WIDTH = 2 * SPACES.observation + SPACES.action + 1
SMALL = {
    "hidden": (8, 8),
    "past": 4,
    "future": 3,
    "candidates": 16,
    "plan_horizon": 3,
    "elites": 4,
    "windows": 16,
    "gradient_steps": 2,
    "random_iterations": 0,
}


def learner(**options):
    return Grbal(Config(**(SMALL | options)), SPACES, seed=0)


def noise(tasks=2, worlds=2):
    return Noise(0, ("test",), tasks, worlds)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


def rollout(seed=0, horizon=8):
    return fake_rollout(2, 2, horizon, SPACES.observation, SPACES.action, seed)


def trial(*rollouts):
    return Trial(torch.arange(2), rollouts, noise())


def step(made, seed=0, done=False):
    """Something that each of 2 x 2 worlds may show."""
    return Step(
        normal(2, 2, SPACES.observation, seed=seed),
        normal(2, 2, SPACES.action, seed=seed + 100),
        normal(2, 2, seed=seed + 200),
        torch.full((2, 2), done),
    )


def windows(count, dtype=torch.float64, seed=0):
    weight = (torch.rand(count, 4, generator=generator(seed)) < 0.7).to(dtype)
    future_weight = torch.ones(count, 3, dtype=dtype)
    future_weight[::2, 2] = 0
    return Windows(
        normal(count, 4, WIDTH, seed=seed, dtype=dtype),
        weight,
        normal(count, 3, WIDTH, seed=1, dtype=dtype),
        future_weight,
    )


# --- windows ---


def numbered(episodes):
    """A replay of worlds whose steps hold (world, time, episode), with episodes of the given lengths."""
    lengths = torch.tensor(episodes)
    done = torch.zeros(len(episodes), int(lengths.sum(1).max()), dtype=torch.bool)
    for world, ends in enumerate(lengths.cumsum(1)):
        done[world, ends - 1] = True
    time = torch.arange(done.shape[1]).expand(done.shape)
    world = torch.arange(len(done)).unsqueeze(1).expand(done.shape)
    episode = torch.tensor([[index for index, length in enumerate(row) for _ in range(length)] for row in episodes])
    replay = WindowReplay(1000, 3)
    replay.add(torch.stack((world, time, episode), dim=-1).float(), done)
    return replay


def test_a_window_is_consecutive_and_never_crosses_the_end_of_an_episode():
    found = numbered([[5, 7, 3], [1, 1, 13]]).sample(500, 4, 3, generator())
    moment = found.future[:, :1]
    assert (found.future_weight[:, 0] == 1).all()
    for part, weight, offset in (
        (found.past, found.past_weight, torch.arange(-4, 0)),
        (found.future, found.future_weight, torch.arange(3)),
    ):
        counts = weight.bool()
        world, time, episode = part.unbind(-1)
        assert torch.equal(world[counts], moment[..., 0].expand_as(world)[counts])
        assert torch.equal(episode[counts], moment[..., 2].expand_as(episode)[counts])
        assert torch.equal(time[counts], (moment[..., 1] + offset)[counts])
    # it leaves out nothing that it could have had: steps before the moment in its episode, up to four
    begun = torch.tensor([[0, 5, 12], [0, 1, 2]])[moment[:, 0, 0].long(), moment[:, 0, 2].long()]
    assert torch.equal(found.past_weight.sum(1), (moment[:, 0, 1] - begun).clamp(max=4))
    assert {0, 4} <= set(found.past_weight.sum(1).tolist())


def test_a_window_may_cross_episodes_of_a_trial_where_that_is_asked_for():
    found = numbered([[5, 7, 3]]).sample(200, 4, 3, generator(), across_episodes=True)
    moment = found.future[:, 0, 1]
    assert torch.equal(found.past_weight.sum(1), moment.clamp(max=4))
    assert torch.equal(found.future_weight.sum(1), (15 - moment).clamp(max=3))


def test_the_oldest_trials_are_forgotten_and_what_is_held_can_be_taken_back():
    replay = WindowReplay(25, 1)
    for number in range(4):
        replay.add(torch.full((1, 10, 1), float(number)), torch.zeros(1, 10, dtype=torch.bool))
    assert replay.steps[:, 0, 0].tolist() == [2, 3]
    other = WindowReplay(25, 1)
    other.load_state_dict(replay.state_dict())
    for first, second in zip(replay.sample(9, 2, 2, generator()), other.sample(9, 2, 2, generator()), strict=True):
        assert torch.equal(first, second)


# --- the refit and the gradient through it ---


def test_a_refit_is_a_gradient_step_on_half_the_squared_error_of_what_counts():
    made = learner(inner_step_size=0.3, inner_steps=2)
    start, sizes = normal(5, made.model.parameters.numel()), normal(made.model.parameters.numel(), seed=1).abs()
    past, weight = windows(5, torch.float32)[:2]
    found = made.model.refitted(start, sizes, past, weight)
    for row in range(5):
        expected = start[row : row + 1].clone()
        counted = past[row : row + 1, weight[row] > 0]
        for _ in range(2 if counted.numel() else 0):
            point = expected.clone().requires_grad_()
            predicted, _ = made.model.predicted(point, counted[..., :3], counted[..., 3:5])
            error = 0.5 * (predicted - counted[..., 5:]).square().sum(-1).mean()
            expected = (expected - 0.3 * sizes * torch.autograd.grad(error, point)[0]).detach()
        torch.testing.assert_close(found[row : row + 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_acting_refits_to_the_bits_of_the_refit_that_is_differentiated(inner_steps):
    made = learner(inner_step_size=0.2, inner_steps=inner_steps)
    past, weight = windows(5, torch.float32)[:2]
    start = made.model.parameters.detach().expand(5, -1)
    with torch.no_grad():
        expected = made.model.refitted(start, made.model.step_sizes.detach(), past, weight)
        found = made.model.refitted_to(past, weight)[0]
    assert torch.equal(found, expected)
    assert not found.requires_grad
    assert made.model.parameters.grad is None


@pytest.mark.parametrize("inner_steps", [1, 2])
def test_the_outer_gradient_goes_through_the_refit(inner_steps):
    made = learner(inner_step_size=0.2, inner_steps=inner_steps)
    size = made.model.parameters.numel()
    point, sizes, cut = normal(size, dtype=torch.float64) / 3, 1 + normal(size, seed=1).double() / 9, windows(6)

    def loss(parameters, step_sizes):
        made.model.parameters, made.model.step_sizes = parameters.unsqueeze(0), step_sizes.unsqueeze(0)
        return made.model.outer_loss(*cut)[0]

    for place, held in enumerate((point, sizes)):
        gradient = grad(loss, argnums=place)(point, sizes)
        for seed in range(3):
            away = normal(size, seed=seed + 5).double() * 1e-5
            ends = [
                loss(*(part + sign * away if part is held else part for part in (point, sizes))) for sign in (1, -1)
            ]
            torch.testing.assert_close(gradient @ away, (ends[0] - ends[1]) / 2, rtol=1e-5, atol=1e-13)


def test_first_order_leaves_the_refit_out_of_the_gradient():
    cut = windows(6, torch.float32)
    whole, first = learner(inner_step_size=0.2), learner(inner_step_size=0.2, first_order=True)
    for made in (whole, first):
        made.model.outer_loss(*cut)[0].backward()
    adapted = first.model.refitted(
        first.model.parameters.detach().expand(6, -1), first.model.step_sizes.detach(), *cut[:2]
    )
    at = adapted.requires_grad_()
    first.model.loss(at, *cut[2:]).mean().backward()
    torch.testing.assert_close(first.model.parameters.grad[0], at.grad.sum(0))
    assert not torch.allclose(whole.model.parameters.grad, first.model.parameters.grad, rtol=1e-2)


def hidden_sign_rollout(seed, horizon=12):
    """What happens to points that move by their action in one world and against it in the next."""
    generated = generator(seed)
    sign = torch.where(torch.rand(4, 5, 1, 1, generator=generated) < 0.5, -1.0, 1.0)
    made = fake_rollout(4, 5, horizon, SPACES.observation, SPACES.action, seed)
    action = made.action.clamp(-1, 1)
    change = torch.zeros_like(made.obs)
    change[..., :2] = sign * action
    return type(made)(**{**vars(made), "next_obs": made.obs + change, "reward": (sign * action)[..., 0].clone()})


def test_after_training_a_refit_lowers_the_error_on_what_follows():
    made = learner(hidden=(16, 16), inner_step_size=0.1, gradient_steps=300, learning_rate=5e-3)
    for seed in range(2):
        logged = made.update(Trial(torch.arange(4), (hidden_sign_rollout(seed),), noise(4, 5).fork(seed)))
    assert logged["model_loss"] < 0.7 * logged["model_loss_before_refit"]
    new = transitions_of(hidden_sign_rollout(9)).flatten(0, 1)
    weight = torch.ones(20, 4)
    adapted = made.model.refitted_to(new[:, :4], weight)[0]
    start = made.model.parameters.detach().expand(20, -1)
    after, before = (float(made.model.loss(point, new[:, 4:8], weight).mean()) for point in (adapted, start))
    assert after < 0.5 * before


# --- what acting remembers ---


def test_the_window_is_of_the_last_transitions_and_not_across_an_episodes_end():
    made = learner()
    adaptation = made.begin(2, 2, noise())
    shown = [step(made, seed, done=seed == 3) for seed in range(7)]
    for one in shown:
        _, adaptation = made.act(adaptation, one, torch.zeros(2, 2, 2))
    # steps 0..6 end six transitions, of which the one into step 3 crosses a reset; the last four of five are kept
    expected = [
        torch.cat((shown[k - 1].obs, shown[k].last_action.clamp(-1, 1), shown[k].obs - shown[k - 1].obs,
                   shown[k].last_reward.unsqueeze(-1)), dim=-1)
        for k in (2, 4, 5, 6)
    ]  # fmt: skip
    torch.testing.assert_close(adaptation.last.window, torch.stack(expected, dim=2))
    assert (adaptation.last.filled == 4).all()
    weight = torch.ones(4, 4)
    torch.testing.assert_close(
        adaptation.knowledge.flatten(0, 1)[:, 0],
        made.model.refitted_to(adaptation.last.window.flatten(0, 1), weight)[0],
    )


def test_an_unfilled_window_counts_only_what_is_there():
    made = learner()
    adaptation = made.begin(2, 2, noise())
    for seed in range(2):
        _, adaptation = made.act(adaptation, step(made, seed), torch.zeros(2, 2, 2))
    assert (adaptation.last.filled == 1).all()
    alone = made.model.refitted_to(adaptation.last.window.flatten(0, 1)[:, -1:], torch.ones(4, 1))[0]
    torch.testing.assert_close(adaptation.knowledge.flatten(0, 1)[:, 0], alone)
    assert not torch.equal(alone[:1], made.model.parameters)


def test_it_refits_only_every_so_often():
    made = learner(refit_every=2)
    adaptation, kept = made.begin(2, 2, noise()), []
    for seed in range(4):
        _, adaptation = made.act(adaptation, step(made, seed), torch.zeros(2, 2, 2))
        kept.append(adaptation.knowledge)
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[1], kept[2])
    assert torch.equal(kept[2], kept[3])


def test_a_worlds_action_does_not_depend_on_its_neighbours():
    made = learner()
    adaptation, alone = made.begin(2, 2, noise()), made.begin(1, 2, noise(1, 2))
    for seed in range(3):
        one = step(made, seed)
        action, adaptation = made.act(adaptation, one, torch.zeros(2, 2, 2))
        first = Step(*(tensor[:1] for tensor in vars(one).values()))
        action_alone, alone = made.act(alone, first, torch.zeros(1, 2, 2))
        assert torch.equal(action[:1], action_alone)


def test_it_acts_at_random_until_it_has_learned_something():
    made = learner(random_iterations=1)
    draws = normal(2, 2, 2)
    action, _ = made.act(made.begin(2, 2, noise()), step(made), draws)
    torch.testing.assert_close(action, torch.special.ndtr(draws) * 2 - 1)
    made.update(trial(rollout()))
    planned, _ = made.act(made.begin(2, 2, noise()), step(made), draws)
    mean, _ = made.act(made.begin(2, 2, noise()), step(made), torch.zeros_like(draws))
    torch.testing.assert_close(planned - mean, made.config.exploration * draws)
    assert (mean.abs() > 0).any()


# --- plans ---

TARGET = torch.tensor([0.5, -0.4])


def value(candidates):
    """Highest where every action is the target."""
    return -(candidates - TARGET).square().sum(dim=(2, 3))


def test_random_shooting_returns_the_best_candidate():
    draws = normal(3, 50, 2, 2)
    candidates = 2 * torch.special.ndtr(draws) - 1
    expected = torch.stack([of_world[value(of_world.unsqueeze(0))[0].argmax()] for of_world in candidates])
    torch.testing.assert_close(best_of(value, draws), expected)


def test_the_cross_entropy_method_comes_near_the_best_and_nearer_with_rounds():
    begin, draws = torch.zeros(3, 2, 2), normal(5, 3, 64, 2, 2)
    one, five = (cross_entropy(value, begin, draws[:rounds], 0.5, 8) for rounds in (1, 5))
    torch.testing.assert_close(five, TARGET.expand(3, 2, 2), atol=0.1, rtol=0)
    assert (five - TARGET).norm() < (one - TARGET).norm()


def test_a_round_of_the_cross_entropy_method_is_the_mean_of_the_elites():
    begin, draws = torch.full((1, 2, 2), 0.9), normal(1, 1, 10, 2, 2)
    candidates = (0.9 + 0.5 * draws[0, 0]).clamp(-1, 1)
    elites = candidates[value(candidates.unsqueeze(0))[0].argsort(descending=True)[:3]]
    torch.testing.assert_close(cross_entropy(value, begin, draws, 0.5, 3)[0], elites.mean(0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_plan_whose_value_is_not_a_number_is_never_chosen(bad):
    draws = normal(2, 20, 2, 2)

    def broken(candidates):
        return torch.where(candidates[:, :, 0, 0] > 0, bad, -candidates[:, :, 0, 0].abs())

    assert (best_of(broken, draws)[:, 0, 0] <= 0).all()


def linear_model(made, weights):
    """Parameters of a model without hidden layers whose outcome is a product with (obs, action)."""
    flat = torch.zeros(made.model.parameters.numel())
    flat[: weights.numel()] = weights.flatten()
    return flat


@pytest.mark.parametrize("planner", ["icem", "cem", "shooting"])
def test_planning_looks_ahead_in_the_model(planner):
    """Hand-made: the first action moves the first number of obs, and that number is what the next step is paid."""
    made = learner(planner=planner, candidates=256, rounds=4, plan_horizon=2, elites=16, decay=1.0)
    made.model.layers = [(5, 4)]
    weights = torch.zeros(5, 4)
    weights[3, 0], weights[0, 3], weights[4, 3] = 1.0, 2.0, -0.5  # change of obs, pay for obs, price of action 2
    made.model.outcome.include(torch.tensor([[-2.0, -1.0, -1.0, -3.0], [2.0, 1.0, 1.0, 3.0]]))  # units that are not 1
    flat = linear_model(made, weights / torch.tensor([2.0, 1.0, 1.0, 3.0]))[: 5 * 4 + 4].expand(2, 1, -1)
    plan = Plan.none((2, 1), made.config.sizes(), 2, 2, torch.device("cpu"))
    found, _ = made._planned(flat.unsqueeze(1), torch.zeros(2, 1, 3), plan, noise(2, 1))
    assert (found[:, 0, 0, 0] > 0.7).all()  # it pays one step later
    assert (found[:, 0, 0, 1] < -0.3).all()
    candidates = normal(2, 6, 2, 2).clamp(-1, 1)
    paid = imagined(made.model, flat.movedim(1, 0), torch.zeros(2, 3), candidates)
    expected = -0.5 * candidates[..., 1].sum(-1) + 2 * candidates[:, :, 0, 0]
    torch.testing.assert_close(paid, expected)


@pytest.mark.parametrize("planner", ["icem", "cem"])
def test_a_plan_is_gone_on_with_but_not_into_another_episode(monkeypatch, planner):
    made, began = learner(planner=planner), []
    planned = made._planned

    def watched(knowledge, obs, plan, draws):
        began.append(plan)
        return planned(knowledge, obs, plan, draws)

    monkeypatch.setattr(made, "_planned", watched)
    adaptation = made.begin(2, 2, noise())
    for seed in range(3):
        _, adaptation = made.act(adaptation, step(made, seed, done=seed == 2), torch.zeros(2, 2, 2))
    for part in ("mean", "elites"):
        first, second, third = (getattr(plan, part) for plan in began)
        assert (first == 0).all()
        assert (second[..., :-1, :] != 0).all()
        assert (third == 0).all()
    end = began[1].mean[:, :, -1]
    assert torch.equal(end, began[1].mean[:, :, -2] if planner == "icem" else torch.zeros_like(end))


# --- state ---


def test_what_the_model_is_normalised_with_is_part_of_the_policy():
    made = learner()
    made.update(trial(rollout(0), rollout(1)))
    policy = {name: tensor for name, tensor in copied(made.state_dict()).items() if not name.startswith("training/")}
    assert {"parameters", "step_sizes", "updates"} < set(policy)
    whole = torch.cat([rollout(seed).obs.flatten(0, 2) for seed in range(2)])
    torch.testing.assert_close(policy["seen/mean"], whole.mean(0).double())
    torch.testing.assert_close(policy["seen/variance"], whole.var(0, correction=0).double())
    change = torch.cat([(rollout(seed).next_obs - rollout(seed).obs).flatten(0, 2) for seed in range(2)])
    torch.testing.assert_close(policy["outcome/mean"][:-1], change.mean(0).double())
    other = learner()
    other.load_state_dict(policy)
    actions = [each.act(each.begin(2, 2, noise()), step(each), torch.zeros(2, 2, 2))[0] for each in (made, other)]
    assert torch.equal(*actions)
    assert not torch.equal(
        actions[0], learner().act(learner().begin(2, 2, noise()), step(made), torch.zeros(2, 2, 2))[0]
    )


def test_the_step_sizes_are_learned_only_where_that_is_asked_for():
    for wanted in (True, False):
        made = learner(learn_step_size=wanted)
        made.update(trial(rollout()))
        assert bool((made.model.step_sizes != 1).any()) == wanted


def test_a_longer_outer_gradient_is_cut():
    bound = 0.01
    made = learner(gradient_norm=bound)
    assert made.update(trial(rollout()))["gradient_norm"] > bound  # what is told is what it was before
    # Adam's second moment is a mean of squared gradients, zero at the start
    assert 0 < sum(float(held["exp_avg_sq"].sum()) for held in made.optimizer.state.values()) < bound**2


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match=r"unknown planner 'cam'.*did you mean 'cem'"):
        Config(planner="cam")
    with pytest.raises(UserError, match="elites must be in"):
        Config(candidates=4, elites=5)

"""AMAGO-2: what critics predict, which actions are cloned, what is cut out of trials, and how the noise falls."""

import pytest
import torch
from conftest import SMALL_OPTIONS, copied, fake_rollout, same_tensors
from torch import nn
from torch.nn import functional

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import UserError
from robometa.learners.amago import Amago, Config
from robometa.nn.discounted import TwoHot, log_density, symexp, symlog
from robometa.noise import Noise
from robometa.rl.exploration import Exploration
from robometa.rl.trial_crops import Sequences, TrialCrops, rows_of

SPACES, TASKS, WORLDS, HORIZON = Spaces(3, 2), 2, 2, 5
TIME = 2 * HORIZON


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def learner(**options):
    return Amago(Config(**(SMALL_OPTIONS["amago"] | options)), SPACES, seed=0)


def trial(seed=0, **changes):
    shots = [fake_rollout(TASKS, WORLDS, HORIZON, 3, 2, 10 * seed + shot) for shot in (0, 1)]
    for shot in shots:
        shot.action.clamp_(-0.9, 0.9)
        for name, value in changes.items():
            getattr(shot, name).fill_(value)
    return Trial(torch.arange(TASKS), tuple(shots), Noise(0, ("update", seed), TASKS, WORLDS))


def test_bins_stand_for_the_returns_between_them():
    two_hot = TwoHot(7, -50.0, 50.0)
    wanted = torch.tensor([-50.0, -7.3, 0.0, 0.4, 20.0, 50.0])
    place = (symlog(wanted) - two_hot.low) / two_hot.width
    target = torch.relu(1 - (place.unsqueeze(-1) - torch.arange(7.0)).abs())
    torch.testing.assert_close(target.sum(dim=-1), torch.ones(6))
    torch.testing.assert_close(two_hot.value((target + 1e-30).log()), wanted, rtol=1e-4, atol=1e-4)
    logits = torch.randn(6, 7, generator=generator())
    expected = functional.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(two_hot.loss(logits, wanted), expected)
    torch.testing.assert_close(two_hot.loss(logits, wanted * 100)[[0, -1]], expected[[0, -1]])  # clipped
    torch.testing.assert_close(symexp(symlog(wanted)), wanted)


def test_the_density_is_that_of_the_squashed_normal():
    mean, log_std = torch.tensor([0.3, -0.2]), torch.tensor([-0.5, 0.1])
    base = torch.distributions.Normal(mean, log_std.exp())
    squashed = torch.distributions.TransformedDistribution(base, torch.distributions.TanhTransform())
    action = torch.tensor([0.8, -0.4])
    torch.testing.assert_close(log_density(action, mean, log_std), squashed.log_prob(action).sum())


def test_rows_hold_what_the_memory_sees_and_the_outcome():
    made = trial()
    made.rollouts[1].diverged[0, 0, 2] = True
    columns = rows_of(made)
    assert columns.shape == (TASKS * WORLDS, TIME + 1, Sequences.width(SPACES))
    found, whole = Sequences.of_columns(columns, SPACES), made.joined()
    seen = whole.seen()
    assert torch.equal(found.seen.obs, seen.obs.flatten(0, 1))
    assert torch.equal(found.seen.last_reward, seen.last_reward.flatten(0, 1))
    assert torch.equal(found.action(), whole.action.flatten(0, 1))
    assert torch.equal(found.reward[:, :-1], whole.reward.flatten(0, 1))
    assert found.last.sum(dim=1).tolist() == [1.0] * len(columns)
    assert (found.last[:, -1] == 1).all()


def expected_targets(found, value, discount, trace):
    """Targets by their definition; NaN where the sequence does not hold what follows. `[n, time]`."""
    n, rows = found.reward.shape
    result = torch.full((n, rows), torch.nan)
    for row in range(n):
        for time in reversed(range(rows - 1)):
            for later in range(time + 1, rows):
                if found.counted[row, later]:
                    ahead, known = value[row, later], found.learned[row, later] and not result[row, later].isnan()
                    ahead = (1 - trace) * ahead + trace * result[row, later] if known else ahead
                    if not found.learned[row, later] and not found.last[row, later]:  # an unfit action
                        ahead = result[row, later]
                    result[row, time] = found.reward[row, time] + discount ** (later - time) * ahead
                    break
                if found.last[row, later]:
                    result[row, time] = found.reward[row, time]
                    break
    return result[:, :-1]


@pytest.mark.parametrize(("seed", "trace"), [(0, 0.0), (1, 0.0), (2, 0.7), (3, 1.0)])
def test_a_target_is_the_reward_and_what_follows_from_the_next_step_that_counts(seed, trace):
    replay = TrialCrops(20, Sequences.width(SPACES))
    whole = trial(seed)
    unfit = whole.rollouts[0]
    unfit.diverged[1:, :, 1] = unfit.terminated[1:, :, 1] = True
    unfit.action[1:, :, 1] = 0.0
    replay.add(rows_of(whole))
    columns = replay.crops(40, 6, generator(seed))
    assert (Sequences.of_columns(columns, SPACES).unfit() > 0).any()
    found = Sequences.of_columns(columns, SPACES)
    discounts = torch.tensor([0.5, 0.9])
    value = torch.randn(40, 7, 2, generator=generator())
    targets, sound = found.targets(value, discounts, trace), found.sound() > 0
    for place, discount in enumerate(discounts):
        expected = expected_targets(found, value[..., place], discount, trace)
        torch.testing.assert_close(targets[..., place][sound], expected[sound])
        assert torch.equal(sound, (found.learned[:, :-1] > 0) & ~expected.isnan())
    assert sound.any()


def test_the_steps_before_an_unfit_action_are_charged_for_it():
    whole = trial()
    for rollout in whole.rollouts:
        rollout.terminated[:] = rollout.truncated[:] = rollout.diverged[:] = False
        rollout.reward[:] = 1.0
    first = whole.rollouts[0]
    first.diverged[:, :, 2] = first.terminated[:, :, 2] = True
    first.action[:, :, 2], first.reward[:, :, 2] = 0.0, -100.0
    found = Sequences.of_columns(rows_of(whole), SPACES)
    value = torch.full((*found.reward.shape, 1), 10.0)
    targets = found.targets(value, torch.tensor([0.9]))
    assert (targets[:, 1] < -60.0).all()
    assert targets[:, 0, 0].tolist() == pytest.approx([1.0 + 0.9 * 10.0] * len(targets))
    assert not found.sound()[:, 2].any()


def test_crops_are_of_one_trial_and_every_step_is_in_some():
    replay = TrialCrops(3, 1)
    trials = torch.arange(5 * 11).reshape(5, 11, 1).float()
    for first in (0, 3):  # the last three stay
        replay.add(trials[first : first + 3])
    place = replay.crops(2000, 4, generator())[..., 0]
    assert place.shape == (2000, 5)
    assert (place // 11 >= 2).all()
    assert (place.diff(dim=1) == 1).all()
    starts = place[:, 0] % 11
    assert set(starts.tolist()) == set(map(float, range(7)))
    for end in (0, 6):  # 4 of 13 places lie at the trial's start or before it, as many where it ends
        assert float((starts == end).float().mean()) == pytest.approx(4 / 13, abs=0.04)
    whole = replay.crops(20, 99, generator())[..., 0]
    assert (whole % 11 == torch.arange(11)).all()


def test_a_sequence_gives_what_acting_gave():
    made = learner(gradient_steps=1)
    one = trial()
    made.update(one)
    rollout = one.joined()
    seen, adaptation = rollout.seen(), made.begin(TASKS, WORLDS, one.noise)
    features = made.network.features(made._inputs(seen).flatten(0, 1))
    for time in range(TIME):
        step = Step(*(part[:, :, time] for part in (seen.obs, seen.last_action, seen.last_reward, seen.last_done)))
        action, adaptation = made.act(adaptation, step, torch.zeros(TASKS, WORLDS, 2))
        mean, _ = made.network.actors.distribution(features[:, time])
        torch.testing.assert_close(action.flatten(0, 1), torch.tanh(mean[:, -1]))  # by the last discount
    assert (adaptation.time == TIME).all()


@pytest.mark.parametrize("options", [{}, {"encoder": "transformer", "memory_heads": 3, "context": 4}])
def test_actors_and_critics_read_the_step_beside_the_memory(options):
    network = learner(**options).network
    inputs, generated = torch.randn(4, 5, 7, generator=generator()), torch.zeros(4, 1, 2)
    for part in network.step.parameters():
        nn.init.zeros_(part)  # the memory sees nothing of the step
    seen, other = network.features(inputs)[:, -1], network.features(inputs + 1)[:, -1]
    state = torch.zeros(4, network.memory.state_size)
    assert not torch.allclose(network.critics.value(seen, generated), network.critics.value(other, generated))
    of_one, of_other = (network.policy(row[:, -1], state)[0] for row in (inputs, inputs + 1))
    assert not torch.allclose(of_one, of_other, rtol=0)


def loss_of(made, columns, weight, part="actors"):
    """Metrics of a loss by name, and the gradients of a part of the network."""
    shape = (*columns.shape[:2], 1 + made.config.value_samples, len(made.config.discounts), SPACES.action)
    draws, members = torch.randn(shape, generator=generator()), torch.tensor([0, 2])
    loss, logged = made.cloning._loss(columns, draws, weight, members, torch.tensor(1.0))
    gradients = torch.autograd.grad(loss, list(getattr(made.network, part).parameters()))
    return dict(zip(made.cloning.metrics, logged.tolist(), strict=True)), gradients


@pytest.mark.parametrize("better", [True, False])
def test_only_actions_above_the_policys_value_are_cloned(monkeypatch, better):
    made = learner(ascent_weight=0.0)
    columns = rows_of(trial())
    sound = Sequences.of_columns(columns, SPACES).sound()
    offset = -100.0 if better else 100.0
    monkeypatch.setattr(made.cloning, "_values", lambda _, acted: torch.full((1, 3, *acted.shape[1:3]), offset))
    logged, gradients = loss_of(made, columns, sound / sound.sum())
    assert logged["filter_share"] == pytest.approx(float(better))
    assert any(bool(gradient.abs().max() > 0) for gradient in gradients) == better


def climbing(**options):
    """A learner whose critics' values are far from 0, its columns and their weight."""
    made = learner(clone_weight=0.0, **options)
    with torch.no_grad():
        made.network.critics.biases[-1][..., -1] += 3.0
    columns = rows_of(trial())
    sound = Sequences.of_columns(columns, SPACES).sound()
    return made, columns, sound / sound.sum()


def test_the_climb_does_not_depend_on_the_scale_of_returns(monkeypatch):
    made, columns, weight = climbing()
    expected = loss_of(made, columns, weight)[1]
    assert all(bool(gradient.abs().max() > 0) for gradient in expected)
    two_hot, value, target = made.network.critics.two_hot, made.network.critics.two_hot.value, made.cloning._target
    monkeypatch.setattr(two_hot, "value", lambda logits: 100 * value(logits))
    monkeypatch.setattr(made.cloning, "_target", lambda *rest: 100 * target(*rest))
    for found, wanted in zip(loss_of(made, columns, weight)[1], expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_actors_climb_the_lowest_critic(monkeypatch):
    made, columns, weight = climbing(value_samples=2)

    def values(_, acted):
        return torch.stack([slope * acted.sum(dim=-1) for slope in (1.0, -2.0, 3.0)], dim=1)

    monkeypatch.setattr(made.cloning, "_values", values)
    before, gradients = loss_of(made, columns, weight)
    assert before["climbed"] < 0  # the lowest of the three at every action
    with torch.no_grad():
        for part, gradient in zip(made.network.actors.parameters(), gradients, strict=True):
            part.sub_(1e-2 * gradient)
    assert loss_of(made, columns, weight)[0]["climbed"] > before["climbed"]


def test_climbing_leaves_the_critics_as_they_are():
    without, climbs = (loss_of(*climbing(ascent_weight=ascent), "critics")[1] for ascent in (0.0, 5.0))
    for found, wanted in zip(climbs, without, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_step_without_weight_is_not_learned_from():
    made = learner(trace=0.0)
    columns = rows_of(trial())
    weight = torch.zeros(len(columns), TIME)
    weight[0, :4] = 0.25
    others = columns.clone()
    others[1:] += 1
    others[:, 6:] += 1  # what the fifth step's value does not depend on
    assert loss_of(made, columns, weight)[0] == pytest.approx(loss_of(made, others, weight)[0])


def test_the_targets_ask_some_critics_and_follow_slowly():
    made = learner(target_rate=0.25, gradient_steps=1)
    before = [weight.clone() for weight in made.cloning.targets.parameters()]
    made.update(trial())
    for old, target, new in zip(
        before, made.cloning.targets.parameters(), made.cloning.heads.parameters(), strict=True
    ):
        torch.testing.assert_close(target, 0.75 * old + 0.25 * new.detach())
    members = {tuple(made.cloning._drawn(1e-3, 1.0, generator(seed))[2].tolist()) for seed in range(30)}
    assert len(members) == 6  # pairs of three critics, in either order
    features, action = torch.randn(4, 13, generator=generator()), torch.zeros(4, 1, 2)
    every = made.network.critics.value(features, action)
    torch.testing.assert_close(made.network.critics.value(features, action, torch.tensor([2, 0])), every[[2, 0]])
    assert not torch.allclose(every[0], every[1])


@pytest.mark.parametrize("pessimism", ["minimum", "mean"])
def test_a_target_takes_the_minimum_or_the_mean(monkeypatch, pessimism):
    made = learner(pessimism=pessimism)
    sequences = Sequences.of_columns(rows_of(trial()), SPACES)
    values = torch.tensor([1.0, 3.0]).reshape(2, 1, 1).expand(2, 4 * (TIME + 1), 2)
    monkeypatch.setattr(made.cloning.target_critics, "value", lambda *_: values)
    features, draws = torch.zeros(4, TIME + 1, 13), torch.zeros(4, TIME + 1, 2, 2)
    found = made.cloning._target(sequences, features, draws, torch.tensor([0, 1]))
    wanted = torch.full((4, TIME + 1, 2), 1.0 if pessimism == "minimum" else 2.0)
    torch.testing.assert_close(found, sequences.targets(wanted, torch.tensor([0.5, 0.9]), made.config.trace))


def one_step(tasks=8, worlds=8, seed=0):
    """Trials of one step, at whose end the action is rewarded by its first number. `[task, world, time, ...]`."""
    made = fake_rollout(tasks, worlds, 1, 3, 2, seed)
    action = torch.tanh(made.action)
    ended = torch.ones_like(made.terminated)
    fields = vars(made) | {"action": action, "reward": 3 * action[..., 0], "terminated": ended, "truncated": ~ended}
    return Trial(torch.arange(tasks), (Rollout(**fields),), Noise(0, ("update", seed), tasks, worlds))


@pytest.mark.slow
@pytest.mark.parametrize("ascent", [0.0, 1.0])
def test_critics_find_the_value_of_an_action_and_actors_move_to_the_better_ones(ascent):
    options = {"memory_size": 8, "hidden": (16,), "bins": 16, "batch": 32, "capacity": 1000, "lead": 0}
    options |= {"lowest_return": -10.0, "highest_return": 10.0, "clone_weight": 1.0 - ascent, "ascent_weight": ascent}
    made = learner(**options, gradient_steps=150, learning_rate=1e-2, warm_up=10, critics=2)
    for seed in range(2):
        logged = made.update(one_step(seed=seed))
    action = torch.tensor([[-0.8, 0.0], [0.0, 0.5], [0.8, 0.0]]).unsqueeze(1)
    with torch.no_grad():
        features = made.network.features(made._inputs(one_step(3, 1).joined().seen())[:, 0])[:, 0]
        value = made.network.critics.value(features, action).mean(dim=0)
        mean, _ = made.network.actors.distribution(features)
    for discount in range(2):  # nothing follows, so they agree
        torch.testing.assert_close(value[:, discount], torch.tensor([-2.4, 0.0, 2.4]), rtol=0, atol=0.5)
    assert (mean[..., 0] > 0.3).all()
    assert ascent or 0.02 < logged["filter_share"] < 0.7


def test_noise_falls_along_a_trial_and_over_the_training():
    made = learner(anneal=2, gradient_steps=1, final_epsilon=0.05, final_epsilon_at_end=0.01)
    time, draw = torch.tensor([0.0, TIME / 2, TIME, 2 * TIME]), torch.full((4,), 50.0)
    assert made.exploration.scale(time, draw).tolist() == [1.0] * 4  # it knows no trial's length yet
    made.update(trial())
    wanted = torch.tensor([0.525, 0.465, 0.405, 0.405])  # halfway from 1 to 0.05, and from 0.8 to 0.01
    torch.testing.assert_close(made.exploration.scale(time, draw), wanted)
    torch.testing.assert_close(made.exploration.scale(time, -draw), torch.zeros(4))
    for seed in range(3):
        made.update(trial(seed))
    torch.testing.assert_close(made.exploration.scale(time, draw), torch.tensor([0.05, 0.03, 0.01, 0.01]))
    factors = made.exploration.scale(torch.zeros(10_000), torch.randn(10_000, generator=generator())) / 0.05
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(factors.quantile(quantiles), quantiles, rtol=0, atol=0.03)


def test_exploration_leaves_the_edge_and_mean_actions_do_not_explore():
    mean, log_std, noise = (
        torch.full((5000, 1), 4.0),
        torch.full((5000, 1), -3.0),
        torch.randn(5000, 1, generator=generator()),
    )
    without, half, full = (
        Exploration.action(mean, log_std, noise, torch.full((5000, 1), scale)) for scale in (0.0, 0.5, 1.0)
    )
    assert (without > 0.99).all()
    assert float((half < 0.9).float().mean()) > 0.1
    assert abs(float(full.mean())) < 0.05
    assert torch.equal(Exploration.action(mean, log_std, noise * 0, torch.ones(5000, 1)), torch.tanh(mean))


def test_a_factor_is_drawn_for_each_trial():
    made, noise = learner(), Noise(0, ("begin",), TASKS, WORLDS)
    begun = made.begin(TASKS, WORLDS, noise)
    assert len(begun.draw.unique()) == TASKS * WORLDS
    step = Step(torch.ones(2, 2, 3), torch.zeros(2, 2, 2), torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.bool))
    calm, wild = (begun._replace(draw=torch.full_like(begun.draw, draw)) for draw in (-50.0, 50.0))
    still = torch.zeros(2, 2, 2)
    assert torch.equal(made.act(calm, step, still)[0], made.act(wild, step, still)[0])
    moved = [(made.act(one, step, still + 1)[0] - made.act(one, step, still)[0]).abs().mean() for one in (calm, wild)]
    assert moved[1] > moved[0] + 0.1


@pytest.mark.parametrize("options", [{}, {"encoder": "transformer", "memory_heads": 3, "context": 4}])
def test_a_learner_goes_on_from_its_state_as_if_it_had_never_stopped(options):
    made = learner(**options)
    for seed in range(3):
        made.update(trial(seed))
    other = Amago(made.config, SPACES, seed=5)
    other.load_state_dict(copied(made.state_dict()))
    for seed in (3, 4):
        assert made.update(trial(seed)) == other.update(trial(seed))
    assert same_tensors(made.state_dict(), other.state_dict())
    assert all(name.startswith("training/") for name in made.state_dict() if "replay" in name or "targets" in name)


def test_the_critics_learn_before_the_actors():
    made = learner(lead=4, gradient_steps=3, weight_decay=0.0)
    before = copied(made.network.actors.state_dict())
    assert list(made.cloning._begun(6)) == [0.0] * 4 + [1.0] * 2
    made.update(trial())
    assert same_tensors(before, made.network.actors.state_dict())
    made.update(trial(1))
    assert not same_tensors(before, made.network.actors.state_dict())
    steps = [made.cloning.optimizer.state[part]["step"] for part in made.network.actors.parameters()]
    assert [int(step) for step in steps] == [2] * len(steps)  # Adam's count begins with their first gradient


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": 4}, "option subset must be at most critics, 3, not 4"),
        ({"context": 4}, "option context is of encoder transformer, not of gru: leave it out"),
        ({"encoder": "transformer"}, "option memory_heads must divide memory_size 6, not 8"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        learner(**options)


def test_the_lowest_return_must_be_below_the_highest():
    with pytest.raises(UserError, match="lowest_return 5 must be below highest_return 5"):
        TwoHot(7, 5.0, 5.0)
    two_hot = TwoHot(7, -40.0, 5.0)
    torch.testing.assert_close(symexp(two_hot.places[[0, -1]]), torch.tensor([-40.0, 5.0]))


def test_the_learning_rate_warms_up_by_gradient_step():
    made = learner(learning_rate=1e-2, warm_up=4, gradient_steps=3)
    assert list(made.cloning._rates(3)) == pytest.approx([0.0025, 0.005, 0.0075])
    made.update(trial())
    assert list(made.cloning._rates(2)) == pytest.approx([0.01, 0.01])

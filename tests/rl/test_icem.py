"""iCEM: coloured noise, sizes of rounds, and elites that are kept."""

import math

import pytest
import torch

from robometa.rl.icem import Plan, Sizes, colouring, icem

TARGET = torch.tensor([0.5, -0.4])
SIZES = Sizes(candidates=40, rounds=3, decay=1.25, elites=8, kept=3, std=0.5, momentum=0.1)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def value(candidates):
    """Highest where every action is the target."""
    return -(candidates - TARGET).square().sum(dim=(2, 3))


def begun(worlds=3, horizon=4, sizes=SIZES):
    return Plan.none((worlds,), sizes, horizon, 2, torch.device("cpu"))


def test_rounds_draw_fewer_sequences_each_but_never_less_than_twice_the_elites():
    assert SIZES.drawn() == [40, 32, 25]
    assert SIZES.scored() == [43, 35, 29]  # the kept ones, and the mean in the last round
    assert Sizes(10, 2, 2.0, 8, 0, 0.5, 0.0).drawn() == [10, 10]


def test_white_noise_stays_as_it_is():
    torch.testing.assert_close(colouring(7, 0.0), torch.eye(7))


@pytest.mark.parametrize("horizon", [1, 2, 20, 21])
@pytest.mark.parametrize("exponent", [0.25, 2.0])
def test_coloured_noise_has_variance_one_at_every_step_and_changes_slowly(horizon, exponent):
    covariance = colouring(horizon, exponent).double()
    covariance = covariance @ covariance.T
    torch.testing.assert_close(covariance.diagonal(), torch.ones(horizon, dtype=torch.float64))
    if horizon > 2:
        assert covariance[0, 1] > {0.25: 0.05, 2.0: 0.7}[exponent]


def test_it_finds_the_best_and_nearer_with_rounds():
    one, three = (
        icem(value, begun(), normal(3, sum(sizes.drawn()), 4, 2), sizes)[1].mean
        for sizes in (Sizes(40, 1, 1.25, 8, 3, 0.5, 0.1), SIZES)
    )
    assert (three - TARGET).norm() < 0.7 * (one - TARGET).norm()


def test_a_sequence_that_was_best_at_the_step_before_is_scored_again():
    plan = begun()
    plan.elites[:, 1] = TARGET
    best, after = icem(value, plan, normal(3, sum(SIZES.drawn()), 4, 2), SIZES)
    assert torch.equal(best, TARGET.expand_as(best))
    assert torch.equal(after.elites[:, 0], best)


def test_the_first_round_draws_around_the_plan_and_the_last_scores_its_mean():
    seen = []
    plan = begun()._replace(mean=torch.full((3, 4, 2), 0.25))
    draws = normal(3, sum(SIZES.drawn()), 4, 2)
    icem(lambda candidates: seen.append(candidates) or value(candidates), plan, draws, SIZES)
    torch.testing.assert_close(seen[0][:, :40], (0.25 + 0.5 * draws[:, :40]).clamp(-1, 1))
    assert [candidates.shape[1] for candidates in seen] == SIZES.scored()
    assert (seen[2][:, -1] - TARGET).norm() < (seen[0].mean(1) - TARGET).norm()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sequence_whose_value_is_not_a_number_is_not_chosen(bad):
    def broken(candidates):
        return torch.where(candidates[:, :, 0, 0] > 0, bad, -candidates[:, :, 0, 0].abs())

    best, _ = icem(broken, begun(), normal(3, sum(SIZES.drawn()), 4, 2), SIZES)
    assert (best[:, 0, 0] <= 0).all()


def test_a_plan_moves_on_by_a_step_and_is_forgotten_where_an_episode_ends():
    plan = Plan(normal(2, 4, 2), normal(2, 3, 4, 2))
    moved = plan.shifted()
    for before, after in zip(plan, moved, strict=True):
        assert torch.equal(after[..., :-1, :], before[..., 1:, :])
        assert torch.equal(after[..., -1, :], before[..., -1, :])
    forgotten = plan.reset(torch.tensor([True, False]))
    for before, after in zip(plan, forgotten, strict=True):
        assert (after[0] == 0).all()
        assert torch.equal(after[1], before[1])

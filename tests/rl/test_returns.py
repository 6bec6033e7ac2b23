"""Returns, baselines and advantages against numbers worked out by hand."""

import numpy as np
import pytest
import torch

from robometa.rl.returns import advantages, discounted_returns, linear_baseline, normalized


def one_world(*values, dtype=torch.float64):
    """`[1, 1, time]`."""
    return torch.tensor([[values]], dtype=dtype)


def flags(*values):
    return one_world(*values, dtype=torch.bool)


def estimates(reward, value, next_value, terminated, truncated, discount=0.5, gae_lambda=0.5):
    """Advantages of one world whose steps are 4, so that undoing the normalisation is easy."""
    return advantages(
        one_world(*reward),
        one_world(*value),
        one_world(*next_value),
        flags(*terminated),
        flags(*truncated),
        discount,
        gae_lambda,
    )


def standardised(*values):
    values = np.array(values)
    return torch.from_numpy((values - values.mean()) / values.std()).reshape(1, 1, -1)


NEVER = (0, 0, 0, 0)


def test_discounted_returns_stop_at_the_end_of_an_episode():
    # from the back: 4; 3 (the episode ends); 2 + 3/2 = 3.5; 1 + 3.5/2 = 2.75
    found = discounted_returns(one_world(1, 2, 3, 4), flags(0, 0, 1, 0), 0.5)
    torch.testing.assert_close(found, one_world(2.75, 3.5, 3, 4))


def test_discounted_returns_of_worlds_do_not_mix():
    reward = torch.tensor([[[1.0, 1.0], [10.0, 10.0]]])
    found = discounted_returns(reward, torch.zeros_like(reward, dtype=torch.bool), 1.0)
    torch.testing.assert_close(found, torch.tensor([[[2.0, 1.0], [20.0, 10.0]]]))


def test_advantages_accumulate_over_time():
    # delta = r + V'/2 - V = (1 + 1 - 1, 0 + 2 - 2, 2 + 0 - 4, 1 + 1 - 0) = (1, 0, -2, 2)
    # from the back, discount * lambda = 1/4: 2; -2 + 2/4 = -1.5; 0 - 1.5/4 = -0.375; 1 - 0.375/4 = 0.90625
    found = estimates((1, 0, 2, 1), (1, 2, 4, 0), (2, 4, 0, 2), NEVER, (0, 0, 0, 1))
    torch.testing.assert_close(found, standardised(0.90625, -0.375, -1.5, 2), rtol=0, atol=1e-7)


def test_nothing_after_a_termination_counts():
    # delta of the second step loses its bootstrap: (1, 0 - 2, -2, 2) = (1, -2, -2, 2)
    # from the back: 2; -2 + 2/4 = -1.5; -2 (nothing carried); 1 - 2/4 = 0.5
    found = estimates((1, 0, 2, 1), (1, 2, 4, 0), (2, 4, 0, 2), (0, 1, 0, 0), (0, 0, 0, 1))
    torch.testing.assert_close(found, standardised(0.5, -2, -1.5, 2), rtol=0, atol=1e-7)


def test_a_truncation_bootstraps_but_carries_nothing_on():
    # delta keeps its bootstrap: (1, 0 + 4/2 - 2, -2, 2) = (1, 0, -2, 2)
    # from the back: 2; -1.5; 0 (nothing carried); 1 + 0/4 = 1
    found = estimates((1, 0, 2, 1), (1, 2, 4, 0), (2, 4, 0, 2), NEVER, (0, 1, 0, 1))
    torch.testing.assert_close(found, standardised(1, 0, -1.5, 2), rtol=0, atol=1e-7)


def test_advantages_are_normalised_within_each_task():
    generator = torch.Generator().manual_seed(0)
    reward = torch.randn(3, 4, 5, generator=generator) * torch.tensor([1.0, 100.0, 0.01]).reshape(3, 1, 1) + 7
    none = torch.zeros(3, 4, 5, dtype=torch.bool)
    zero = torch.zeros_like(reward)
    together = advantages(reward, zero, zero, none, none, 0.9, 0.9)
    torch.testing.assert_close(together.mean(dim=(1, 2)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(together.flatten(1).std(dim=1, correction=0), torch.ones(3), rtol=0, atol=1e-4)
    alone = advantages(reward[1:2], zero[1:2], zero[1:2], none[1:2], none[1:2], 0.9, 0.9)
    torch.testing.assert_close(together[1:2], alone)


def test_equal_advantages_are_normalised_to_nothing():
    assert normalized(torch.full((2, 3, 4), 5.0)).abs().max() < 1e-3


@pytest.mark.parametrize(("discount", "gae_lambda"), [(0.0, 1.0), (1.1, 1.0), (0.9, -0.1), (0.9, 1.1)])
def test_numbers_that_make_no_sense_are_refused(discount, gae_lambda):
    with pytest.raises(ValueError, match="discount must be in"):
        estimates((0,) * 4, (0,) * 4, (0,) * 4, NEVER, NEVER, discount, gae_lambda)


def test_the_linear_baseline_is_the_least_squares_fit():
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(2, 4, 150, 3, generator=generator, dtype=torch.float64)
    target = obs.sum(dim=-1) + torch.randn(2, 4, 150, generator=generator, dtype=torch.float64)
    exact, ridged = linear_baseline(obs, target, ridge=0.0), linear_baseline(obs, target)
    time = np.tile(np.arange(150) / 100, 4)
    for task in range(2):
        seen = obs[task].reshape(600, 3).numpy()
        feature = np.column_stack([seen, seen**2, time, time**2, time**3, np.ones(600)])
        wanted = feature @ np.linalg.lstsq(feature, target[task].reshape(600).numpy(), rcond=None)[0]
        np.testing.assert_allclose(exact[task].flatten().numpy(), wanted, atol=1e-6)
        np.testing.assert_allclose(ridged[task].flatten().numpy(), wanted, atol=0.01)


def test_the_linear_baseline_bears_equal_columns_and_few_episodes():
    generator = torch.Generator().manual_seed(0)
    column = torch.randn(1, 1, 6, 1, generator=generator)
    obs = column.expand(1, 1, 6, 20).contiguous()  # one episode of 6 steps, 20 equal columns, 44 features
    target = 2 * column[..., 0] + 1
    found = linear_baseline(obs, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, target, rtol=0, atol=1e-2)


def test_the_linear_baseline_fits_each_task_by_itself():
    obs = torch.randn(2, 4, 10, 2, generator=torch.Generator().manual_seed(0))
    target = torch.stack((obs[0].sum(dim=-1), -3 * obs[1].sum(dim=-1)))
    torch.testing.assert_close(linear_baseline(obs, target), target, rtol=0, atol=1e-2)


def test_the_linear_baseline_clips_what_it_sees():
    obs = torch.randn(1, 4, 10, 2, generator=torch.Generator().manual_seed(0))
    target = obs.sum(dim=-1)
    far = obs.clone()
    far[0, 0, 0, 0], obs[0, 0, 0, 0] = 1e6, 10
    torch.testing.assert_close(linear_baseline(far, target), linear_baseline(obs, target))

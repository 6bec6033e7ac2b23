"""Keyed noise: the numbers of a world depend on what they are for, and on nothing that stands beside it."""

import numpy as np
import pytest
import torch

from robometa.noise import Noise


def source(tasks=3, worlds=4, seed=0):
    return Noise(seed, ("test",), tasks, worlds)


@pytest.mark.parametrize("draw", [lambda noise: noise.normal(5, 2), lambda noise: noise.uniform(5, 2)])
def test_drawing_changes_nothing(draw):
    noise = source()
    assert torch.equal(draw(noise), draw(noise))
    assert draw(noise).shape == (3, 4, 5, 2)


@pytest.mark.parametrize("draw", [lambda noise: noise.normal(5), lambda noise: noise.uniform(5)])
def test_what_stands_beside_changes_nothing(draw):
    assert torch.equal(draw(source(2, 3)), draw(source(7, 9))[:2, :3])


@pytest.mark.parametrize(
    "other",
    [source(seed=1), source().fork("more"), source().fork(1), Noise(0, ("tes", "t"), 3, 4)],
)
def test_another_seed_or_purpose_gives_other_numbers(other):
    assert not torch.isin(source().uniform(5), other.uniform(5)).any()


def test_tasks_worlds_and_places_have_numbers_of_their_own():
    drawn = source(20, 20).uniform(5)
    assert len(torch.unique(drawn)) == drawn.numel()
    firsts = [source().generator(*place).random() for place in [(), (0,), (1,), (0, 0), (0, 1), (0, 0, 0), (0, 0, 1)]]
    assert len(set(firsts)) == len(firsts)


def test_the_distributions_are_what_they_say():
    normal, uniform = source(10, 100).normal(100), source(10, 100).uniform(100)
    assert normal.dtype == torch.float32
    assert normal.mean().abs() < 0.02  # 100 000 draws: a standard error of 0.003
    assert (normal.std() - 1).abs() < 0.02
    assert 0 <= uniform.min() < uniform.max() < 1
    assert (uniform.mean() - 0.5).abs() < 0.01


def test_the_numbers_stay_what_they_were():
    """A change here changes every result: bump the version and say so in the changelog."""
    np.testing.assert_array_equal(source(1, 1).uniform(2).numpy().ravel(), [0.6405416524034453, 0.30634037583049145])
    np.testing.assert_array_equal(source(1, 1).normal(2).numpy().ravel(), np.float32([2.3433776, -1.1673707]))
    assert int(torch.randint(1000, (), generator=source().torch_generator())) == 56

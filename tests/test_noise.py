"""Keyed noise: the numbers of a world depend on what they are for, and on nothing that stands beside it."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from robometa import noise
from robometa.noise import Noise


def source(tasks=3, worlds=4, seed=0):
    return Noise(seed, ("test",), tasks, worlds)


@pytest.mark.parametrize("draw", [lambda made: made.normal(5, 2), lambda made: made.uniform(5, 2)])
def test_drawing_changes_nothing(draw):
    noise = source()
    assert torch.equal(draw(noise), draw(noise))
    assert draw(noise).shape == (3, 4, 5, 2)


@pytest.mark.parametrize("draw", [lambda made: made.normal(5), lambda made: made.uniform(5)])
def test_what_stands_beside_changes_nothing(draw):
    assert torch.equal(draw(source(2, 3)), draw(source(7, 9))[:2, :3])


@pytest.mark.parametrize(
    "other",
    [source(seed=1), source().fork("more"), source().fork(1), Noise(0, ("tes", "t"), 3, 4)],
)
def test_another_seed_or_purpose_gives_other_numbers(other):
    assert not torch.isin(source().uniform(5), other.uniform(5)).any()


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_threads_draw_the_same_numbers(monkeypatch, draw):
    alone = getattr(source(7, 3), draw)(11, 2)
    workers = set()
    monkeypatch.setattr(noise, "MIN_THREADED", 1)
    generator = Noise.generator
    monkeypatch.setattr(
        Noise, "generator", lambda self, *place: workers.add(threading.get_ident()) or generator(self, *place)
    )
    assert torch.equal(getattr(source(7, 3), draw)(11, 2), alone)
    assert threading.get_ident() not in workers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_child_that_was_forked_has_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(noise, "MIN_THREADED", 1)
    source(7, 3).uniform(5)
    child = os.fork()
    if child == 0:
        source(7, 3).uniform(5)
        os._exit(0)
    deadline = time.monotonic() + 60
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
        time.sleep(0.01)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)


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

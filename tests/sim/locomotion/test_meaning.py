"""Meaning of observations: what may be left out, and rewards that need no model."""

import pytest
import torch

from robometa import suites
from robometa.learners.oracle import Oracle
from robometa.learners.protocol import completed
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.trials.make import engine_for


@pytest.mark.parametrize("name", ["half-cheetah-params", "half-cheetah-crippled", "half-cheetah-terrain"])
def test_a_known_reward_is_the_engines(name):
    suite = suites.load(name)
    engine = CpuEngine(suite, 2, 3, threads=1)
    obs = engine.reset(Noise(0, ("test",), 2, 3))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        action = 1.5 * torch.randn(2, 3, 6, generator=generator)
        outcome = engine.step(action)
        known = engine.spaces.meaning.reward
        found = known(*(part.flatten(0, 1) for part in (obs, action, outcome.next_obs)))
        torch.testing.assert_close(found, outcome.reward.flatten(), rtol=1e-3, atol=1e-4)
        obs = outcome.obs
    engine.close()


@pytest.mark.parametrize(
    ("name", "free", "pitch", "known"),
    [
        ("half-cheetah-params", (17,), 1, True),
        ("half-cheetah-velocity", (17,), 1, False),  # a hidden speed
        ("point-robot", (), None, False),  # its place is all that matters
        ("walker2d-params", (), 1, False),  # its place is not observed
        ("ant-direction", (), None, False),
    ],
)
def test_what_a_suite_gives_away(name, free, pitch, known):
    engine = CpuEngine(suites.load(name), 1, 1, threads=1)
    meaning = engine.spaces.meaning
    engine.close()
    assert (meaning.free, meaning.pitch, meaning.reward is not None) == (free, pitch, known)


def test_an_oracles_observations_keep_their_meaning():
    engine = engine_for(completed(Oracle), suites.load("half-cheetah-params"), 1, 1)
    assert engine.spaces.meaning.free == (17,)
    assert engine.spaces.revealed
    engine.close()

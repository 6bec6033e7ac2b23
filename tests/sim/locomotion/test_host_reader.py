"""The reader of the CPU engine beside the one on tensors: the same bits."""

import numpy as np
import pytest
import torch

from robometa.sim.locomotion import models
from robometa.sim.locomotion.host_reader import HostReader, within
from robometa.suites.robots import ROBOTS

WORLDS = 200


def numbers(source, *shape):
    """Numbers of all magnitudes, zeros of both signs among them; the engine shows no NaN."""
    values = source.normal(size=shape) * 10 ** source.uniform(-3, 3, shape)
    values[:3, ::3] = np.array([[0.0], [-0.0], [1e9]])
    return values


@pytest.mark.parametrize("robot", ROBOTS)
def test_numpys_arrays_give_the_same_bits_as_tensors(robot):
    model, layout = models.compiled(ROBOTS[robot])
    reader, source = HostReader(ROBOTS[robot], model, layout), np.random.default_rng(0)
    state, sensed = numbers(source, WORLDS, len(reader.rest)), numbers(source, WORLDS, model.nsensordata)
    seen = reader.observed(state, sensed)
    expected = reader.observe(torch.from_numpy(state), torch.from_numpy(sensed)).numpy()
    assert seen.dtype == np.float32
    assert seen.tobytes() == expected.tobytes()
    action, control = numbers(source, WORLDS, model.nu).astype(np.float32), np.empty((WORLDS, model.nu))
    reader.write_control(action, control)
    assert control.tobytes() == reader.control(torch.from_numpy(action)).numpy().tobytes()


@pytest.mark.parametrize("robot", ROBOTS)
def test_episodes_end_where_they_end_on_tensors(robot):
    model, layout = models.compiled(ROBOTS[robot])
    reader = HostReader(ROBOTS[robot], model, layout)
    after = reader.rest.numpy() + numbers(np.random.default_rng(1), WORLDS, len(reader.rest)) / 100
    sensed = np.zeros((WORLDS, model.nsensordata))
    ends, expected = reader.ends(after, sensed), reader.ended(torch.from_numpy(after), torch.from_numpy(sensed))
    assert (ends is None) == (expected is None)
    if ends is not None:
        assert ends.tolist() == expected.tolist()
        assert 0 < ends.sum() < WORLDS


def test_a_limit_holds_for_all_magnitudes_and_not_for_nan():
    assert within(np.array([[-0.9, 0.9]]), 1.0)
    for value in (1.0, -1.0, np.nan):
        assert not within(np.array([[0.0, value]]), 1.0)

"""Running statistics against numpy's of everything at once."""

import numpy as np
import pytest
import torch
from conftest import copied

from robometa.nn.normalizer import Normalizer

PARTS = ((7, 5), (1, 1), (40, 3))


def parts(scale=3.0, shift=100.0):
    """Batches of vectors of 2 numbers, of several shapes. `[..., 2]`."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([scale, 0.01])
    return [shift + spread * torch.randn(*shape, 2, generator=generator) for shape in PARTS]


def included(batches):
    normalizer = Normalizer(2)
    for batch in batches:
        normalizer.include(batch)
    return normalizer


def test_statistics_of_parts_are_those_of_everything():
    batches = parts()
    normalizer = included(batches)
    everything = np.concatenate([batch.reshape(-1, 2).numpy() for batch in batches]).astype(np.float64)
    assert int(normalizer.count) == len(everything) == 156
    np.testing.assert_allclose(normalizer.mean.numpy(), everything.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.variance.numpy(), everything.var(axis=0), rtol=1e-9)
    together = included([torch.cat([batch.reshape(-1, 2) for batch in batches])])
    torch.testing.assert_close(normalizer.variance, together.variance)


def test_it_brings_numbers_to_mean_0_and_deviation_1():
    batches = parts()
    normalizer = included(batches)
    found = torch.cat([normalizer(batch).reshape(-1, 2) for batch in batches])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.std(dim=0, correction=0), torch.ones(2), atol=1e-3, rtol=0)


def test_at_first_it_changes_nothing():
    values = torch.tensor([[1.5, -2.0]])
    assert torch.equal(Normalizer(2)(values), values)
    assert torch.equal(Normalizer(2).undo(values), values)


def test_what_is_far_off_is_cut():
    normalizer = Normalizer(1, limit=2.0)
    normalizer.include(torch.tensor([[-1.0], [1.0]]))
    assert torch.equal(normalizer(torch.tensor([[-50.0], [0.5], [50.0]])), torch.tensor([[-2.0], [0.5], [2.0]]))


def test_undo_gives_the_numbers_back():
    normalizer = included(parts(shift=5.0))
    values = torch.tensor([[4.0, 5.01], [6.0, 4.99]])
    torch.testing.assert_close(normalizer.undo(normalizer(values)), values)
    torch.testing.assert_close(normalizer.undo(torch.zeros(2)), normalizer.mean.float())


def test_a_number_that_never_changes_stays_finite():
    normalizer = included([torch.full((10, 2), 3.0)])
    assert torch.equal(normalizer(torch.full((1, 2), 3.0)), torch.zeros(1, 2))
    assert normalizer(torch.full((1, 2), 4.0)).isfinite().all()


def test_a_state_goes_on_where_it_was():
    first, *rest = parts()
    normalizer, other = included([first]), Normalizer(2)
    other.load_state_dict(copied(normalizer.state_dict()))
    assert torch.equal(other(first), normalizer(first))
    for batch in rest:
        normalizer.include(batch)
        other.include(batch)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in normalizer.state_dict().items())
    with pytest.raises(ValueError, match="3 numbers expected, not 2"):
        Normalizer(3).load_state_dict(normalizer.state_dict())

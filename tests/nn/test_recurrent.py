"""Memories: a step at a time, in segments and all at once, against their equations written out."""

import pytest
import torch

from robometa.nn.recurrent import KINDS, Memory, segments_of

INPUTS, SIZE, N, TIME = 3, 4, 5, 12


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def memory(kind):
    return Memory(kind, INPUTS, SIZE, generator())


def sequences(seed=1):
    return torch.randn(N, TIME, INPUTS, generator=generator(seed))


def stepped(made, inputs, state=None):
    """Outputs `[n, time, size]` and the last state, one step after the other."""
    state = torch.zeros(len(inputs), made.state_size) if state is None else state
    outputs = []
    for time in range(inputs.shape[1]):
        state = made.step(inputs[:, time], state)
        outputs.append(state[:, :SIZE])
    return torch.stack(outputs, dim=1), state


@pytest.mark.parametrize("kind", KINDS)
def test_steps_give_what_the_sequence_gives(kind):
    made, inputs = memory(kind), sequences()
    outputs, end = stepped(made, inputs)
    torch.testing.assert_close(made(inputs), outputs)
    found, last = made.read(inputs, torch.zeros(N, made.state_size))
    torch.testing.assert_close(found, outputs)
    torch.testing.assert_close(last, end)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_goes_on_from_a_memory(kind):
    made, inputs = memory(kind), sequences()
    whole, end = made.read(inputs, torch.zeros(N, made.state_size))
    first, middle = made.read(inputs[:, :5], torch.zeros(N, made.state_size))
    second, last = made.read(inputs[:, 5:], middle)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
    torch.testing.assert_close(last, end)
    assert not torch.allclose(made(inputs[:, 5:]), second)


@pytest.mark.parametrize("kind", KINDS)
def test_the_past_is_remembered_and_the_future_unknown(kind):
    made, inputs = memory(kind), sequences()
    other = inputs.clone()
    other[:, 4] += 1.0
    before, after = made(inputs), made(other)
    assert torch.equal(before[:, :4], after[:, :4])
    assert ((before[:, 4:] - after[:, 4:]).abs().amax(dim=-1) > 0).all()


def test_the_gated_recurrent_unit_is_the_one_of_its_paper():
    """Cho et al. 2014, with the reset gate on the hidden product as cuDNN has it."""
    made, inputs = memory("gru"), sequences()[:, 0]
    state = torch.randn(N, SIZE, generator=generator(2))
    into, back, into_bias, back_bias = made.cell.parameters()
    x, h = (inputs @ into.T + into_bias).chunk(3, dim=-1), (state @ back.T + back_bias).chunk(3, dim=-1)
    reset, update = torch.sigmoid(x[0] + h[0]), torch.sigmoid(x[1] + h[1])
    torch.testing.assert_close(
        made.step(inputs, state), (1 - update) * torch.tanh(x[2] + reset * h[2]) + update * state
    )


def test_the_long_short_term_memory_holds_output_and_cell():
    made, inputs = memory("lstm"), sequences()[:, 0]
    assert made.state_size == 2 * SIZE
    output, cell = torch.randn(2, N, SIZE, generator=generator(2))
    into, back, into_bias, back_bias = made.cell.parameters()
    gates = (inputs @ into.T + into_bias + output @ back.T + back_bias).chunk(4, dim=-1)
    cell_after = torch.sigmoid(gates[1]) * cell + torch.sigmoid(gates[0]) * torch.tanh(gates[2])
    expected = torch.cat((torch.sigmoid(gates[3]) * torch.tanh(cell_after), cell_after), dim=-1)
    torch.testing.assert_close(made.step(inputs, torch.cat((output, cell), dim=-1)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_come_from_the_generator_that_is_passed_in(kind):
    first, again, other = memory(kind), memory(kind), Memory(kind, INPUTS, SIZE, generator(1))
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(one, same) and not torch.equal(one, different) for one, same, different in pairs)
    assert all(one.abs().max() <= 1 / SIZE**0.5 for one, _, _ in pairs)


@pytest.mark.parametrize(
    ("time", "least", "count"), [(400, 100, 4), (400, 101, 2), (40, 100, 1), (401, 100, 1), (10, 3, 2), (9, 3, 3)]
)
def test_segments_are_equal_and_at_least_so_long(time, least, count):
    # 400 / 3 is not whole, so segments of at least 101 are 2 of 200; 401 is prime; 10 / 3 is not whole
    assert segments_of(time, least) == count

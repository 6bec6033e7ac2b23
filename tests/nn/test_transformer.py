"""The transformer as a memory: a step at a time, in pieces and all at once; what it sees, and what it does not."""

import math

import pytest
import torch

from robometa.errors import UserError
from robometa.nn.transformer import Transformer

INPUTS, SIZE, LAYERS, HEADS, N, TIME = 3, 6, 2, 4, 5, 12


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def memory(context=4, layers=LAYERS, seed=0):
    """A transformer whose blocks change much, as after a training."""
    made = Transformer(INPUTS, SIZE, layers, HEADS, context, generator(seed))
    with torch.no_grad():
        for block in made.blocks:
            for layer in (block.out[-1], block.feedforward[-1]):
                layer.weight.mul_(30)
    return made


def sequences(seed=1):
    return torch.randn(N, TIME, INPUTS, generator=generator(seed))


def stepped(made, inputs):
    """Outputs and the last state, one step after the other."""
    state, outputs = torch.zeros(len(inputs), made.state_size), []
    for time in range(inputs.shape[1]):
        state = made.step(inputs[:, time], state)
        outputs.append(state[:, :SIZE])
    return torch.stack(outputs, dim=1), state


@pytest.mark.parametrize("context", [1, 4, TIME, 50])
def test_steps_with_a_cache_give_what_the_sequence_gives(context):
    made, inputs = memory(context), sequences()
    outputs, end = stepped(made, inputs)
    found, last = made.read(inputs, torch.zeros(N, made.state_size))
    torch.testing.assert_close(found, outputs, rtol=0, atol=1e-5)
    torch.testing.assert_close(last, end, rtol=0, atol=1e-5)
    assert (last[:, SIZE] == min(context, TIME)).all()  # steps in the cache


@pytest.mark.parametrize("context", [1, 4, 50])
def test_a_sequence_goes_on_from_a_memory(context):
    made, inputs = memory(context), sequences()
    first, middle = made.read(inputs[:, :5], torch.zeros(N, made.state_size))
    second, _ = made.read(inputs[:, 5:], middle)
    torch.testing.assert_close(torch.cat((first, second), dim=1), made(inputs), rtol=0, atol=1e-5)
    assert not torch.allclose(made(inputs[:, 5:]), second)


def test_a_step_sees_itself_and_the_context_before_it_in_every_layer():
    made, inputs = memory(context=3), sequences()
    other = inputs.clone()
    other[:, 2] += 1.0
    apart = (made(inputs) - made(other)).abs().amax(dim=(0, 2))
    within = range(2, 2 + LAYERS * 3 + 1)  # a layer carries it 3 steps on
    assert [time for time in range(TIME) if apart[time] > 0] == list(within)


def test_attention_is_that_of_the_equations():
    """Softmax of q k / sqrt(width) less a slope for each step of distance, with keys and values that heads share."""
    made, inputs = memory(context=TIME, layers=1), sequences()
    (block,), x = made.blocks, made.embed(inputs)
    seen = block.norm(x)
    key, value = block.key_value(seen).chunk(2, dim=-1)
    width = key.shape[-1]
    mixed = []
    for head, query in enumerate(block.query(seen).split(width, dim=-1)):
        slope = 2.0 ** (-8 * (head + 1) / HEADS)
        rows = []
        for time in range(TIME):
            score = (key[:, : time + 1] @ query[:, time, :, None])[..., 0] / math.sqrt(width)
            weight = torch.softmax(score - slope * torch.arange(time, -1, -1), dim=-1)
            rows.append((weight.unsqueeze(1) @ value[:, : time + 1])[:, 0])
        mixed.append(torch.stack(rows, dim=1))
    x = x + block.out(torch.cat(mixed, dim=-1))
    expected = made.norm(x + block.feedforward(block.feedforward_norm(x)))
    torch.testing.assert_close(made(inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_new_one_changes_its_input_little():
    made, inputs = Transformer(INPUTS, 64, LAYERS, HEADS, 4, generator()), sequences()
    embedded = made.norm(made.embed(inputs))
    assert (made(inputs) - embedded).square().mean() < 0.1 * embedded.square().mean()


def test_weights_come_from_the_generator_that_is_passed_in():
    first, again, other = memory(), memory(), memory(seed=1)
    assert torch.equal(first(sequences()), again(sequences()))
    assert not torch.equal(first(sequences()), other(sequences()))


def test_a_memory_that_no_machine_holds_is_refused():
    with pytest.raises(UserError, match=r"context 100000 makes a memory of 6.4e\+07 numbers; the most is 10,000,000"):
        Transformer(INPUTS, 128, 10, 4, 100_000, generator())

"""The encoder of what a task hides, which RMA and the oracle share."""

import pytest
import torch

from robometa import suites
from robometa.nn.bottleneck import Bottleneck
from robometa.registry.options import read_config
from robometa.trials import make


def test_it_is_the_tanh_of_its_last_layer():
    made = Bottleneck(3, (4,), 2, torch.Generator().manual_seed(0))
    numbers = torch.linspace(-30, 30, 15).reshape(5, 3)
    first, _, last = made
    torch.testing.assert_close(made(numbers), torch.tanh(last(torch.tanh(first(numbers)))))


@pytest.mark.parametrize("name", ["oracle", "rma"])
def test_learners_share_it_and_keep_the_names_of_its_state(name):
    config = read_config(name, {"bottleneck": 2, "encoder_hidden": (4,), "hidden": (4,)})
    learner = make.build(name, config, suites.load("hopper-params"), seed=0)
    assert isinstance(learner.network.encoder, Bottleneck)
    layers = {f"network/encoder.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")}
    assert {one for one in learner.state_dict() if "encoder" in one} == layers

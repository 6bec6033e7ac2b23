"""Terms of rewards that are meant in the robot's own frame."""

import pytest
import torch

from robometa.suites.reward_terms import TERMS

QUANTITIES = {
    "forward_velocity": torch.tensor([-1.0]),  # along the world's x: the robot walks the other way
    "heading_velocity": torch.tensor([[0.5, 0.3]]),
    "base_rates": torch.tensor([[2.0, 3.0, 0.4]]),
}
ASKED = {"velocity": torch.tensor([[1.0]])}
SIDEWAYS = {"lateral_velocity": torch.tensor([[0.1]])}
TURN = {"yaw_rate": torch.tensor([[1.0]])}


@pytest.mark.parametrize(
    ("term", "commands", "value"),
    [
        ("tracking_error", {}, 0.5),
        ("tracking_error", SIDEWAYS, (0.5**2 + 0.2**2) ** 0.5),
        ("speed_error", {}, 2.0),
        ("sideways", {}, 0.09),
        ("sideways", SIDEWAYS, 0.04),
        ("turning", {}, 0.16),
        ("turning", TURN, 0.36),
    ],
)
def test_a_term_is_of_the_heading_and_of_what_is_asked(term, commands, value):
    known = TERMS[term]
    result = known.value(QUANTITIES, ASKED | commands, known.options)
    assert result.tolist() == pytest.approx([value])
    assert known.low <= result.item() <= known.high

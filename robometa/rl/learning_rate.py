"""What learners ask of and tell an optimiser between updates."""

from __future__ import annotations

import torch
from torch import Tensor


def steps_taken(optimiser: torch.optim.Optimizer) -> int:
    """How many gradient steps an Adam has taken: it counts them itself. Asks the device once."""
    counts = [entry["step"] for entry in optimiser.state.values()]
    return int(torch.stack(counts).max()) if counts else 0


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Gives an optimiser another rate, in place where a graph reads it."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

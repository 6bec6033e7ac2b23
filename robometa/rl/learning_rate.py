"""What learners ask of and tell an optimizer between updates."""

from __future__ import annotations

import torch
from torch import Tensor


def steps_taken(optimizer: torch.optim.Optimizer) -> int:
    """How many gradient steps an Adam has taken: it counts them itself. Asks the device once."""
    counts = [entry["step"] for entry in optimizer.state.values()]
    return int(torch.stack(counts).max()) if counts else 0


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives an optimizer another rate, in place where a graph reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

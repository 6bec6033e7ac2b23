"""Adam's learning rate, and changing it between updates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import captures


def adam(network: nn.Module, rate: float, device: torch.device) -> torch.optim.Optimizer:
    """Adam for a network; where a graph captures its steps, the graph reads the learning rate from a tensor."""
    captured = captures(device)
    read = torch.tensor(rate, device=device) if captured else rate
    return torch.optim.Adam(network.parameters(), lr=read, fused=True, capturable=captured)


def steps_taken(optimizer: torch.optim.Optimizer) -> int:
    """Gradient steps that an Adam has taken, by its own count. Asks the device once."""
    counts = [entry["step"] for entry in optimizer.state.values()]
    return int(torch.stack(counts).max()) if counts else 0


def decayed(first: float, last: float, share: float) -> float:
    """The learning rate after a share of a linear decay, which begins at 0 and ends at 1."""
    return first + min(max(share, 0.0), 1.0) * (last - first)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets another learning rate, in place where a graph reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

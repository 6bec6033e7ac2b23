"""Adam, and its learning-rate schedule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import captures


def adam(network: nn.Module, rate: float, device: torch.device) -> torch.optim.Optimizer:
    """Adam for a network; the learning rate is a tensor where a CUDA graph captures the steps."""
    captured = captures(device)
    read = torch.tensor(rate, device=device) if captured else rate
    return torch.optim.Adam(network.parameters(), lr=read, fused=True, capturable=captured)


def steps_taken(optimizer: torch.optim.Optimizer) -> int:
    """Gradient steps taken, by Adam's own count. Synchronises with the device once."""
    counts = [entry["step"] for entry in optimizer.state.values()]
    return int(torch.stack(counts).max()) if counts else 0


def decayed(first: float, last: float, share: float) -> float:
    """Learning rate after a share (0 to 1) of a linear decay."""
    return first + min(max(share, 0.0), 1.0) * (last - first)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate, in place where a CUDA graph reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

"""Adam, its learning-rate schedule, and its steps in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import CapturedSteps, captures


def adam(
    network: nn.Module, rate: float, device: torch.device, eps: float = 1e-8, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Adam for a network, AdamW with a weight decay; its learning rate is a tensor where steps are captured."""
    captured = captures(device)
    read = torch.tensor(rate, device=device) if captured else rate
    return torch.optim.Adam(
        network.parameters(),
        lr=read,
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=weight_decay > 0,
        fused=True,
        capturable=captured,
    )


def captured_steps(
    step: Callable[..., Tensor],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    metrics: int,
    device: torch.device,
) -> CapturedSteps | None:
    """Captured steps of one network, with arguments as for `CapturedSteps`; None where nothing is captured."""
    if not captures(device):
        return None
    return CapturedSteps(step, lambda: changed((network,), (optimizer,)), metrics, device)


def changed(networks: Iterable[nn.Module], optimizers: Iterable[torch.optim.Optimizer]) -> list[Tensor]:
    """Tensors that gradient steps change: weights, moments and step counts."""
    weights = [weight for network in networks for weight in network.parameters()]
    entries = [entry for optimizer in optimizers for entry in optimizer.state.values()]
    return [*weights, *(tensor for entry in entries for tensor in entry.values())]


def steps_taken(optimizer: torch.optim.Optimizer) -> int:
    """Gradient steps taken, by Adam's own count. Synchronises with the device once."""
    counts = [entry["step"] for entry in optimizer.state.values()]
    return int(torch.stack(counts).max()) if counts else 0


def decayed(first: float, last: float, share: float) -> float:
    """Learning rate after a share (0 to 1) of a linear decay."""
    return first + min(max(share, 0.0), 1.0) * (last - first)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float | Tensor) -> None:
    """Sets the learning rate, in place where a CUDA graph reads it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = float(rate)

"""Devices that MuJoCo Warp can step on."""

from __future__ import annotations

import torch
import warp

from robometa.errors import UserError

WARNINGS = 30
"""Lowest level of Warp's messages; hides those about loading a kernel."""


def sees_gpu() -> bool:
    """Returns True if Warp sees a GPU. It may need a later driver than torch."""
    warp.config.log_level = WARNINGS
    warp.init()
    return bool(warp.is_cuda_available())


def require_usable(device: str | torch.device) -> None:
    """Checks that Warp can step on a device.

    Raises:
        UserError: If it sees no GPU, or has no compiler for processors.
    """
    kind = torch.device(device).type
    if not sees_gpu() and kind == "cuda":
        raise UserError(
            f"warp-lang {warp.__version__} finds no GPU: it may need a later driver (docs/gpu.md says which). "
            "--engine cpu needs none"
        )
    if kind == "cpu" and not warp.is_cpu_available():
        raise UserError(
            f"warp-lang {warp.__version__} is installed without its compiler for processors, so it steps only on a "
            "GPU: --device cuda, or --engine cpu"
        )

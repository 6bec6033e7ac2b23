"""Loggers that a training can have."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from robometa.errors import UserError, unknown
from robometa.training.loggers.logger import LoggerFactory
from robometa.training.loggers.tensorboard import TensorBoard
from robometa.training.loggers.terminal import Terminal
from robometa.training.loggers.wandb import WeightsAndBiases

CURVES: dict[str, LoggerFactory] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
"""Loggers to choose from."""
NONE = "none"
"""Name for no logger but the terminal."""


def chosen(names: Sequence[str]) -> tuple[LoggerFactory, ...]:
    """Returns the terminal and the named loggers, in the order of opening; the last is closed first.

    Raises:
        UserError: If there is no such logger, or its package is not installed.
    """
    wanted = [name for name in dict.fromkeys(names) if name != NONE]
    for name in wanted:
        if name not in CURVES:
            raise UserError(unknown("logger", name, (*CURVES, NONE)))
    if NONE in names and wanted:
        raise UserError(f"--log {NONE} stands alone, not beside {', '.join(wanted)}")
    if "wandb" in wanted and find_spec("wandb") is None:
        raise UserError("--log wandb needs an extra: pip install 'robometa[wandb]'")
    return (Terminal, *(CURVES[name] for name in wanted))

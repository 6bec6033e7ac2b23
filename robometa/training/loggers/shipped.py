"""Loggers that every training has."""

from __future__ import annotations

from robometa.training.loggers.logger import LoggerFactory
from robometa.training.loggers.tensorboard import TensorBoard
from robometa.training.loggers.terminal import Terminal

SHIPPED: tuple[LoggerFactory, ...] = (Terminal, TensorBoard)
"""Loggers in the order of opening; the last is closed first and can still write to the earlier ones."""

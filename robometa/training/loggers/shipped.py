"""Loggers that every training has."""

from __future__ import annotations

from robometa.training.loggers.logger import LoggerFactory
from robometa.training.loggers.tensorboard import TensorBoard
from robometa.training.loggers.terminal import Terminal

SHIPPED: tuple[LoggerFactory, ...] = (Terminal, TensorBoard)
"""In the order in which they are opened; the last is closed first and can still say something."""

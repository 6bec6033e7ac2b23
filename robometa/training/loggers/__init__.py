"""Loggers of a training's metrics."""

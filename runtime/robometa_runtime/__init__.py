"""Acts and adapts by exported files, on a robot. Numpy and onnxruntime only."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or an imported onnxruntime reports to its makers

from robometa_runtime.clock import Clock
from robometa_runtime.contract import Contract, ContractError
from robometa_runtime.loop import Loop, Reading, Report, RobotError
from robometa_runtime.observer import Observer, projected_gravity
from robometa_runtime.policy import ObservationError, Policy

__all__ = [
    "Clock",
    "Contract",
    "ContractError",
    "Loop",
    "ObservationError",
    "Observer",
    "Policy",
    "Reading",
    "Report",
    "RobotError",
    "projected_gravity",
]

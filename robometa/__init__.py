"""robometa: robots that adapt. Meta-learn a controller, measure how it adapts, and watch it do so.

Each name is loaded on first use, so `import robometa` takes no time.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from robometa.compute.mujoco_gl import tolerate_missing_backend
from robometa.sim.gym.registration import register_once_loaded

if TYPE_CHECKING:
    from robometa import search
    from robometa.conformance.check_learner import check_learner
    from robometa.errors import UserError
    from robometa.evaluation.stable_baselines3 import evaluate_from_scratch
    from robometa.policies.merge import merge
    from robometa.policies.policy import Policy
    from robometa.reports.compare import Comparison, compare
    from robometa.reports.probed import Probed
    from robometa.reports.report import Report
    from robometa.suites import load as load_suite
    from robometa.suites import names as suite_names
    from robometa.suites.suite import Suite
    from robometa.suites.task import Task
    from robometa.training.evaluate import evaluate
    from robometa.training.load import load
    from robometa.training.probe import probe
    from robometa.training.train import resume, train
    from robometa.video.record import record

PLACES = {
    "UserError": ("robometa.errors", "UserError"),
    "Report": ("robometa.reports.report", "Report"),
    "evaluate": ("robometa.training.evaluate", "evaluate"),
    "evaluate_from_scratch": ("robometa.evaluation.stable_baselines3", "evaluate_from_scratch"),
    "Comparison": ("robometa.reports.compare", "Comparison"),
    "compare": ("robometa.reports.compare", "compare"),
    "check_learner": ("robometa.conformance.check_learner", "check_learner"),
    "merge": ("robometa.policies.merge", "merge"),
    "Policy": ("robometa.policies.policy", "Policy"),
    "load": ("robometa.training.load", "load"),
    "Probed": ("robometa.reports.probed", "Probed"),
    "probe": ("robometa.training.probe", "probe"),
    "record": ("robometa.video.record", "record"),
    "Suite": ("robometa.suites.suite", "Suite"),
    "Task": ("robometa.suites.task", "Task"),
    "load_suite": ("robometa.suites", "load"),
    "suite_names": ("robometa.suites", "names"),
    "resume": ("robometa.training.train", "resume"),
    "train": ("robometa.training.train", "train"),
}
"""Module and attribute of each public name."""

__all__ = [
    "Comparison",
    "Policy",
    "Probed",
    "Report",
    "Suite",
    "Task",
    "UserError",
    "check_learner",
    "compare",
    "evaluate",
    "evaluate_from_scratch",
    "load",
    "load_suite",
    "merge",
    "probe",
    "record",
    "resume",
    "search",
    "suite_names",
    "train",
]


tolerate_missing_backend()
register_once_loaded()
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or an onnxruntime imported later reports to its makers


def __dir__() -> list[str]:
    """The public names."""
    return __all__


def __getattr__(name: str) -> Any:
    """Loads a public name on first use."""
    if name == "search":
        return importlib.import_module("robometa.search")  # a module that can be called
    if name not in PLACES:
        raise AttributeError(f"module 'robometa' has no attribute {name!r}; it has {', '.join(PLACES)}")
    module, attribute = PLACES[name]
    return getattr(importlib.import_module(module), attribute)

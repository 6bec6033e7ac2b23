"""robometa: robots that adapt. Meta-learn a controller, measure how it adapts, and watch it do so.

Nothing is loaded before it is used: `import robometa` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from robometa.sim.registration import register_once_loaded

if TYPE_CHECKING:
    from robometa.errors import UserError
    from robometa.evaluation import evaluate
    from robometa.from_scratch import evaluate_from_scratch
    from robometa.learner_check import check_learner
    from robometa.merging import merge
    from robometa.recording import record
    from robometa.report import Report
    from robometa.suites import Suite, Task
    from robometa.suites import load as load_suite
    from robometa.suites import names as suite_names
    from robometa.training import resume, train

PLACES = {
    "UserError": ("robometa.errors", "UserError"),
    "Report": ("robometa.report", "Report"),
    "evaluate": ("robometa.evaluation", "evaluate"),
    "evaluate_from_scratch": ("robometa.from_scratch", "evaluate_from_scratch"),
    "check_learner": ("robometa.learner_check", "check_learner"),
    "merge": ("robometa.merging", "merge"),
    "record": ("robometa.recording", "record"),
    "Suite": ("robometa.suites", "Suite"),
    "Task": ("robometa.suites", "Task"),
    "load_suite": ("robometa.suites", "load"),
    "suite_names": ("robometa.suites", "names"),
    "resume": ("robometa.training", "resume"),
    "train": ("robometa.training", "train"),
}
"""Where each public name lives."""

__all__ = [
    "Report",
    "Suite",
    "Task",
    "UserError",
    "check_learner",
    "evaluate",
    "evaluate_from_scratch",
    "load_suite",
    "merge",
    "record",
    "resume",
    "suite_names",
    "train",
]


register_once_loaded()


def __dir__() -> list[str]:
    """The public names."""
    return __all__


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first asked for."""
    if name not in PLACES:
        raise AttributeError(f"module 'robometa' has no attribute {name!r}; it has {', '.join(PLACES)}")
    module, attribute = PLACES[name]
    return getattr(importlib.import_module(module), attribute)

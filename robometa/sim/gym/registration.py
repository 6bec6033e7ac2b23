"""Registers the suites with Gymnasium, which importing robometa does not import: whichever comes second does it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

REGISTRY = "gymnasium.envs"
"""The module that must be imported before environments can be registered."""


def register_suites() -> None:
    """Registers every shipped suite as `robometa/NAME-v0`, and `robometa/suite-v0`, which takes `suite="mine.toml"`.

    A suite with a slash in its name, such as `ml1/push-v3`, is made through the latter: Gymnasium's names have none.
    """
    from gymnasium.envs.registration import register, registry

    for name in suite_names():
        if f"robometa/{name}-v0" not in registry:
            register(
                id=f"robometa/{name}-v0",
                entry_point="robometa.video.gym_env:FilmedEnv",
                vector_entry_point="robometa.sim.gym.vector_env:SuiteVectorEnv",
                kwargs={} if name == "suite" else {"suite": name},
            )


def suite_names() -> list[str]:
    """Names in Gymnasium's registry: those of the shipped suites, and `suite` for any other."""
    from robometa import suites
    from robometa.suites.shipped import benchmark_names

    return [*suites.names(), *(name for name in benchmark_names() if name != "ml1"), "suite"]


def register_once_loaded() -> None:
    """Registers the suites now if Gymnasium is loaded, and otherwise as soon as it is."""
    if REGISTRY in sys.modules:
        register_suites()
    else:
        sys.meta_path.insert(0, _AfterGymnasium())


class _AfterGymnasium(MetaPathFinder):
    """Finds no module: it waits for Gymnasium's registry to be looked for, and registers the suites once it ran.

    Gymnasium has no entry points for plugins any more, and importing it takes half of the time that `--help` may take.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                register_suites()

            spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec

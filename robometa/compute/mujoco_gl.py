"""MuJoCo without OpenGL where `MUJOCO_GL` names a backend that this machine lacks: only videos need one.

MuJoCo loads the backend when it is imported, and its import fails with it. A login script that exports the variable for
other machines would stop every command.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

VARIABLE = "MUJOCO_GL"
MODULE = "mujoco.gl_context"
"""The module that reads the variable."""


def tolerate_missing_backend() -> None:
    """Lets MuJoCo be imported without OpenGL if the backend in `MUJOCO_GL` is missing; without that nothing changes."""
    if os.environ.get(VARIABLE) and MODULE not in sys.modules:
        sys.meta_path.insert(0, _Tolerant())


class _Tolerant(MetaPathFinder):
    """Finds MuJoCo's module of OpenGL; its loader then tries without a backend where the first try fails."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_tolerantly(module: ModuleType) -> None:
                backend = os.environ.get(VARIABLE)
                try:
                    run(module)
                except Exception:  # whatever a missing library raises
                    os.environ[VARIABLE] = "disable"
                    run(module)
                finally:
                    if backend is not None:
                        os.environ[VARIABLE] = backend  # other programs may know what to do with it

            spec.loader.exec_module = run_tolerantly  # type: ignore[method-assign]
        return spec

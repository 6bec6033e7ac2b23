"""Measuring one part on a GPU, in a process of its own: what it is given, and what it writes as it finds it."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

TARGETS = {
    "half-cheetah engine, env-steps/s": 1.5e6,
    "ant engine, env-steps/s": 2e5,
    "pearl gradient step, ms": 1.5,
    "maml-trpo iteration of 160k steps, s": 0.4,
    "rl2 to the return of the CPU's training, s": 300.0,
}
"""Targets on a GPU of 2024: lower bounds for speeds, upper ones for times."""
RACES = (("half-cheetah-direction", "maml-trpo"), ("half-cheetah-velocity", "rl2"))
"""Suite and learner of policies that were published with the log of their training on the CPU."""
PACKAGES = ("torch", "warp-lang", "mujoco", "mujoco-warp", "numpy")
"""Packages whose versions are recorded."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """Extent of a measurement."""

    worlds: tuple[int, ...] = (8192, 16384, 4096, 1024)
    """Worlds of the engine, those that matter most first."""
    cpu_worlds: int = 1024
    seconds: float = 1.0
    """Of a measurement of an engine."""
    meta_batch: tuple[int, int, int] = (40, 20, 100)
    """Tasks, worlds and control steps of MAML-TRPO: 160k steps an iteration, with both rollouts."""
    horizon: int = 200
    gradient_steps: int = 400
    race_seconds: float = 570.0
    """After which a race is given up."""
    chunk: int = 16
    """Control steps of an engine between two waits for the device."""
    rounds: int = 4
    """Iterations of a learner on a GPU, of which the last is told: the first ones compile and capture."""
    parity: tuple[int, int] = (8, 8)
    """Tasks and worlds whose steps are compared."""
    iterations: int = 10
    """Of the training in the smoke test."""
    options: tuple[tuple[str, Any], ...] = ()
    """Of every learner, on top of its own."""


FULL = Scale()
SMALL = Scale((8, 4), 8, 0.05, (2, 2, 5), 3, 2, 4.0, 2, 2, (2, 2), 2, (("tasks", 2), ("worlds", 2)))


class Bench:
    """Runs a part, and writes what it finds as soon as it finds it."""

    def __init__(
        self,
        file: Path,
        scale: Scale,
        device: str,
        until: float,
        *,
        graphs: bool = True,
        conditional: bool = True,
    ) -> None:
        """Finds nothing yet.

        Args:
            file: What is written.
            scale: How much is measured.
            device: The GPU, or `cpu`.
            until: By the monotonic clock, when the part is to have ended.
            graphs: Whether to capture what is done in graphs.
            conditional: Whether the solver's loop may be a conditional node of a graph.
        """
        self.file, self.scale, self.device, self.until = file, scale, device, until
        self.graphs, self.conditional = graphs, conditional
        self.row: Row = {}
        """Figures of the part so far."""
        self._writing = threading.RLock()

    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    def run(self, part: Callable[[Bench], Row]) -> None:
        """Measures; an error is noted."""
        try:
            self.note(**part(self))
        except Exception as error:
            of_device = isinstance(error, RuntimeError) and self.graphs and self.device.startswith("cuda")
            self.note(error=traceback.format_exc(limit=-8), **({"try_without_graphs": True} if of_device else {}))

    def note(self, **entries: Any) -> None:
        """Adds to the figures, and writes them."""
        with self._writing:
            self.row |= entries
            aside = self.file.with_suffix(".new")
            aside.write_text(json.dumps(self.row, default=str), encoding="utf-8")
            aside.replace(self.file)

    def end_in_time(self, grace: float = 3.0) -> None:
        """Lets the process end a little after its time, should nobody have ended it by then."""

        def end() -> None:
            os._exit(0)

        timer = threading.Timer(max(self.left(), 0.0) + grace, end)
        timer.daemon = True
        timer.start()

    def wait(self) -> None:
        """Waits for the device."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()

    def options(self, learner: str, **wanted: Any) -> Row:
        """Options of a learner: the ones wanted, and in a rehearsal small ones."""
        return wanted | dict(self.scale.options) | ({"worlds": 1} if learner == "pearl" and self.scale.options else {})

    def tuned(self, engine: Any) -> Any:
        """The engine on MuJoCo Warp, with graphs, and conditional nodes in them, as this part is to have them.

        Without those the solver has a fixed number of iterations, which a graph can hold one after the other.
        """
        if not self.graphs:
            engine._graphs = False
        if not self.conditional:
            engine._on_device.model.opt.graph_conditional = False
            engine._on_device.model.opt.iterations = FIXED_ITERATIONS
        return engine


FIXED_ITERATIONS = 8
"""Of the solver where it cannot loop within a graph; four sufficed on average for the slowest of 1024 half-cheetahs."""


def machine(device: str) -> Row:
    """Machine, versions and date."""
    import torch

    from robometa.compute.parallel import processors

    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "the processors",
        "processors": processors(),
        "platform": platform.platform(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "versions": {name: version_of(name) for name in PACKAGES} | {"torch": torch.__version__},
    }


def version_of(package: str) -> str | None:
    """A package's version, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None

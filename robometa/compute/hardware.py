"""Processors, memory and simulator that a command uses."""

from __future__ import annotations

from dataclasses import dataclass

from robometa.errors import UserError

MAX_TORCH_THREADS = 1024
MAX_CONTACT_CAPACITY = 1000.0
"""Upper limits on torch threads and contact capacity, because a run's description may be untrusted."""
COLLECTORS = ("auto", "here", "processes", "processes:N", "ray", "ray:HOST:PORT", "ray://HOST:PORT")
"""Allowed names of a collector."""
EVALUATORS = ("here", "processes", "processes:N")
"""Those of an evaluation."""


@dataclass(frozen=True)
class Hardware:
    """Processors, memory and simulator that a training or an evaluation uses."""

    device: str = "cpu"
    """Device of the learner: `cpu`, `cuda`, `cuda:1`."""
    engine: str = "cpu"
    """Simulator: `cpu`, `warp`, or `auto`, which is Warp where there is a GPU and the `gpu` extra."""
    contact_capacity: float = 1.0
    """Multiplier on MuJoCo Warp's contact buffer; 1 is almost always enough."""
    threads: int | None = None
    """Threads of the CPU engine; all processors if None. Results do not depend on it."""
    torch_threads: int | None = None
    """Threads of torch in an update; all processors if None. Results depend on it in their last bits."""
    collect: str = "here"
    """Collector of trials, one of `COLLECTORS`. Results do not depend on it."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UserError: If one is out of its range.
        """
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads must be at least 1, not {self.threads}")
        if self.torch_threads is not None and not 1 <= self.torch_threads <= MAX_TORCH_THREADS:
            raise UserError(f"torch_threads must be from 1 to {MAX_TORCH_THREADS}, not {self.torch_threads}")
        if not 0 < self.contact_capacity <= MAX_CONTACT_CAPACITY:
            raise UserError(
                f"contact_capacity must be above 0, and at most {MAX_CONTACT_CAPACITY:g}, not {self.contact_capacity:g}"
            )


ALL_PROCESSORS = Hardware()
"""CPU engine, learner and torch on all processors."""

"""Processors, memory and simulator that a command uses."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from robometa.errors import UserError, unknown

MAX_TORCH_THREADS = 1024
MAX_CONTACT_CAPACITY = 1000.0
"""Upper limits on torch threads and contact capacity, because a run's description may be untrusted."""
ENGINES = ("cpu", "warp", "auto")
"""Names of the simulators that a user chooses from."""
COLLECTORS = {
    "auto": ("auto",),
    "here": ("here",),
    "processes": ("processes", "processes:N"),
    "ray": ("ray", "ray:HOST:PORT", "ray://HOST:PORT"),
}
"""Collectors by name, and the forms in which a user asks for each."""
EVALUATORS = ("here", "processes")
"""Collectors that can evaluate."""


def forms_of(collectors: Iterable[str] = COLLECTORS) -> list[str]:
    """Returns the forms in which a user may ask for one of the collectors."""
    return [form for name in collectors for form in COLLECTORS[name]]


def collector_named(collect: str, among: Collection[str] = COLLECTORS.keys()) -> str:
    """Returns the name of the collector that a user asks for, without the number or address that follows it.

    Raises:
        UserError: If there is no such collector.
    """
    name, colon, _ = collect.partition(":")
    if name not in among or (colon and len(COLLECTORS[name]) == 1):
        raise UserError(unknown("collect", collect, forms_of(among)))
    return name


@dataclass(frozen=True)
class Hardware:
    """Processors, memory and simulator that a training or an evaluation uses."""

    device: str = "cpu"
    """Device of the learner: `cpu`, `cuda`, `cuda:1`."""
    engine: str = "cpu"
    """Simulator, one of `ENGINES`: `cpu`, `warp`, or `auto`, which is Warp where there is a GPU and the `gpu` extra."""
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

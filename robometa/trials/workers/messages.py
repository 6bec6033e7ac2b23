"""Messages between a process and its workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol


class Work(Protocol):
    """The purpose of a pool of workers, pickled to each of them."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Memory that workers share with their parent, under the same descriptors."""

    def begun(self) -> Callable[[Any], Any]:
        """Prepares a worker, and returns the function that carries out its orders."""


class Ready(NamedTuple):
    """A worker has begun its work, and computes from now on."""


class Answer(NamedTuple):
    """The end of an order."""

    result: Any
    processor_seconds: float
    """Processor time that this process has spent since it began, s."""


class Failed(NamedTuple):
    """An error that would come again whoever carries out the order."""

    error: bytes
    """The pickled exception."""


class Descriptors(NamedTuple):
    """Arguments of a worker."""

    connection: int
    lifeline: int
    work: int
    work_bytes: int

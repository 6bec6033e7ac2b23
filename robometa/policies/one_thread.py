"""The guard of an object whose methods must not run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


class Turn:
    """A lock that the running call holds; that of a copied or pickled object is free."""

    def __init__(self) -> None:
        """Free."""
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Turn], tuple[()]]:
        """A new one."""
        return Turn, ()


class Guarded(Protocol):
    """An object whose methods take turns."""

    _turn: Turn


def alone(method: Method) -> Method:
    """Refuses a call of a policy's method while another one is running: they would mix their numbers."""

    @wraps(method)
    def called(self: Guarded, *args: Any, **named: Any) -> Any:
        if not self._turn.lock.acquire(blocking=False):
            raise RuntimeError("the policy is in use already: load one for each thread")
        try:
            return method(self, *args, **named)
        finally:
            self._turn.lock.release()

    return cast(Method, called)

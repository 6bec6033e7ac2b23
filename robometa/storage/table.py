"""Typed reading of JSON tables that a stranger may have written: every entry has a kind and a range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from robometa.errors import UserError

MAX_WHOLE = 2**63 - 1
"""Largest whole number."""
MAX_TEXT = 5000
"""Longest text, characters; a path fits in."""
MAX_ENTRIES = 100
"""Most entries of a table of texts or numbers, and most tables of a list."""
Value = TypeVar("Value")


class Table:
    """A JSON table; its entries are read by kind and range."""

    def __init__(self, content: object, where: str) -> None:
        """Takes a table, and its place in words, such as a path.

        Raises:
            UserError: If the content is no table.
        """
        if not isinstance(content, dict):
            raise UserError(f"{where} is damaged: it holds no table")
        self.content: dict[str, Any] = content
        self.where = where

    def text(self, key: str, allowed: Sequence[str] | None = None) -> str:
        """Reads a text, or one of the allowed ones."""
        value = self._entry(key)
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self._fault(key, f"must be a text of at most {MAX_TEXT} characters", value)
        if allowed is not None and value not in allowed:
            raise self._fault(key, f"must be one of {', '.join(allowed)}", value)
        return value

    def whole(self, key: str, low: int = 0, high: int = MAX_WHOLE) -> int:
        """Reads a whole number in a range."""
        value = self._entry(key)
        if type(value) is not int or not low <= value <= high:
            raise self._fault(key, f"must be a whole number from {low} to {high}", value)
        return value

    def number(self, key: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Reads a finite number in a range."""
        value = self._entry(key)
        if not is_finite(value) or not low <= value <= high:
            span = "" if (low, high) == (-math.inf, math.inf) else f" from {low:g} to {high:g}"
            raise self._fault(key, f"must be a finite number{span}", value)
        return float(value)

    def table(self, key: str) -> Table:
        """Reads a table."""
        value = self._entry(key)
        if not isinstance(value, dict):
            raise self._fault(key, "must be a table", value)
        return Table(value, f"{self.where}, {key},")

    def tables(self, key: str, most: int = MAX_ENTRIES) -> list[Table]:
        """Reads a list of tables."""
        value = self._entry(key)
        if not isinstance(value, list) or len(value) > most:
            raise self._fault(key, f"must be a list of at most {most} tables", value)
        return [Table(entry, f"{self.where}, {key} {index},") for index, entry in enumerate(value)]

    def texts(self, key: str, most: int = MAX_ENTRIES) -> dict[str, str]:
        """Reads a table of at most `most` texts."""
        table = self._short_table(key, most)
        return {name: table.text(name) for name in table.content}

    def numbers(self, key: str) -> dict[str, float]:
        """Reads a table of finite numbers."""
        table = self._short_table(key)
        return {name: table.number(name) for name in table.content}

    def numbers_or_none(self, key: str, most: int) -> list[float | None]:
        """Reads a list of at most `most` finite numbers, some of which may be missing."""
        value = self._entry(key)
        fits = isinstance(value, list) and len(value) <= most and all(one is None or is_finite(one) for one in value)
        if not fits:
            raise self._fault(key, f"must be a list of at most {most} finite numbers or null", value)
        return [None if one is None else float(one) for one in value]

    def optional(self, key: str, read: Callable[[str], Value]) -> Value | None:
        """Reads an entry with one of the other methods; None if it is missing or null."""
        return None if self.content.get(key) is None else read(key)

    def _short_table(self, key: str, most: int = MAX_ENTRIES) -> Table:
        table = self.table(key)
        if len(table.content) > most or any(len(name) > MAX_TEXT for name in table.content):
            raise UserError(f"{self.where} is damaged: {key} must have at most {most} entries")
        return table

    def _entry(self, key: str) -> Any:
        if key not in self.content:
            raise UserError(f"{self.where} is damaged: it lacks {key}")
        return self.content[key]

    def _fault(self, key: str, wanted: str, value: object) -> UserError:
        return UserError(f"{self.where} is damaged: {key} {wanted}, not {shown(value)}")


def is_finite(value: object) -> bool:
    """Tests if a value is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def shown(value: object) -> str:
    """Describes a wrong value in a few words, however large it is."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else f"a list of {len(value)}"
    return f"{value!r:.100}"

"""Steps since the last adaptation, and their form as the graph takes it."""

from __future__ import annotations

import numpy as np

from robometa_runtime.contract import Array

MAX_STEPS = 100_000
"""Steps that are kept; the oldest are dropped."""
COLUMNS = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
"""Names of the columns."""


class Experience:
    """Steps since the last adaptation. An episode that ends before the horizon counts as terminated."""

    def __init__(self, horizon: int) -> None:
        """Starts at the beginning of an episode."""
        self._horizon, self._time = horizon, 0
        self._rows: list[tuple[Array, Array, float, Array, bool, bool]] = []

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._rows)

    def add(self, obs: Array, action: Array, reward: float, next_obs: Array, done: bool) -> None:
        """Appends a step; `next_obs` is before any reset."""
        self._time += 1
        late = done and self._time >= self._horizon
        self._rows.append((obs, action, reward, next_obs, done and not late, late))
        self._time = 0 if done else self._time
        if len(self._rows) > MAX_STEPS:
            del self._rows[0]

    def clear(self) -> None:
        """Forgets the steps; an episode goes on."""
        self._rows.clear()

    def columns(self, *, side_by_side: bool) -> dict[str, Array]:
        """Columns by name. `[world, time, ...]`.

        Args:
            side_by_side: Return episodes as so many worlds if all are equally long.
        """
        columns = {
            name: np.array(rows, np.float32) for name, rows in zip(COLUMNS, zip(*self._rows, strict=True), strict=True)
        }
        columns["truncated"][-1] = 1 - columns["terminated"][-1]
        done = columns["terminated"] + columns["truncated"]
        length = int(np.argmax(done)) + 1
        even = len(done) % length == 0 and np.array_equal(done > 0, np.arange(1, len(done) + 1) % length == 0)
        worlds = len(done) // length if side_by_side and even else 1
        return {name: value.reshape(worlds, len(done) // worlds, *value.shape[1:]) for name, value in columns.items()}

"""Uneven ground of a suite: its measures, without the simulator. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robometa.errors import unknown
from robometa.suites.numbers import number, positive

BUMPS, STEPS = "bumps", "steps"
"""Heights of the corners of a grid, with slopes between them; level stairs across the robot's way."""
MAX_HEIGHT, MAX_REACH = 1.0, 50.0
"""Limits on the height and on the reach, m."""
MAX_SAMPLES = 1 << 18
"""Most heights of a ground; every task has its own."""
SAMPLES_OF_STEP = 4
"""Heights along a step: a step's face is a steep ramp of a quarter of its length."""


@dataclass(frozen=True)
class Terrain:
    """Ground whose heights are drawn for every task."""

    height: float
    """Largest height above the floor, m; heights are uniform from 0."""
    cell: float = 0.25
    """Distance between two heights, or length of a step, m."""
    kind: str = BUMPS
    reach: float = 10.0
    """Half width of the ground, m; beyond it is the flat floor."""

    def size(self) -> tuple[int, int]:
        """Counts of heights across and along the robot's way."""
        cells = round(2 * self.reach / self.cell)
        return (2, SAMPLES_OF_STEP * cells) if self.kind == STEPS else (cells + 1, cells + 1)

    def words(self) -> str:
        """Describes the ground."""
        return f"{self.kind} up to {self.height:g} m high every {self.cell:g} m"


def read_terrain(value: Any) -> Terrain:
    """Reads the ground of a suite's file.

    Raises:
        ValueError: Naming the mistake.
    """
    keys = ("height", "cell", "kind", "reach")
    if not isinstance(value, dict) or "height" not in value:
        raise ValueError(f"must be a table of {', '.join(keys)}, with a height")
    for key, entry in value.items():
        if key not in keys:
            raise ValueError(unknown("key", key, keys))
        if key == "kind" and entry not in (BUMPS, STEPS):
            raise ValueError(f"kind must be one of {BUMPS}, {STEPS}")
    values: dict[str, Any] = {key: entry if key == "kind" else positive(entry) for key, entry in value.items()}
    terrain = Terrain(**values)
    if number(terrain.height) > MAX_HEIGHT or terrain.reach > MAX_REACH:
        raise ValueError(f"height must be at most {MAX_HEIGHT:g} m and reach at most {MAX_REACH:g} m")
    rows, columns = terrain.size() if terrain.reach / terrain.cell <= MAX_SAMPLES else (MAX_SAMPLES, 2)
    if rows * columns > MAX_SAMPLES or terrain.cell > terrain.reach:
        raise ValueError(f"cell must be at most reach, and leave at most {MAX_SAMPLES} heights")
    return terrain

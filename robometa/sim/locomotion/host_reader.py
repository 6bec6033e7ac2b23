"""The CPU engine's reader: controls, observations and terminations on numpy's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from robometa.sim.locomotion.layout import Layout
from robometa.sim.locomotion.reader import MAXIMUM, Reader
from robometa.suites.robots import Robot

Array = NDArray[Any]


class HostReader(Reader):
    """Reads the states of the CPU engine, one row per world, in double precision: the bits of `Reader`.

    The physics between two control steps empties the processor's caches, so a step costs what its calls load anew. A
    call of numpy's loads less than one of torch's.
    """

    def __init__(self, robot: Robot, model: mujoco.MjModel, layout: Layout) -> None:
        """Takes the robot's model as drawn.

        Args:
            robot: Defines the observation and the end of an episode.
            model: Compiled model of the robot.
            layout: Layout of its states and sensor readings.
        """
        super().__init__(robot, model, layout, torch.float64, "cpu")
        self._middle, self._half = self.control_middle.numpy(), self.control_half.numpy()
        self._ends = None if self._control_ends is None else [end.numpy() for end in self._control_ends]
        self._bound = None if self._clip is None else self._clip.numpy()
        self._from_state = _placed(self._observed, 0)
        self._from_readings = _placed(self._observed_readings, len(self.columns))
        self._limits = np.array(layout.limited, dtype=np.int64)

    def write_control(self, action: Array, control: Array) -> None:
        """Writes the controls of actions, as `control`. `[world, action]` to `[world, actuator]`."""
        np.maximum(action, -1.0, out=control)
        np.minimum(control, 1.0, out=control)
        np.multiply(self._half, control, out=control)
        np.add(self._middle, control, out=control)
        if self._ends is not None:
            np.minimum(np.maximum(control, self._ends[0], out=control), self._ends[1], out=control)

    def observed(self, state: Array, sensed: Array) -> Array:
        """Observations, as `observe`. `[world, obs]`, float32."""
        kind = np.float32 if self._bound is None else np.float64
        seen: Array = np.empty((len(state), self.spaces.observation), dtype=kind)
        for target, source in self._from_state:
            seen[:, target] = state[:, source]
        for target, source in self._from_readings:
            seen[:, target] = sensed[:, source]
        if self._bound is None:
            return seen
        return np.minimum(np.maximum(seen, -self._bound), self._bound).astype(np.float32)

    def ends(self, after: Array, sensed: Array) -> Array | None:
        """Marks the worlds whose episode the robot's rule ends, as `ended`. `[world]`, bool."""
        robot, layout = self.robot, self.layout
        rules: list[Array] = []
        if robot.height is not None:
            if layout.height is not None:
                height = after[:, layout.height] + layout.height_offset
            else:
                height = sensed[:, (layout.body_sensor or 0) + 2]
            rules += [height < robot.height[0], height > robot.height[1]]
        if robot.pitch is not None and layout.pitch is not None:
            rules.append(abs(after[:, layout.pitch]) > robot.pitch)
        # All numbers at once first, which usually shows that none is beyond the limit.
        if robot.state_limit is not None and not within(after[:, 1:], robot.state_limit):
            rules.append(np.asarray((abs(after[:, self._limits]) > robot.state_limit).any(axis=1)))
        return reduce(or_, rules) if rules else None

    def diverged(self, before: Array, after: Array, action: Array) -> Array | None:
        """Marks the worlds that diverged in a step; None if none did. `[world]`, bool.

        Args:
            before: State before the step. `[world, state]`
            after: State after it. `[world, state]`
            action: Action of the step. `[world, action]`
        """
        # Six numbers tell that no world did, which is nearly always.
        elapsed = after[:, 0] - before[:, 0] - self.control_step
        if within(after, MAXIMUM) and within(action, MAXIMUM) and within(elapsed, self._tolerance):
            return None
        fine = (abs(after) < MAXIMUM).all(axis=1) & (abs(action) < MAXIMUM).all(axis=1)
        return np.asarray(~fine | (abs(elapsed) > self._tolerance))


def within(values: Array, limit: float) -> bool:
    """Returns True if all magnitudes are below the limit; False for NaN."""
    return bool(values.min() > -limit and values.max() < limit)


def _placed(sources: Sequence[slice], first: int) -> list[tuple[slice, slice]]:
    """Pairs each source with its place in the observation, one after the other."""
    pairs = []
    for source in sources:
        last = first + source.stop - source.start
        pairs.append((slice(first, last), source))
        first = last
    return pairs

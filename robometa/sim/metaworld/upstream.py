"""Access to Meta-World's package: models, initial states of episodes, rewards to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.errors import UserError
from robometa.suites.metaworld import METAWORLD, MUJOCO

Array = NDArray[Any]

STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
CURRENT = 18
"""Numbers of the observation for the current step; as many follow for the step before."""
PARTS = ("body_", "geom_", "site_", "jnt_", "dof_", "eq_", "actuator_")
"""Prefixes of the model fields that a reset may change."""
CONSTANTS = {
    "goal": "_target_pos",
    "object_start": "obj_init_pos",
    "hand_start": "hand_init_pos",
    "fingers_start": "init_tcp",
}
"""Initial values that every task needs: our name, upstream's attribute."""


def check() -> None:
    """Returns if Meta-World can run here.

    Raises:
        UserError: If the extra is missing, or another MuJoCo than the one that its results belong to is installed.
    """
    install = f"pip install 'robometa[metaworld]' brings metaworld {METAWORLD} and mujoco {MUJOCO}"
    try:
        installed = version("metaworld")
    except ModuleNotFoundError:
        raise UserError(f"Meta-World suites need the package metaworld: {install}") from None
    if mujoco.__version__ != MUJOCO:
        raise UserError(f"Meta-World's physics is that of mujoco {MUJOCO}, and here is {mujoco.__version__}: {install}")
    if installed != METAWORLD:
        raise UserError(f"Meta-World's tasks are those of metaworld {METAWORLD}, and here is {installed}: {install}")


@dataclass(frozen=True, eq=False)
class Start:
    """The beginning of a task's episodes: always the same, so it is computed once."""

    goal: tuple[float, ...]
    """Upstream's random vector of the task."""
    state: Array
    """MuJoCo's integration state. `[state]`"""
    current: Array
    """The first half of the first observation. `[18]`"""
    target: Array
    """Place that the hand is pulled to, m. `[3]`"""
    edits: tuple[tuple[str, Array, Array], ...]
    """Changes of the task to the model: field, rows, their values."""
    loaded: tuple[tuple[str, Array, Array], ...]
    """Values of those fields and rows before the change."""
    constants: dict[str, Array]
    """Upstream's initial values, by our name."""

    @cached_property
    def rows(self) -> tuple[tuple[str, bytes], ...]:
        """Fields and rows that the task changes, in comparable form."""
        return tuple((field, rows.tobytes()) for field, rows, _ in self.edits)


class Template:
    """One of upstream's environments: its model as loaded, and how its episodes begin."""

    def __init__(self, name: str, reward: str) -> None:
        """Loads the model.

        Args:
            name: One of the fifty, such as `reach-v3`.
            reward: Which of upstream's reward functions it has, `v1` or `v2`.
        """
        check()
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        self.name = name
        self.env = ALL_V3_ENVIRONMENTS[name](reward_function_version=reward)
        self.env._set_task_called = True
        self.env._freeze_rand_vec = True
        self.env._set_task_inner()
        self.model: mujoco.MjModel = self.env.model
        self._fields = [field for field in dir(self.model) if field.startswith(PARTS) and self._is_array(field)]
        self._loaded = {field: getattr(self.model, field).copy() for field in self._fields}
        self.frame_skip = int(self.env.frame_skip)
        self.scale = float(self.env.action_scale)
        self.low, self.high = np.array(self.env.mocap_low), np.array(self.env.mocap_high)
        self._starts: dict[tuple[Any, ...], Start] = {}

    def _is_array(self, field: str) -> bool:
        value = getattr(self.model, field)
        return isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "fiub"

    def start(self, goal: tuple[float, ...], constants: dict[str, str]) -> Start:
        """Returns the beginning of an episode with this goal, as upstream's own reset leaves it.

        Args:
            goal: Upstream's random vector of the task.
            constants: Further attributes of upstream's environment to remember, by our name.
        """
        key = (goal, *sorted(constants))  # the constants are part of the key: other callers may have others
        if key not in self._starts:
            reset(self.env, goal)
            edits = tuple(self._edits())
            self._starts[key] = Start(
                goal=goal,
                state=state_of(self.model, self.env.data),
                current=self.env._prev_obs.copy(),
                target=self.env.data.mocap_pos[0].copy(),
                edits=edits,
                loaded=tuple((field, rows, self._loaded[field][rows]) for field, rows, _ in edits),
                constants={
                    ours: np.array(getattr(self.env, theirs), dtype=np.float64)
                    for ours, theirs in (CONSTANTS | constants).items()
                },
            )
        return self._starts[key]

    def bounds(self, goal_visible: bool) -> tuple[Array, Array]:
        """Lowest and highest value of every number of the observation. `[39]`, `[39]`."""
        self.env._partially_observable = not goal_visible
        self.env.__dict__.pop("sawyer_observation_space", None)  # it is computed once, for one visibility
        space = self.env.sawyer_observation_space
        return space.low, space.high

    def shell(self, model: mujoco.MjModel, data: mujoco.MjData) -> Any:
        """An environment of upstream's around a simulation of ours, for its reset and its reward."""
        shell = object.__new__(type(self.env))  # a copy would load the model again
        shell.__dict__.update(self.env.__dict__)
        shell.model, shell.data = model, data
        shell.init_left_pad, shell.init_right_pad = shell.get_body_com("leftpad"), shell.get_body_com("rightpad")
        return shell

    def _edits(self) -> Any:
        for field in self._fields:
            now, loaded = getattr(self.model, field), self._loaded[field]
            rows = np.unique(np.nonzero(now != loaded)[0])
            if len(rows):
                yield field, rows, now[rows].copy()


@cache
def template(name: str, reward: str) -> Template:
    """The template of a task, loaded once."""
    return Template(name, reward)


def reset(env: Any, goal: tuple[float, ...]) -> None:
    """Begins an episode of one of upstream's environments with this goal."""
    env._last_rand_vec = np.array(goal)
    env.reset()


def state_of(model: mujoco.MjModel, data: mujoco.MjData) -> Array:
    """All that the next step depends on. `[state]`."""
    state = np.empty(mujoco.mj_stateSize(model, STATE))
    mujoco.mj_getState(model, data, state, STATE)
    return state

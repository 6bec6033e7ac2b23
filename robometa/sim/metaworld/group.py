"""Worlds of one of the fifty tasks: simulations, shared model, and arrays of readings."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.sim.metaworld.scenes import SCENES, Scene, Turn
from robometa.sim.metaworld.upstream import CURRENT, STATE, Start, Template

Array = NDArray[Any]

FULLY_OPEN = 0.1
"""Distance of the claws when the gripper is open, m."""
DIAL_RADIUS = 0.05
"""Radius of a dial, m."""
SOURCES = {
    "body": "xpos",
    "site": "site_xpos",
    "geom": "geom_xpos",
    "quaternion": "xquat",
    "body_matrix": "xmat",
    "site_matrix": "site_xmat",
    "geom_matrix": "geom_xmat",
    "joint": "qpos",
}
"""MuJoCo's arrays that are read from a simulation, by our name."""


class Model:
    """A model, and the task that it is set to."""

    def __init__(self, template: Template) -> None:
        """Copies the template's model."""
        self.compiled = copy(template.model)
        self._set_to: Start | None = None

    def set_to(self, start: Start) -> None:
        """Applies a task's changes, and reverts those of the task before."""
        if start is self._set_to:
            return
        if self._set_to is not None and self._set_to.rows != start.rows:
            for field, rows, values in self._set_to.loaded:
                getattr(self.compiled, field)[rows] = values
        for field, rows, values in start.edits:
            getattr(self.compiled, field)[rows] = values
        self._set_to = start


class Group:
    """Worlds of one task name: one simulation each, a model for all of them, and what is read after every step."""

    def __init__(self, template: Template, contacts: bool) -> None:
        """Makes a group without worlds.

        Args:
            template: Template of the task.
            contacts: Compute contact forces.
        """
        self.template, self.contacts = template, contacts
        self.scene: Scene = SCENES[template.name]
        self.model = template.model
        self._own: Model | None = None
        self._set_model: Model
        self._ids: dict[tuple[str, str], int] = {}
        self._spare: list[mujoco.MjData] = []
        self.datas: list[mujoco.MjData] = []
        wanted = {"body", "site", *(place.kind for place in self.scene.objects)}
        wanted |= {self._source(turn) for turn in self.scene.turns if isinstance(turn, Turn)}
        wanted |= {"joint"} if self.scene.dial else set()
        self.sources = [source for source in SOURCES if source in wanted]
        self._claws = [self.id("body", name) for name in ("rightclaw", "leftclaw", "hand")]
        self._objects = [self.id(place.kind, place.name) for place in self.scene.objects]
        self._turns = [
            self.id("body" if turn.kind == "quaternion" else turn.kind, turn.name) if isinstance(turn, Turn) else 0
            for turn in self.scene.turns
        ]
        self._dial = None if self.scene.dial is None else self.id("joint", self.scene.dial)
        if contacts:
            self._pads = [self.id("geom", name) for name in ("leftpad_geom", "rightpad_geom")]
            self._touched = self.id("geom", self.scene.touched)

    @staticmethod
    def _source(turn: Turn) -> str:
        return turn.kind if turn.kind == "quaternion" else f"{turn.kind}_matrix"

    def hold(self, starts: Sequence[Start], worlds: Array, lender: Group | None = None) -> None:
        """Takes worlds in.

        Args:
            starts: How the episodes of each begin.
            worlds: Which worlds of the engine they are. `[world]`
            lender: Another group; if all worlds of both begin alike, one model serves both.
        """
        self.starts, self.worlds = list(starts), worlds
        if starts:
            if lender is not None:
                self._set_model = lender._set_model
            else:
                self._set_model = self._own = self._own or Model(self.template)
            self.model = self._set_model.compiled
        while len(self.datas) < len(starts):
            self.datas.append(self._spare.pop() if self._spare else mujoco.MjData(self.model))
        while len(self.datas) > len(starts):
            self._spare.append(self.datas.pop())
        count = len(starts)
        if not count:
            return
        first = self.datas[0]
        self.read = {source: np.zeros((count, *getattr(first, SOURCES[source]).shape)) for source in self.sources}
        self._views = [
            (
                data,
                data.mocap_pos[0],
                data.ctrl,
                [(self.read[source][index], getattr(data, SOURCES[source])) for source in self.sources],
            )
            for index, data in enumerate(self.datas)
        ]
        self.before = np.zeros((count, mujoco.mj_stateSize(self.model, STATE)))
        self.time = np.zeros(count)
        self.touching = np.zeros(count, dtype=bool)
        names = starts[0].constants
        self.constants = {name: np.stack([start.constants[name] for start in starts]) for name in names}

    def each(self, source: str) -> Array:
        """Readings of every world now, by the name in `SOURCES`. `[world, ...]`."""
        if source not in self.read:  # few tasks ask for it
            self.read[source] = np.stack([getattr(data, SOURCES[source]) for data in self.datas])
        return self.read[source]

    @property
    def simulations(self) -> int:
        """Number of simulations, in use or spare."""
        return len(self.datas) + len(self._spare)

    def simulation(self, index: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """The model, set to the task of one of the worlds, and that world's simulation."""
        self._set_model.set_to(self.starts[index])
        return self.model, self.datas[index]

    def drop_spares(self) -> None:
        """Frees simulations that no world needs now."""
        self._spare.clear()

    def begin(self, index: int) -> None:
        """Starts an episode in one of the worlds."""
        start, data = self.starts[index], self.datas[index]
        mujoco.mj_setState(self.model, data, start.state, STATE)
        self.time[index] = data.time

    def remember(self) -> None:
        """Keeps the state of every world in `before`."""
        for data, row in zip(self.datas, self.before, strict=True):
            mujoco.mj_getState(self.model, data, row, STATE)

    def ask(self, target: Array, control: Array) -> None:
        """Sets every world's target and control for the next step. `[world, 3]`, `[world, actuator]`."""
        for (_, hand, controls, _), place, effort in zip(self._views, target, control, strict=True):
            hand[:] = place
            controls[:] = effort

    def advance(self) -> None:
        """Takes a control step of every world. It does little beside physics, because only physics runs in parallel."""
        skip, model, set_to = self.template.frame_skip, self.model, self._set_model.set_to
        step, look = mujoco.mj_step, mujoco.mj_forward
        for start, data in zip(self.starts, self.datas, strict=True):
            set_to(start)
            step(model, data, skip)
            # A step leaves places as they were when its last physics step began; and what the solver of the next step
            # starts from is what it found here.
            look(model, data)

    def gather(self) -> None:
        """Reads what the step led to."""
        for source in self.read.keys() - self.sources:
            del self.read[source]
        for index, (data, _, _, pairs) in enumerate(self._views):
            for mine, theirs in pairs:
                mine[:] = theirs
            self.time[index] = data.time
            if self.contacts:
                self.touching[index] = self._touches(data)

    def matrices(self) -> Array | None:
        """Rotation matrix of the object if its quaternion is to be computed, else None. `[world, 3, 3]`."""
        for turn, place in zip(self.scene.turns, self._turns, strict=True):
            if isinstance(turn, Turn) and turn.kind != "quaternion":
                return self.read[self._source(turn)][:, place].reshape(-1, 3, 3)
        return None

    def observe(self, computed: Array | None) -> Array:
        """Current half of the observation: the hand, the gripper's opening, and the objects. `[world, 18]`.

        Args:
            computed: The quaternions of `matrices`. `[world, 4]`
        """
        bodies, scene, seen = self.read["body"], self.scene, np.zeros((len(self.worlds), CURRENT))
        right, left, hand = self._claws
        seen[:, :3] = bodies[:, hand]
        apart = bodies[:, right] - bodies[:, left]
        seen[:, 3] = np.clip(np.sqrt(np.vecdot(apart, apart)) / FULLY_OPEN, 0.0, 1.0)
        for index, (place, turn) in enumerate(zip(scene.objects, scene.turns, strict=True)):
            column = 4 + 7 * index
            where = self.read[place.kind][:, self._objects[index]]
            seen[:, column : column + 3] = where + place.offset if any(place.offset) else where
            if not isinstance(turn, Turn):
                seen[:, column + 3 : column + 7] = turn
            elif turn.kind == "quaternion":
                seen[:, column + 3 : column + 7] = self.read["quaternion"][:, self._turns[index]]
            else:
                seen[:, column + 3 : column + 7] = computed
        if self._dial is not None:
            angle = self.read["joint"][:, self._dial]
            rim = np.stack((np.sin(angle), -np.cos(angle), np.zeros_like(angle)), axis=1)
            seen[:, 4:7] += rim * DIAL_RADIUS
        return seen

    def id(self, kind: str, name: str) -> int:
        """Index of a body, site or geom in the readings, and of a joint among the positions."""
        if (kind, name) not in self._ids:
            element = getattr(self.model, kind)(name)
            self._ids[kind, name] = int(element.qposadr[0] if kind == "joint" else element.id)
        return self._ids[kind, name]

    def _touches(self, data: mujoco.MjData) -> bool:
        """True if both fingers press on the object."""
        contacts = data.contact
        pairs = contacts.geom  # [contact, 2]
        for pad in self._pads:
            meets = (pairs == pad).any(axis=1) & (pairs == self._touched).any(axis=1)
            if not sum(data.efc_force[contacts.efc_address[meets]]) > 0:
                return False
        return True

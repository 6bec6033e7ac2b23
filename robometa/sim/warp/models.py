"""A robot's model on MuJoCo Warp's device: one for all worlds, with a row per world of what their tasks vary."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Sequence
from functools import cache

import mujoco
import mujoco_warp
import numpy as np
import warp

from robometa.errors import UserError
from robometa.sim.warp.contacts import lay_along_capsules

CONTACTS_PER_WORLD = 48
"""Contacts of a world in the buffer at contact capacity 1; fewer where a robot's shapes can touch in fewer places."""
GRAVITY = "gravity"
"""Field that is an option of the model, not an array."""


@cache
def _say_newton(name: str) -> None:
    warnings.warn(
        f"{name}: MuJoCo Warp has no PGS solver and uses Newton; its physics differ a little from the CPU engine's",
        stacklevel=4,
    )


def supported(model: mujoco.MjModel, name: str) -> mujoco.MjModel:
    """Returns a model that MuJoCo Warp can step: itself, or a copy with the Newton solver if it uses PGS.

    Raises:
        UserError: If MuJoCo Warp lacks another of its features.
    """
    if model.opt.solver == mujoco.mjtSolver.mjSOL_PGS:
        _say_newton(name)
        model = copy.copy(model)
        model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    try:
        mujoco_warp.put_model(model)
    except (NotImplementedError, ValueError) as error:
        raise UserError(f"robot {name} cannot run on MuJoCo Warp: {error}; --engine cpu can") from None
    return model


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Contacts and rows of constraints that each world has memory for."""

    contacts: int
    """Mean number of contacts per world; the worlds share one list."""
    constraints: int


def capacity(model: mujoco.MjModel, device_model: mujoco_warp.Model, contact_capacity: float) -> Capacity:
    """As many as the robot's shapes allow, or `CONTACTS_PER_WORLD` times the contact capacity where that is less."""
    pairs = device_model.nxn_geom_pair_filtered.numpy().reshape(-1, 2)
    possible = sum(_places(*(int(model.geom_type[geom]) for geom in pair)) for pair in pairs)
    contacts = max(1, min(possible, round(contact_capacity * CONTACTS_PER_WORLD)))
    widest = int(model.geom_condim.max()) if model.ngeom else 1
    rows = 1 if widest == 1 else 2 * (widest - 1)
    limits = int((model.dof_frictionloss > 0).sum()) + int(model.jnt_limited.sum()) + 6 * model.neq + 2 * model.ntendon
    return Capacity(contacts, max(1, limits + rows * contacts))


def _places(*kinds: int) -> int:
    """In how many places two shapes can touch."""
    sphere, capsule, plane = (int(getattr(mujoco.mjtGeom, f"mjGEOM_{name}")) for name in ("SPHERE", "CAPSULE", "PLANE"))
    if sphere in kinds:
        return 1
    return 2 if capsule in kinds and set(kinds) <= {capsule, plane} else 8


class DeviceModel:
    """The model on the device. What differs between tasks has a row per world, found by comparing their models."""

    def __init__(self, base: mujoco.MjModel, worlds: int, always: Sequence[str] = ()) -> None:
        """Puts a model on the current Warp device.

        Args:
            base: Model that worlds share, but for the variations of their task.
            worlds: Number of worlds of all tasks together.
            always: Fields with a row per world, whether the tasks vary them or not.
        """
        self._always = always
        self._base, self._worlds, self.varied = base, worlds, frozenset[str]()
        self.model = _put(base, {})
        fields = [field for field in dataclasses.fields(mujoco_warp.Model) if _is_array_of(base, field.name)]
        self._per_world = [field.name for field in fields if getattr(field.type, "shape", ())[:1] == ("*",)]
        self._shared = [field.name for field in fields if field.name not in self._per_world]

    def vary(self, models: Sequence[mujoco.MjModel]) -> bool:
        """Gives every world the fields of its task's model, and returns whether the arrays had to be made anew.

        Args:
            models: The model of each task; as many worlds follow each other for each. `[task]`

        Raises:
            UserError: If the tasks differ in what MuJoCo Warp keeps once for all worlds.
        """
        differing = {name for model in models for name in self._per_world if self._differs(model, name)}
        fixed = sorted({name for model in models for name in self._shared if self._differs(model, name)})
        if fixed:
            raise UserError(f"MuJoCo Warp cannot vary {', '.join(fixed)} from world to world; --engine cpu can")
        differing |= set(self._always)
        if any((model.opt.gravity != self._base.opt.gravity).any() for model in models):
            differing.add(GRAVITY)
        anew = not differing <= self.varied
        if anew:
            self.varied |= differing
            sizes = dict.fromkeys(sorted(self.varied - {GRAVITY}), self._worlds)
            self.model = _put(self._base, sizes)
            if GRAVITY in self.varied:
                rows = np.tile(self._base.opt.gravity, (self._worlds, 1))
                self.model.opt.gravity = warp.array(rows, dtype=warp.vec3)
        for name in self.varied:
            self._upload(name, models)
        return anew

    def _differs(self, model: mujoco.MjModel, name: str) -> bool:
        return model is not self._base and not np.array_equal(getattr(model, name), getattr(self._base, name))

    def _upload(self, name: str, models: Sequence[mujoco.MjModel]) -> None:
        """Writes a field's rows into the array that is there: a captured graph keeps its address."""
        option = name == GRAVITY
        rows = np.stack([model.opt.gravity if option else getattr(model, name) for model in models])
        rows = np.repeat(rows, self._worlds // len(models), axis=0)
        target = self.model.opt.gravity if option else getattr(self.model, name)
        target.assign(warp.array(rows, dtype=target.dtype, shape=target.shape))


def _put(model: mujoco.MjModel, sizes: dict[str, int]) -> mujoco_warp.Model:
    """The model on the device, with several rows of some fields, and MuJoCo's own directions of friction."""
    put = mujoco_warp.put_model(model, batch_sizes=sizes)
    put.callback.contactfilter = lay_along_capsules
    return put


def _is_array_of(model: mujoco.MjModel, name: str) -> bool:
    return isinstance(getattr(model, name, None), np.ndarray)

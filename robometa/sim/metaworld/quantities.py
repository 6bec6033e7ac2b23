"""Named quantities of a manipulation step, the inputs of its objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robometa.errors import UserError
from robometa.sim.metaworld.arrays import Array
from robometa.sim.metaworld.group import Group


class Quantities(dict[str, Array]):
    """Quantities of a step of a group's worlds, by name, each computed on first use.

    Of now: `hand`, `fingers` (the middle between their tips), `left_pad`, `right_pad`, `object`, `second_object`:
    places in m `[world, 3]`; `turn` of the object, a quaternion, `[world, 4]`; `opening` of the gripper, 0 to 1,
    `[world]`; `action` `[world, 4]`; `touching`, true if both fingers press on the object, `[world]`, bool. Of the
    task: `goal`. Of the episode's beginning: `hand_start`, `fingers_start`, `object_start`, and what the objective
    asks upstream to remember; `object_first`: the object after the first step. `body`, `site`, `geom` and `joint` read
    anything else of the model.
    """

    def __init__(
        self,
        group: Group,
        seen: Array,
        action: Array,
        first: Array,
        convert: Callable[[Any], Array] = lambda numbers: numbers,
    ) -> None:
        """Stores the sources of the quantities.

        Args:
            group: Whose worlds.
            seen: What the policy sees after the step. `[world, 39]`, float64
            action: `[world, 4]`, float64
            first: The object after the episode's first step. `[world, 3]`
            convert: Conversion of an array before rewards are computed, such as `torch.from_numpy`.
        """
        super().__init__(
            hand=seen[:, :3],
            opening=seen[:, 3],
            object=seen[:, 4:7],
            turn=seen[:, 7:11],
            second_object=seen[:, 11:14],
            action=action,
            object_first=first,
        )
        self.group = group
        self._convert = convert

    def __missing__(self, name: str) -> Array:
        """Reads a quantity on first use."""
        if name == "fingers":
            value = (self.site("rightEndEffector") + self.site("leftEndEffector")) / 2
        elif name in ("left_pad", "right_pad"):
            value = self.body(name.replace("_", ""))
        elif name == "touching":
            value = self._convert(self.group.touching)
        elif name in self.group.constants:
            value = self._convert(self.group.constants[name])
        else:
            raise UserError(f"task {self.group.template.name} has no quantity {name!r}")
        self[name] = value
        return value

    def body(self, name: str) -> Array:
        """Place of a body, m. `[world, 3]`."""
        return self._convert(self.group.each("body"))[:, self.group.id("body", name)]

    def site(self, name: str) -> Array:
        """Place of a site, m. `[world, 3]`."""
        return self._convert(self.group.each("site"))[:, self.group.id("site", name)]

    def geom(self, name: str) -> Array:
        """Place of a geom's middle, m. `[world, 3]`."""
        return self._convert(self.group.each("geom"))[:, self.group.id("geom", name)]

    def joint(self, name: str) -> Array:
        """Position of a joint, m or rad. `[world]`."""
        return self._convert(self.group.each("joint"))[:, self.group.id("joint", name)]

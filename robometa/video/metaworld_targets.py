"""Success conditions of the manipulation tasks as videos measure and mark them."""

from __future__ import annotations

from typing import NamedTuple

from robometa.sim.metaworld.scenes import SCENES, Place, site

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


class Reached(NamedTuple):
    """The object that must come to the goal, and the distance that is a success."""

    radius: float = 0.07
    """Largest distance that is a success, m."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Weight of each axis; 0 for one that does not count."""
    place: Place | None = None
    """Place that must come there, if it is not the task's object."""
    second: bool = False
    """The task's second object must come there."""
    fingers: bool = False
    """The middle between the fingertips must come there."""


REACHED = {
    "basketball-v3": Reached(0.08),
    "bin-picking-v3": Reached(0.05),
    "box-close-v3": Reached(0.08),
    "button-press-topdown-v3": Reached(0.024, Z),
    "button-press-topdown-wall-v3": Reached(0.024, Z),
    "button-press-v3": Reached(0.02, Y),
    "button-press-wall-v3": Reached(0.03, Y),
    "coffee-button-v3": Reached(0.02, Y),
    "door-close-v3": Reached(0.08),
    "door-lock-v3": Reached(0.02, Z),
    "door-open-v3": Reached(0.08, X),
    "door-unlock-v3": Reached(0.02, X),
    "drawer-close-v3": Reached(0.065),
    "drawer-open-v3": Reached(0.03),
    "faucet-open-v3": Reached(place=site("handleStartOpen", x=-0.04, z=0.02)),
    "hammer-v3": Reached(0.01, second=True),
    "hand-insert-v3": Reached(0.05),
    "handle-press-side-v3": Reached(0.02, Z),
    "handle-press-v3": Reached(0.02, Z),
    "handle-pull-side-v3": Reached(0.08),
    "handle-pull-v3": Reached(0.05, Z),
    "peg-insert-side-v3": Reached(0.07, (1.0, 2.0, 2.0), site("pegHead")),
    "push-v3": Reached(0.05),
    "reach-v3": Reached(0.05, fingers=True),
    "reach-wall-v3": Reached(0.05, fingers=True),
    "stick-pull-v3": Reached(0.12, second=True),
    "stick-push-v3": Reached(0.12, second=True),
    "sweep-into-v3": Reached(0.05),
    "sweep-v3": Reached(0.05),
    "window-close-v3": Reached(0.05, X),
    "window-open-v3": Reached(0.05, X),
}
"""Conditions other than the task's object within 7 cm."""


def reached(name: str) -> Reached:
    """Returns the success condition of a task."""
    reached = REACHED.get(name, Reached())
    if reached.place is not None or reached.fingers:
        return reached
    return reached._replace(place=SCENES[name].objects[1 if reached.second else 0])

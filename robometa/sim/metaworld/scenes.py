"""The observed objects of each of the fifty tasks: their places and rotations."""

from __future__ import annotations

from dataclasses import dataclass

NOWHERE = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Place:
    """Place of an object: a body, site or geom, and an offset from it."""

    kind: str
    """`body`, `site` or `geom`."""
    name: str
    offset: tuple[float, float, float] = NOWHERE
    """Offset from it, m."""


@dataclass(frozen=True)
class Turn:
    """Rotation of an object: a body's quaternion, or one computed from the matrix of a body, site or geom."""

    kind: str
    """`quaternion` (of a body, scalar first) or `body`, `site`, `geom` (from its matrix, scalar last, as upstream)."""
    name: str


@dataclass(frozen=True)
class Scene:
    """The objects of a task."""

    objects: tuple[Place, ...]
    turns: tuple[Turn | tuple[float, float, float, float], ...]
    """Rotation of each object; numbers where upstream shows constants."""
    touched: str = "objGeom"
    """Geom that `touching` refers to."""
    dial: str | None = None
    """Joint of a knob; its rim is the object."""


def body(name: str, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Place:
    """The place of a body."""
    return Place("body", name, (x, y, z))


def site(name: str, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Place:
    """The place of a site."""
    return Place("site", name, (x, y, z))


def geom(name: str) -> Place:
    """The place of a geom."""
    return Place("geom", name)


UNTURNED, NOTHING = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)


def _lump(place: Place, turn: Turn | tuple[float, float, float, float], touched: str = "objGeom") -> Scene:
    return Scene((place,), (turn,), touched)


BUTTON_DOWN = _lump(body("button", z=0.193), Turn("quaternion", "button"), "btnGeom")
BUTTON_AHEAD = _lump(body("button", y=-0.193), Turn("quaternion", "button"), "btnGeom")
LUMP = _lump(body("obj"), Turn("quaternion", "obj"))
LUMP_BY_MATRIX = _lump(body("obj"), Turn("geom", "objGeom"))
LUMP_BY_GEOM = _lump(geom("objGeom"), Turn("geom", "objGeom"))
NUT = _lump(site("RoundNut-8"), Turn("quaternion", "RoundNut"), "WrenchHandle")
MUG = _lump(body("obj"), Turn("geom", "mug"), "mug")
HANDLE = _lump(geom("handle"), Turn("geom", "handle"))
PUCK = _lump(geom("puck"), Turn("geom", "puck"))

SCENES = {
    "assembly-v3": NUT,
    "basketball-v3": _lump(body("bsktball"), Turn("quaternion", "bsktball")),
    "bin-picking-v3": LUMP,
    "box-close-v3": _lump(body("top_link"), Turn("quaternion", "top_link"), "BoxHandleGeom"),
    "button-press-topdown-v3": BUTTON_DOWN,
    "button-press-topdown-wall-v3": BUTTON_DOWN,
    "button-press-v3": BUTTON_AHEAD,
    "button-press-wall-v3": BUTTON_AHEAD,
    "coffee-button-v3": _lump(site("buttonStart"), UNTURNED),
    "coffee-pull-v3": MUG,
    "coffee-push-v3": MUG,
    "dial-turn-v3": Scene((body("dial"),), (Turn("quaternion", "dial"),), dial="knob_Joint_1"),
    "disassemble-v3": NUT,
    "door-close-v3": HANDLE,
    "door-lock-v3": _lump(site("lockStartLock"), Turn("quaternion", "door_link")),
    "door-open-v3": HANDLE,
    "door-unlock-v3": _lump(site("lockStartUnlock"), Turn("quaternion", "door_link")),
    "drawer-close-v3": _lump(body("drawer_link", y=-0.16, z=0.05), NOTHING),
    "drawer-open-v3": _lump(body("drawer_link", y=-0.16), Turn("quaternion", "drawer_link")),
    "faucet-close-v3": _lump(site("handleStartClose", z=-0.01), Turn("quaternion", "faucetBase")),
    "faucet-open-v3": _lump(site("handleStartOpen", z=-0.01), Turn("quaternion", "faucetBase")),
    "hammer-v3": Scene(
        (body("hammer"), body("nail_link")),
        (Turn("quaternion", "hammer"), Turn("quaternion", "nail_link")),
        touched="HammerHandle",
    ),
    "hand-insert-v3": LUMP,
    "handle-press-side-v3": _lump(site("handleStart"), NOTHING),
    "handle-press-v3": _lump(site("handleStart"), NOTHING),
    "handle-pull-side-v3": _lump(site("handleCenter"), NOTHING),
    "handle-pull-v3": _lump(site("handleRight"), NOTHING),
    "lever-pull-v3": _lump(site("leverStart"), Turn("geom", "objGeom")),
    "peg-insert-side-v3": _lump(site("pegGrasp"), Turn("site", "pegGrasp")),
    "peg-unplug-side-v3": _lump(site("pegEnd"), Turn("quaternion", "plug1")),
    "pick-out-of-hole-v3": LUMP,
    "pick-place-v3": LUMP_BY_MATRIX,
    "pick-place-wall-v3": LUMP_BY_GEOM,
    "plate-slide-back-side-v3": PUCK,
    "plate-slide-back-v3": PUCK,
    "plate-slide-side-v3": PUCK,
    "plate-slide-v3": PUCK,
    "push-back-v3": LUMP_BY_GEOM,
    "push-v3": LUMP_BY_MATRIX,
    "push-wall-v3": LUMP_BY_GEOM,
    "reach-v3": LUMP_BY_MATRIX,
    "reach-wall-v3": LUMP_BY_MATRIX,
    "shelf-place-v3": LUMP_BY_MATRIX,
    "soccer-v3": _lump(body("soccer_ball"), Turn("body", "soccer_ball")),
    "stick-pull-v3": Scene((body("stick"), site("insertion")), (Turn("body", "stick"), NOTHING)),
    "stick-push-v3": Scene((body("stick"), site("insertion", y=0.09)), (Turn("body", "stick"), NOTHING)),
    "sweep-into-v3": LUMP_BY_MATRIX,
    "sweep-v3": LUMP,
    "window-close-v3": _lump(site("handleCloseStart"), NOTHING),
    "window-open-v3": _lump(site("handleOpenStart"), NOTHING),
}
"""Scene of every task, by its name."""

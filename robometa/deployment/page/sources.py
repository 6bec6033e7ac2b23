"""Places of an observation's numbers in the simulator: state, sensor readings, and what the robot did or is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mujoco

from robometa.sim.locomotion.layout import Layout
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.terms import Values
from robometa.sim.locomotion.wiring import arrangement_of
from robometa.suites.observation import FORMER, WORLD, Term
from robometa.suites.suite import Suite

Source = tuple[str | int, ...]
"""A kind of source and what it needs: ("state", column), ("reading", index), ("foot", index), ("action", place),
("command", place), ("gravity", axis) in the body's frame, or (frame, first of three readings, axis) of a vector."""
READINGS = {"base_orientation": ("turn", 0, 4), "base_height": ("place", 2, 3), "base_position": ("place", 0, 2)}
"""Terms that are readings as they are: sensor of the body, first and last."""
VECTORS = {"base_angular_velocity": "rates", "base_linear_velocity": "velocity"}


def sources_of(suite: Suite, model: mujoco.MjModel, reader: Reader) -> tuple[list[Source], list[int]]:
    """Lists where the numbers of an observation are.

    Returns:
        Source of each number that is measured at a step; the place among them of each number of an observation,
        which may be of an earlier step.
    """
    former: list[Source] = [("state", column) for column in reader.columns]
    former += [("reading", index) for index in reader.readings]
    if not suite.robot.terms:
        return former, list(range(len(former)))
    values = Values(suite.robot, model, reader.layout, reader.rest, reader.observe)
    arranged = arrangement_of(suite, model, reader, values)
    samples: list[Source] = []
    for term, size in zip(arranged.terms, arranged.sizes, strict=True):
        samples += former if term.kind == FORMER else _sources(term, size, model, reader.layout, values.joints)
    return samples, (arranged.index % arranged.size).tolist()


def _sources(term: Term, size: int, model: mujoco.MjModel, layout: Layout, joints: Sequence[int]) -> Iterator[Source]:
    """Source of each number of a term."""
    kind, added = term.kind, dict(layout.added)
    if kind == "joint_positions":
        yield from (("state", 1 + int(model.jnt_qposadr[joint])) for joint in joints)
    elif kind == "joint_velocities":
        yield from (("state", 1 + model.nq + int(model.jnt_dofadr[joint])) for joint in joints)
    elif kind in READINGS:
        part, first, last = READINGS[kind]
        yield from (("reading", index) for index in added[f"base/{part}"][first:last])
    elif kind in VECTORS:
        first = added[f"base/{VECTORS[kind]}"][0]
        world = term.frame == WORLD
        yield from (("reading", first + axis) if world else (term.frame, first, axis) for axis in range(3))
    elif kind == "sensors":
        yield from (("reading", index) for index in layout.sensors)
    elif kind == "sensor":
        yield from (("reading", index) for index in dict(layout.by_sensor)[term.sensor])
    elif kind == "foot_contacts":
        yield from (("foot", index) for index in added["feet"])
    else:
        short = {"last_action": "action", "command": "command", "projected_gravity": "gravity"}[kind]
        yield from ((short, place) for place in range(size))

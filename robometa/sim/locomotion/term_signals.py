"""Names, units, ranges and errors of an observation that a suite lists term by term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple

import mujoco

from robometa.sim.locomotion.actions import actuator_name
from robometa.sim.locomotion.layout import Layout
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.terms import Values
from robometa.sim.locomotion.wiring import arrangement_of
from robometa.sim.signal import Signal
from robometa.suites.command import COMMANDS
from robometa.suites.observation import FORMER, KINDS, Term
from robometa.suites.suite import Suite

AXES = ("x", "y", "z")
OF_BASE = {
    "base_angular_velocity": (AXES, "rad/s"),
    "base_linear_velocity": (AXES, "m/s"),
    "projected_gravity": (AXES, "1"),
    "base_orientation": (("qw", "qx", "qy", "qz"), "1"),
    "base_height": (("z",), "m"),
    "base_position": (("x", "y"), "m"),
}
"""Parts and unit of the terms about the body."""
UNMEASURED_SENSORS = ("FRAMEPOS", "FRAMELINVEL", "VELOCIMETER", "SUBTREECOM", "SUBTREELINVEL", "SUBTREEANGMOM", "CLOCK")
"""Sensors that no robot carries, by MuJoCo's name."""


class Parts(NamedTuple):
    """Signals of the simulator's numbers."""

    state: Sequence[Signal]
    readings: Sequence[Signal]
    former: Sequence[Signal]
    """Of the former parts of the observation."""


def term_signals(suite: Suite, model: mujoco.MjModel, reader: Reader, parts: Parts) -> list[Signal]:
    """Describes every number of an observation, in its order."""
    values = Values(suite.robot, model, reader.layout, reader.rest, reader.observe)
    arranged = arrangement_of(suite, model, reader, values)
    of_terms = {term: _plain(term, suite, model, reader, values, parts) for term in arranged.terms}
    signals = []
    for number in arranged.numbers:
        term, signal = number.term, of_terms[number.term][number.column]
        age = number.lag * reader.control_step
        newest = round(term.delay / reader.control_step)
        signals.append(
            replace(
                signal,
                name=signal.name + (f"@-{number.lag - newest}" if number.lag > newest else ""),
                clip=term.clip or signal.clip,
                scale=term.scale,
                delay=age,
                frame=term.frame if KINDS[term.kind].framed else "",
                noise=term.noise,
                normal=term.normal,
                bias=term.bias,
            )
        )
    return signals


def _plain(
    term: Term, suite: Suite, model: mujoco.MjModel, reader: Reader, values: Values, parts: Parts
) -> Sequence[Signal]:
    """Signals of a term's values, before any change."""
    kind, layout = term.kind, reader.layout
    if kind == FORMER:
        return parts.former
    if kind in OF_BASE:
        names, unit = OF_BASE[kind]
        reach = 1.0 if unit == "1" else inf
        measured = KINDS[kind].measured
        return [Signal(f"{kind}/{name}", unit, -reach, reach, measured=measured) for name in names]
    if kind in ("joint_positions", "joint_velocities"):
        return _of_joints(term, model, reader, values, parts)
    if kind == "last_action":
        return [Signal(f"last_action/{actuator_name(model, index)}", "1", -1.0, 1.0) for index in range(model.nu)]
    if kind == "foot_contacts":
        return [Signal(f"foot_contacts/{foot}", "1", 0.0, 1.0) for foot in suite.robot.feet]
    if kind == "command":
        return list(_of_command(suite))
    return [replace(parts.readings[column], measured=_measured(model, column)) for column in _columns(term, layout)]


def _columns(term: Term, layout: Layout) -> Sequence[int]:
    return layout.sensors if term.kind == "sensors" else dict(layout.by_sensor)[term.sensor]


def _measured(model: mujoco.MjModel, column: int) -> bool:
    """Returns True if a robot can carry the sensor with this reading."""
    sensor = next(i for i in range(model.nsensor) if 0 <= column - model.sensor_adr[i] < model.sensor_dim[i])
    kind = mujoco.mjtSensor(int(model.sensor_type[sensor])).name.removeprefix("mjSENS_")
    return kind not in UNMEASURED_SENSORS


def _of_joints(term: Term, model: mujoco.MjModel, reader: Reader, values: Values, parts: Parts) -> list[Signal]:
    signals = []
    for joint in values.joints:
        position = term.kind == "joint_positions"
        column = 1 + int(model.jnt_qposadr[joint]) if position else 1 + model.nq + int(model.jnt_dofadr[joint])
        signal = parts.state[column]
        name = f"{term.kind}/{signal.name.partition('/')[2]}"
        if not position:
            signals.append(Signal(name, signal.unit))
            continue
        rest = float(reader.rest[column]) if term.relative else 0.0
        signals.append(Signal(name, signal.unit, signal.low - rest, signal.high - rest, offset=rest))
    return signals


def _of_command(suite: Suite) -> Sequence[Signal]:
    """Signals of the commands, within what they are drawn from."""
    if suite.command is None:
        return []
    low, high = suite.command.ends()
    return [
        Signal(f"command/{name}" + (f"/{AXES[place]}" if size > 1 else ""), unit, low[name][place], high[name][place])
        for name in suite.command.names
        for size, unit in (COMMANDS[name],)
        for place in range(size)
    ]

"""Wires between a policy and its robot: delays, noise, motor errors, pushes, commands, and a memory of them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mujoco
import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.sim.locomotion.arrangement import MAX_KEPT, Arrangement, Slots, whole_steps
from robometa.sim.locomotion.base import of_added, pushed_columns, sensed_quantities
from robometa.sim.locomotion.commands import Commands
from robometa.sim.locomotion.numbers import normal
from robometa.sim.locomotion.quantities import Others
from robometa.sim.locomotion.reader import MAXIMUM, Reader
from robometa.sim.locomotion.terms import TOUCHING, Seen, Values
from robometa.suites.command import COMMANDS
from robometa.suites.objective_file import WEIGHTED, is_own
from robometa.suites.sim_to_real import SimToReal
from robometa.suites.suite import Suite

DOWN = (0.0, 0.0, -1.0)
PUSH = 4
"""Numbers of a push: direction, and three turning rates."""


def needed(suite: Suite) -> bool:
    """Returns True if anything of a suite needs wires; otherwise a policy sees the state as it is, and acts at once."""
    robot = suite.robot
    plain = not (robot.terms or robot.senses or robot.real or suite.command)
    return not plain or suite.objective == WEIGHTED or is_own(suite.objective)


def arrangement_of(suite: Suite, model: mujoco.MjModel, reader: Reader, values: Values) -> Arrangement:
    """Arranges the observation of a suite."""
    commands = 0 if suite.command is None else suite.command.size
    sizes = values.sizes(model.nu, commands, reader.spaces.observation)
    return Arrangement(suite.robot.terms, sizes, reader.control_step)


class Wiring:
    """Wires of every world, on any device and in any precision.

    Everything that lasts is in `memory`, which is changed in place: a captured graph may hold its address. What is
    random comes from two tables of numbers uniform in 0..1, which the caller draws: those of a world's episode, which
    are used where it begins, and those of a step.
    """

    def __init__(self, suite: Suite, model: mujoco.MjModel, reader: Reader, count: int) -> None:
        """Prepares the wires.

        Args:
            suite: Suite of the tasks.
            model: Compiled model of the robot.
            reader: Reads its states.
            count: Worlds of all tasks together.

        Raises:
            UserError: If a delay does not fit the steps, or keeps too much.
        """
        robot, self._reader, self._layout = suite.robot, reader, reader.layout
        self._real, self._command, self._step = robot.real or SimToReal(), suite.command, reader.control_step
        self._skip, self._actuators = robot.frame_skip, model.nu
        self._values = Values(robot, model, reader.layout, reader.rest, reader.observe)
        self.arrangement = arrangement_of(suite, model, reader, self._values)
        self._plain = not robot.terms
        self.observation = reader.spaces.observation if self._plain else len(self.arrangement.numbers)
        """Numbers of an observation."""
        physics = float(model.opt.timestep)
        self._delays = [whole_steps(one, physics, "action_delay", "physics") for one in self._real.action_delay]
        self._actions = 2 + math.ceil(self._delays[1] / self._skip)
        if self._actions * model.nu > MAX_KEPT:
            raise UserError(
                f"action_delay keeps {self._actions} actions of {model.nu} numbers: at most {MAX_KEPT} numbers"
            )
        self._feet = len(dict(self._layout.added).get("feet", ()))
        self._pushed = pushed_columns(model, robot.name, robot.body) if self._real.push_every else ()
        self._own_columns()
        self.memory = reader.here(torch.zeros(count, self._kept.size))
        """Everything that lasts from step to step. `[world, number]`"""
        self.gravity = reader.here(torch.tensor(DOWN)).repeat(count, 1)
        """Direction of gravity. `[world, 3]`"""
        self.commands = self._views()
        """Commands in force by name, as views of the memory. `[world, number]`"""
        if suite.command is not None:
            self._drawn = Commands(suite.command, self.memory).drawn

    def _own_columns(self) -> None:
        """Places what is drawn and what is kept, and prepares the numbers of each term."""
        terms, real, count = self.arrangement.terms, self._real, self._actuators
        column, here = self.arrangement.column, self._reader.here
        noise, bias = (column([getattr(term, name) for term in terms]) for name in ("noise", "bias"))
        self._noisy, self._biased = (values.nonzero()[:, 0].to(self._reader.rest.device) for values in (noise, bias))
        self._noise, self._bias = here(noise[noise > 0]), here(bias[bias > 0])
        self._normal = column([float(term.normal) for term in terms])[noise > 0].bool().to(self._reader.rest.device)
        clips = [term.clip or (-math.inf, math.inf) for term in terms]
        self._low, self._high = (here(column([clip[end] for clip in clips])) for end in (0, 1))
        self._scale = here(column([term.scale for term in terms]))
        self._index = self.arrangement.index.to(self._reader.rest.device)
        size = 0 if self._command is None else self._command.size
        again = self._command is not None and self._command.resample is not None
        errors = {
            "offset": count if real.motor_offset else 0,
            "gain": count if real.gain_error else 0,
            "delay": 1 if self._delays[0] < self._delays[1] else 0,
        }
        pushes = 1 if real.push_every else 0
        waits = {"command": size, "until_command": int(again), "until_push": pushes}
        self.episode = Slots({"bias": len(self._biased), "noise": len(self._noisy), **errors, **waits})
        """Numbers of an episode."""
        resampled = {"command": size * again, "until_command": int(again), "until_push": pushes, "push": PUSH * pushes}
        self.step = Slots({"noise": len(self._noisy), **resampled})
        """Numbers of a step."""
        kept = {"samples": self.arrangement.depth * self.arrangement.size, "actions": self._actions * count}
        self._kept = Slots({**kept, "bias": len(self._biased), **errors, **waits, "air": self._feet, "clock": 1})

    def _of(self, name: str) -> Tensor:
        """A part of the memory, as a view. `[world, number]`."""
        return self._kept.of(self.memory, name)

    def _samples(self) -> Tensor:
        """Samples of all terms, the newest first, as a view. `[world, sample, number]`."""
        return self._of("samples").unflatten(1, (self.arrangement.depth, self.arrangement.size))

    def _views(self) -> dict[str, Tensor]:
        """Commands by name, as views of the memory. `[world, number]`."""
        views, first = {}, 0
        for name in () if self._command is None else self._command.names:
            views[name] = self._of("command")[:, first : first + COMMANDS[name][0]]
            first += COMMANDS[name][0]
        return views

    def assign(self, models: Sequence[mujoco.MjModel]) -> None:
        """Takes the models of the tasks, of which as many worlds follow each other for each. `[task]`."""
        directions = torch.tensor([list(model.opt.gravity) for model in models], dtype=torch.float64)
        size = directions.norm(dim=1, keepdim=True)
        directions = torch.where(size > 0, directions / size.clamp(min=1e-9), directions.new_tensor(DOWN))
        self.gravity.copy_(directions.repeat_interleave(len(self.gravity) // len(models), dim=0))

    @property
    def clock(self) -> Tensor:
        """Steps of every world since its first episode began. `[world]`."""
        return self._of("clock")[:, 0]

    @property
    def gains(self) -> Tensor | None:
        """Factor on the gains of every actuator; None if they have no error. `[world, actuator]`."""
        return 1 + self._real.gain_error * (2 * self._of("gain") - 1) if self._real.gain_error else None

    def act(self, action: Tensor) -> Tensor:
        """Converts actions to controls of every physics step, with what delays and changes them.

        Args:
            action: Actions in -1..1, outside of which they are clipped; no numbers count as 0. `[world, action]`

        Returns:
            `[world, physics step, actuator]`
        """
        action = torch.where(action.abs() < MAXIMUM, action, 0.0).clamp(-1.0, 1.0).to(self.memory.dtype)
        kept = self._of("actions").unflatten(1, (self._actions, -1))
        kept.copy_(torch.cat((action.unsqueeze(1), kept[:, :-1]), dim=1))
        delay = self._delay()
        parts = []
        for step in range(self._skip):
            place = ((delay - step) / self._skip).ceil().clamp(min=0).long()  # [world]
            chosen = kept.gather(1, place.reshape(-1, 1, 1).expand(-1, 1, kept.shape[2]))[:, 0]
            parts.append(self._reader.control(chosen))
        control = torch.stack(parts, dim=1)
        if self._real.motor_offset:
            control = control + (self._real.motor_offset * (2 * self._of("offset") - 1)).unsqueeze(1)
        return control

    def _delay(self) -> Tensor:
        """Delay of the actions, physics steps. `[world]`."""
        low, high = self._delays
        if low == high:
            return self.memory.new_full((len(self.memory),), float(low))
        return low + (self._of("delay")[:, 0] * (high - low + 1)).floor().clamp(max=high - low)

    def quantities(self, after: Tensor, sensed: Tensor) -> Others:
        """Quantities of a step that objectives may ask for. `[world, ...]` each."""
        kept = self._of("actions").unflatten(1, (self._actions, -1))
        return {
            "action": lambda: kept[:, 0],
            "last_action": lambda: kept[:, 1],
            "joint_offsets": lambda: self._values.offsets(after),
            "air_time": lambda: self._of("air") + self._step,
            "landed": lambda: self._touching(sensed).to(self.memory.dtype) * (self._of("air") > 0),
            **sensed_quantities(self._layout, sensed),
        }

    def _touching(self, sensed: Tensor) -> Tensor:
        """Marks the feet that touch something. `[world, foot]`, bool."""
        return of_added(self._layout, "feet", sensed) > TOUCHING

    def finish(self, after: Tensor, sensed: Tensor, uniform: Tensor) -> Tensor:
        """Ends a step: draws due commands anew and measures.

        Args:
            after: States after the step. `[world, state]`
            sensed: Readings. `[world, reading]`
            uniform: Numbers of the step. `[world, number]`

        Returns:
            Observations. `[world, obs]`, float32
        """
        self.clock.add_(1)
        if self._feet:
            self._of("air").copy_((self._of("air") + self._step) * ~self._touching(sensed))
        if self._command is not None and self._command.resample is not None:
            wait = self._of("until_command")
            wait.sub_(1)
            due = wait <= 0
            fresh = self._drawn(self.step.of(uniform, "command"))
            self._of("command").copy_(torch.where(due, fresh, self._of("command")))
            again = self._steps(self._command.resample, self.step.of(uniform, "until_command"))
            wait.copy_(torch.where(due, again, wait))
        samples = self._samples()
        newest = self._sample(after, sensed, self.step.of(uniform, "noise")).unsqueeze(1)
        samples.copy_(torch.cat((newest, samples[:, :-1]), dim=1))
        return self.observe(after, sensed)

    def observe(self, state: Tensor, sensed: Tensor) -> Tensor:
        """Observations from the samples that are kept. `[world, obs]`, float32."""
        return self._reader.observe(state, sensed) if self._plain else self._of("samples")[:, self._index].float()

    def push(self, state: Tensor, uniform: Tensor) -> Tensor:
        """States with the pushes that are due, after they were observed. `[world, state]`."""
        if self._real.push_every is None:
            return state
        wait = self._of("until_push")
        wait.sub_(1)
        due = (wait <= 0).to(state.dtype)
        wait.copy_(
            torch.where(wait <= 0, self._steps(self._real.push_every, self.step.of(uniform, "until_push")), wait)
        )
        numbers = self.step.of(uniform, "push")
        angle = 2 * math.pi * numbers[:, 0]
        kicks = (*(self._real.push_speed * part for part in (angle.cos(), angle.sin())),)
        kicks += tuple(self._real.push_turn * (2 * numbers[:, place] - 1) for place in (1, 2, 3))
        state = state.clone()
        for column, kick in zip(self._pushed, kicks, strict=True):
            if column is not None:
                state[:, column] += due[:, 0] * kick
        return state

    def begin(self, which: Tensor, state: Tensor, sensed: Tensor, uniform: Tensor) -> Tensor:
        """Begins episodes.

        Args:
            which: Worlds whose episode begins. `[world]`, bool
            state: States of all worlds. `[world, state]`
            sensed: Readings. `[world, reading]`
            uniform: Numbers of the episodes of all worlds, of which those that begin are used. `[world, number]`

        Returns:
            Observations of all worlds. `[world, obs]`, float32
        """
        marked = which.unsqueeze(1)
        fresh = torch.zeros_like(self.memory)
        for name in ("bias", "offset", "gain", "delay"):
            self._kept.of(fresh, name).copy_(self.episode.of(uniform, name))
        if self._command is not None:
            self._kept.of(fresh, "command").copy_(self._drawn(self.episode.of(uniform, "command")))
            if self._command.resample is not None:
                wait = self._steps(self._command.resample, self.episode.of(uniform, "until_command"))
                self._kept.of(fresh, "until_command").copy_(wait)
        if self._real.push_every is not None:
            wait = self._steps(self._real.push_every, self.episode.of(uniform, "until_push"))
            self._kept.of(fresh, "until_push").copy_(wait)
        self._kept.of(fresh, "clock").copy_(self._of("clock"))
        self.memory.copy_(torch.where(marked, fresh, self.memory))
        first = self._sample(state, sensed, self.episode.of(uniform, "noise"))
        samples = self._samples()
        samples.copy_(torch.where(marked.unsqueeze(2), first.unsqueeze(1), samples))
        return self.observe(state, sensed)

    def _sample(self, state: Tensor, sensed: Tensor, uniform: Tensor) -> Tensor:
        """Measures all terms, with their errors. `[world, number]`."""
        if self._plain:
            return state[:, :0]
        last = self._of("actions")[:, : self._actuators]
        values = self._values(Seen(state, sensed, self.gravity, last, self._of("command")))
        if len(self._biased):
            values = values.index_add(1, self._biased, self._bias * (2 * self._of("bias") - 1))
        if len(self._noisy):
            draws = torch.where(self._normal, normal(uniform), 2 * uniform - 1)
            values = values.index_add(1, self._noisy, self._noise * draws)
        return values.clamp(self._low, self._high) * self._scale

    def _steps(self, seconds: tuple[float, float], uniform: Tensor) -> Tensor:
        """Draws times in control steps. `[world, 1]`."""
        low, high = seconds
        return ((low + (high - low) * uniform) / self._step).round().clamp(min=1)

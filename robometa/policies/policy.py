"""A trained policy in a user's own loop: numpy in, numpy out, for one robot or many."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from robometa.data import Step
from robometa.errors import UserError, unknown
from robometa.escape import html_table
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.policies.experience import Experience, Transition, has_nan
from robometa.policies.one_thread import Turn, alone
from robometa.sim.oracle import HiddenNumbers
from robometa.sim.signals import robot_spaces
from robometa.suites.suite import Suite
from robometa.trials.trial import torch_on

Array = NDArray[Any]
UNITS = ("actuator", "normalized")


class Policy:
    """Acts and adapts in a loop of the user's own. `robometa.load` makes it.

    It begins as if `reset()` had been called. All worlds are of one task: a learner that pools worlds adapts to all of
    them together, any other to each alone. A call while another thread's is running is a `RuntimeError`.

    Attributes:
        suite: Suite that it acts on.
        learner: The trained learner, which acting and adapting do not change.
        learner_name: Name of the learner.
        spaces: Names, units and ranges of observations and actions, and the control rate.
        units: `actuator` or `normalized`, see `robometa.load`.
    """

    def __init__(self, learner: Learner, suite: Suite, name: str, units: str = "actuator") -> None:
        """Takes a trained learner.

        Args:
            learner: Acts and adapts.
            suite: Suite that it was trained on; it fixes observations and actions.
            name: Name of the learner.
            units: Units of the actions, `actuator` or `normalized`.

        Raises:
            UserError: If there are no such units.
        """
        if units not in UNITS:
            raise UserError(unknown("units", units, UNITS))
        self.learner, self.suite, self.learner_name, self.units = learner, suite, name, units
        self.spaces = robot_spaces(suite)
        self._hidden_numbers = HiddenNumbers(suite) if learner.sees_parameters else None
        self._turn = Turn()
        self.reset()

    def __repr__(self) -> str:
        """Learner, suite and sizes."""
        sizes = f"{len(self.spaces.observation)} observations, {len(self.spaces.action)} actions"
        return f"<policy of {self.learner_name} on {self.suite.name}: {sizes}, {self.spaces.control_hz:g} Hz>"

    def _repr_html_(self) -> str:
        """Description for a notebook, with names, units and ranges of the signals."""
        rows = [("observation", str(signal)) for signal in self.spaces.observation]
        rows += [("action", str(signal)) for signal in self.spaces.action]
        return html_table(repr(self).strip("<>"), rows)

    @alone
    def reset(
        self, worlds: int | None = None, seed: int = 0, parameters: Mapping[str, float | Sequence[float]] | None = None
    ) -> None:
        """Forgets all about the task, and begins another trial.

        Not for a new episode of the same task: a memory lasts through episodes.

        Args:
            worlds: Number of worlds; arrays then have an axis for the world. None: one world without that axis.
            seed: Seed of everything random: samples of actions, of beliefs and of plans.
            parameters: For an oracle only: the numbers that the task hides, by name.

        Raises:
            UserError: If a number is out of its range, or the learner is no oracle.
        """
        if worlds is not None and (isinstance(worlds, bool) or not isinstance(worlds, int) or worlds < 1):
            raise UserError(f"worlds must be a whole number from 1, or None for one world, not {worlds!r}")
        self._hidden = self._revealed(parameters)
        self._single, self._worlds = worlds is None, worlds or 1
        self._noise = Noise(seed, ("policy",), 1, self._worlds)
        self._acts = self._adaptations = 0
        self._adaptation: Adaptation = self.learner.begin(1, self._worlds, self._noise.fork("begin"))
        self._experience = Experience(self._worlds, self.suite.horizon)
        self._pending: tuple[Tensor, Tensor, bool] | None = None
        no_action = torch.zeros(self._worlds, len(self.spaces.action))
        self._last = no_action, no_action.sum(1), torch.zeros(self._worlds, dtype=torch.bool)

    @alone
    def act(
        self,
        obs: ArrayLike,
        reward: ArrayLike | None = None,
        done: ArrayLike | None = None,
        *,
        final_obs: ArrayLike | None = None,
        sample: bool = False,
    ) -> Array:
        """Returns the action to take now.

        Args:
            obs: Observation, in the order of `spaces.observation`. `[obs]`, or `[world, obs]`
            reward: Reward of the last action. Leave it out at the first call after `reset`, after an `adapt` that was
                given it, and where none can be measured. A number, or `[world]`
            done: True if the last action ended an episode, so that `obs` begins the next one. A bool, or `[world]`
            final_obs: Last observation of the episode that ended; without it the one before stands in for it.
            sample: Sample the action, as in training; False for the mean action.

        Returns:
            The action within the actuators' ranges, in `units`, float32. `[action]`, or `[world, action]`

        Raises:
            UserError: If an array does not fit or is not finite, or the learner cannot act without the reward.
        """
        seen = self._observed(obs)
        begun = self._outcome(seen, reward, done, final_obs)
        last = self._last if begun is None else (begun.action, begun.reward, begun.done)
        device, size = self.learner.device, len(self.spaces.action)
        noise = self._noise.fork("action", self._acts).normal(size) if sample else torch.zeros(1, self._worlds, size)
        step = Step(seen[None], *(part[None] for part in last)).to(device)
        with torch.no_grad(), torch_on(1):
            emitted, adaptation = self.learner.act(self._adaptation, step, noise.to(device))
        if bool(last[1].isnan().any()) and has_nan((emitted, adaptation)):
            raise UserError(self._needs_rewards("to act: act(obs, reward=...)"))
        action = emitted[0].float().cpu()
        if not bool(action.isfinite().all()):
            raise UserError(f"{self.learner_name} emitted an action that is not finite")
        # Nothing changes before all is known to be sound. What an engine clips, a learner is shown unclipped.
        if begun is not None:
            self._experience.add(begun)
        self._last, self._adaptation, self._pending = last, adaptation, (seen, action, sample)
        self._acts += 1
        return self._converted(action)

    @alone
    def adapt(
        self, obs: ArrayLike | None = None, reward: ArrayLike | None = None, done: ArrayLike | None = None
    ) -> None:
        """Learns from all steps since the last adaptation, for learners that adapt between rollouts.

        The arguments are the outcome of the last action. Without them that action is left out. For learners that adapt
        as they act, this changes nothing.

        Args:
            obs: Observation after the last action, before any reset. `[obs]`, or `[world, obs]`
            reward: Its reward. A number, or `[world]`
            done: True if it ended an episode; the next `act` begins another then. A bool, or `[world]`

        Raises:
            UserError: If nothing was seen yet, or the learner cannot adapt without rewards.
        """
        given = obs is not None or reward is not None or done is not None
        last = None
        if given and self._pending is not None:
            seen = self._pending[0] if obs is None else self._observed(obs)
            last = self._outcome(seen, reward, done, final_obs=None if obs is None else obs)
        if last is not None:
            self._experience.add(last)
            self._pending, self._last = None, (last.action, last.reward, last.done)
        if not len(self._experience):
            raise UserError("adapt() has nothing to learn from: act first, and pass the last action's outcome")
        if self.learner.pools_worlds and not self._experience.sampled:
            warnings.warn(
                f"{self.learner_name} compares actions, and all since the last adapt() were mean actions: "
                "act(..., sample=True) in the episodes that it shall learn from",
                stacklevel=2,
            )
        rollout = self._experience.rollout(side_by_side=self.learner.pools_worlds).to(self.learner.device)
        source = replace(self._noise.fork("adapt", self._adaptations), worlds=rollout.reward.shape[1])
        try:
            with torch_on(1):
                adaptation = self.learner.adapt(self._adaptation, rollout, source)
        except RuntimeError:  # such as a linear solver's on NaN
            if self._experience.lacks_rewards:
                raise UserError(self._needs_rewards("to adapt: act(obs, reward=...)")) from None
            raise
        if self._experience.lacks_rewards and has_nan(adaptation):
            raise UserError(self._needs_rewards("to adapt: act(obs, reward=...)"))
        self._adaptation = adaptation
        self._adaptations += 1
        self._experience.clear()

    def _needs_rewards(self, purpose: str) -> str:
        return (
            f"{self.learner_name} needs the reward of every action {purpose}. "
            "docs/deployment.md says what to pass where none can be measured"
        )

    def _observed(self, values: ArrayLike) -> Tensor:
        """Checks an observation, and appends what only an oracle sees. `[world, obs]`."""
        if self._hidden_numbers is not None and self._hidden is None:
            raise UserError(
                f"{self.learner_name} acts on what a task hides: tell it with "
                f"reset(parameters={{...}}), which needs {', '.join(self._hidden_numbers.names)}"
            )
        size = len(self.spaces.observation)
        seen = self._checked("obs", values, (size,))
        wrong = np.argwhere(~np.isfinite(seen))
        if len(wrong):
            world, place = wrong[0]
            where = f"obs[{place}]" if self._single else f"obs[{world}, {place}]"
            name = self.spaces.observation[place].name
            raise UserError(f"{where} ({name}) is {seen[world, place]}, and must be finite")
        obs = torch.from_numpy(seen.astype(np.float32))
        return obs if self._hidden is None else torch.cat((obs, self._hidden.expand(self._worlds, -1)), dim=1)

    def _checked(self, name: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Checks an array's shape. `[world, *shape]`, float64."""
        wanted = shape if self._single else (self._worlds, *shape)
        try:
            array = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"{name} must be an array of numbers of shape {wanted}: {error}") from None
        if array.shape != wanted and not (self._single and array.size == 1 and shape == ()):
            many = f"; reset(worlds={len(array)}) is for so many worlds" if array.ndim == len(wanted) + 1 else ""
            raise UserError(f"{name} must have the shape {wanted}, not {array.shape}{many}")
        return array.reshape(self._worlds, *shape)

    def _outcome(
        self, seen: Tensor, reward: ArrayLike | None, done: ArrayLike | None, final_obs: ArrayLike | None
    ) -> Transition | None:
        """The last action with its outcome; None if no action waits for its outcome."""
        rewards = np.full(self._worlds, np.nan) if reward is None else self._checked("reward", reward, ())
        if reward is not None and not np.isfinite(rewards).all():
            raise UserError(f"reward must be finite, not {reward}; leave it out where none is measured")
        ended = np.zeros(self._worlds, dtype=bool) if done is None else self._checked("done", done, ()) != 0
        if self._pending is None:
            if self._acts == 0 and reward is not None and rewards.any():
                raise UserError(
                    f"reward {reward} belongs to no action: reset() begins a new trial and forgets the task; "
                    "leave it out between episodes of one task"
                )
            return None
        obs, action, sampled = self._pending
        over = torch.from_numpy(ended)
        last_seen = obs if final_obs is None else self._last_seen(final_obs, obs, ended)
        next_obs = torch.where(over.unsqueeze(1), last_seen, seen)
        return Transition(obs, action, torch.from_numpy(rewards.astype(np.float32)), next_obs, over, sampled)

    def _last_seen(self, final_obs: ArrayLike, obs: Tensor, ended: Array) -> Tensor:
        """Last observations of the episodes that ended; Gymnasium has None for other worlds. `[world, obs]`."""
        if isinstance(final_obs, np.ndarray) and final_obs.dtype == object:
            own = obs[:, : len(self.spaces.observation)].numpy()
            final_obs = np.stack([own[world] if row is None else row for world, row in enumerate(final_obs)])
        observed: Tensor = self._observed(final_obs)
        return observed

    def _converted(self, action: Tensor) -> Array:
        """Actions within their bounds, in the units asked for."""
        within = action.clamp(-1.0, 1.0).numpy()
        if self.units == "actuator":
            within = self.spaces.in_actuator_units(within).astype(np.float32)
        return within[0] if self._single else within

    def _revealed(self, parameters: Mapping[str, float | Sequence[float]] | None) -> Tensor | None:
        """Numbers of the task that an oracle sees. `[number]`."""
        if parameters is None:
            return None
        if self._hidden_numbers is None:
            raise UserError(f"{self.learner_name} is no oracle: it finds out by itself what a task hides")
        values = dict(self.suite.train[0].parameters)
        for name, value in parameters.items():
            if name not in values:
                raise UserError(unknown("parameter", name, values, self.suite.name))
            numbers = tuple(np.asarray(value, dtype=np.float64).ravel().tolist())
            if len(numbers) != len(values[name]):
                raise UserError(f"parameter {name} has {len(values[name])} numbers, not {len(numbers)}")
            values[name] = numbers
        missing = [
            name
            for name in values
            if name not in parameters and any(name in revealed.split() for revealed in self._hidden_numbers.names)
        ]
        if missing:
            raise UserError(f"missing parameter {missing[0]!r}: {self.learner_name} is shown {', '.join(values)}")
        return self._hidden_numbers(replace(self.suite.train[0], parameters=tuple(values.items())))

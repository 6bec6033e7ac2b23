"""A replay of whole trials, from which sequences are cut for learners with a memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import uploaded
from robometa.data import Spaces, Step, Trial
from robometa.rl.replay import TrialReplay

MARKS = 4
"""Columns after those of a step: reward, and the three marks."""


class Sequences(NamedTuple):
    """Steps of trials in a row. A row is the input of a memory before an action, and the outcome of that action."""

    seen: Step
    """Observation, and previous action, reward and end. `[n, time + 1, ...]` each"""
    reward: Tensor
    """Reward of the action, with the charge of a divergence. `[n, time + 1]`"""
    counted: Tensor
    """1 where a step's value counts for the steps before it. `[n, time + 1]`"""
    learned: Tensor
    """1 where there is an action to learn from. `[n, time + 1]`"""
    last: Tensor
    """1 in the row after a trial's last action. `[n, time + 1]`"""

    @staticmethod
    def width(spaces: Spaces) -> int:
        """Numbers of a row."""
        return spaces.observation + spaces.action + 2 + MARKS

    @classmethod
    def of_columns(cls, columns: Tensor, spaces: Spaces) -> Sequences:
        """Sequences from a replay's single tensor. `[n, time + 1, width]`."""
        obs, action, rest = columns.split((spaces.observation, spaces.action, 2 + MARKS), dim=-1)
        last_reward, last_done, *others = rest.unbind(-1)
        return cls(Step(obs, action, last_reward, last_done), *others)

    def action(self) -> Tensor:
        """Actions of all rows but the last: what each next row has seen. `[n, time, action]`."""
        return self.seen.last_action[:, 1:]

    def unfit(self) -> Tensor:
        """1 where a step diverged by an unfit action, from which nothing is learned. `[n, time + 1]`."""
        return self.counted * (1 - self.learned) * (1 - self.last)

    def sound(self) -> Tensor:
        """1 where an action can be learned from: the value that follows it is in the sequence, or 0. `[n, time]`."""
        follows = (self.counted - self.unfit() + self.last).flip(1).cumsum(dim=1).flip(1)[:, 1:] > 0
        return self.learned[:, :-1] * follows

    def targets(self, value: Tensor, discounts: Tensor, trace: float = 0.0) -> Tensor:
        """Targets r_t + discount^n * V_s, where s is the next row that counts, n rows later.

        With a trace, V_s is a mix of that value and the target of row s, if the sequence holds what follows it. Where
        row s diverged by an unfit action it is the target, so that the steps before are charged, too.

        As for the other learners with a memory, a value counts across the ends of episodes, and steps between a fall
        and the end of its rollout do not count.

        Args:
            value: Value of each row, by discount. `[n, time + 1, discount]`
            discounts: `[discount]`
            trace: Weight of the next row's target beside its value, 0 to 1.

        Returns:
            `[n, time, discount]`
        """
        counted, reward = self.counted.unsqueeze(-1) > 0, self.reward.unsqueeze(-1)
        mixed, unfit = trace * self.sound().unsqueeze(-1), self.unfit().unsqueeze(-1) > 0
        ahead, result = torch.where(counted[:, -1], value[:, -1], 0.0), []
        for time in reversed(range(value.shape[1] - 1)):
            ahead = discounts * ahead
            result.append(reward[:, time] + ahead)
            kept = torch.where(unfit[:, time], result[-1], torch.lerp(value[:, time], result[-1], mixed[:, time]))
            ahead = torch.where(counted[:, time], kept, ahead)
        return torch.stack(result[::-1], dim=1)


def rows_of(trial: Trial) -> Tensor:
    """Rows of a trial, one more than it has steps, for each of its worlds. `[world, time + 1, width]`."""
    whole = trial.joined()
    seen = whole.seen()
    counted = torch.cat([rollout.first_episode() for rollout in trial.rollouts], dim=2)
    goes_on = counted[:, :, -1:] & ~whole.terminated[:, :, -1:]
    none = torch.zeros_like(goes_on)
    marks = (
        torch.cat((whole.reward, none), dim=2),
        torch.cat((counted, goes_on), dim=2),
        torch.cat((counted & ~whole.actionless(), none), dim=2),
        torch.cat((torch.zeros_like(counted), ~none), dim=2),
    )
    parts = (seen.last_reward, seen.last_done, *marks)
    numbers = torch.stack([part.float() for part in parts], dim=-1)
    return torch.cat((seen.obs, seen.last_action.clamp(-1, 1), numbers), dim=-1).flatten(0, 1)


class TrialCrops(TrialReplay):
    """A ring of whole trials, from which parts are drawn."""

    def __init__(self, capacity: int, width: int, device: torch.device | str = "cpu") -> None:
        """Room for `capacity` trials, whose rows have `width` numbers."""
        super().__init__(capacity, device)
        self.width = width

    def crops(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Cuts sequences of at most `length` steps and one row out of trials, drawn with replacement.

        Each begins at a place drawn uniformly from before the trial to its end, and is moved into the trial. So many
        sequences begin with the trial, as a memory in acting does, and as many end with it; one as long as a trial is
        all of it.

        Returns:
            `[count, time + 1, width]`
        """
        assert self.rows is not None
        trials = self.rows.rings[0].unflatten(1, (-1, self.width))
        steps = trials.shape[1] - 1
        length = min(length, steps)
        row = torch.randint(min(len(self), self.capacity), (count, 1), generator=generator)
        start = torch.randint(1 - length, steps, (count, 1), generator=generator)
        place = start.clamp(0, steps - length) + torch.arange(length + 1)  # [count, time + 1]
        return trials[uploaded(row, self.device), uploaded(place, self.device)]


def prefetched(drawn: Iterator[tuple[Tensor, ...]], device: torch.device, many: int) -> Iterator[list[Tensor]]:
    """Stacks what is drawn for `many` gradient steps at a time, on the device. `[step, ...]` each."""
    rows: list[tuple[Tensor, ...]] = []
    for row in drawn:
        rows.append(row)
        if len(rows) == many:
            yield [uploaded(torch.stack(part), device) for part in zip(*rows, strict=True)]
            rows = []
    if rows:
        yield [uploaded(torch.stack(part), device) for part in zip(*rows, strict=True)]

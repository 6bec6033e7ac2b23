"""Replay buffers: transitions by task, whole trials, and windows of recent experience."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import uploaded
from robometa.data import Rollout, Spaces


class Transitions(NamedTuple):
    """Steps as off-policy learners keep them. `[..., width]` each."""

    obs: Tensor
    """Before the action."""
    action: Tensor
    """Clipped to -1..1, as the engine does."""
    reward: Tensor
    """`[..., 1]`"""
    next_obs: Tensor
    """After the action, before any reset."""
    terminated: Tensor
    """1 where the step ended the task itself; a time limit is not a termination. `[..., 1]`"""

    @staticmethod
    def widths(spaces: Spaces) -> tuple[int, int, int, int, int]:
        """Width of each part."""
        return spaces.observation, spaces.action, 1, spaces.observation, 1

    @classmethod
    def of_rollout(cls, rollout: Rollout) -> Transitions:
        """The transitions of a rollout. `[task, world, time, ...]`."""
        reward, terminated = rollout.reward.unsqueeze(-1), rollout.terminated.float().unsqueeze(-1)
        return cls(rollout.obs, rollout.action.clamp(-1, 1), reward, rollout.next_obs, terminated)

    @classmethod
    def of_columns(cls, columns: Tensor, spaces: Spaces) -> Transitions:
        """Transitions from a replay's single tensor. `[..., width]`."""
        return cls(*columns.split(cls.widths(spaces), dim=-1))

    def columns(self) -> Tensor:
        """All parts in one tensor. `[..., width]`."""
        return torch.cat(self, dim=-1)


def columns_without(rollout: Rollout, left_out: Tensor) -> list[Tensor]:
    """Each task's transitions, without the steps that are marked. `[task]` of `[n, width]`.

    Args:
        rollout: Steps to take.
        left_out: `[task, world, time]`, bool
    """
    columns = Transitions.of_rollout(rollout).columns()
    if not bool(left_out.any()):
        return list(columns.flatten(1, 2))
    return [of_task[kept] for of_task, kept in zip(columns, ~left_out, strict=True)]


class TaskReplay:
    """A ring buffer of transitions for each task, allocated at the task's first transitions."""

    def __init__(self, capacity: int, width: int, device: torch.device | str = "cpu") -> None:
        """Buffers of `capacity` transitions of `width` numbers each."""
        self.capacity, self.width, self.device = capacity, width, torch.device(device)
        self.rings: dict[int, Tensor] = {}
        self.added: dict[int, int] = {}

    def add(self, task: int, transitions: Tensor) -> None:
        """Adds transitions of one task, over the oldest where the ring is full. `[n, width]`."""
        if task not in self.rings:
            self.rings[task] = torch.empty(self.capacity, self.width, device=self.device)
            self.added[task] = 0
        transitions = transitions[-self.capacity :]
        places = (self.added[task] + torch.arange(len(transitions), device=self.device)) % self.capacity
        self.rings[task][places] = transitions
        self.added[task] += len(transitions)

    def renew(self, tasks: Sequence[int], transitions: Sequence[Tensor]) -> None:
        """Replaces the experience of tasks, which may repeat; a task without transitions keeps its old ones.

        Args:
            tasks: `[n]`
            transitions: Of each of them. `[n]` of `[count, width]`
        """
        latest = [(task, some) for task, some in zip(tasks, transitions, strict=True) if len(some)]
        for task in {task for task, _ in latest}:
            self.added[task] = 0
        for task, some in latest:
            self.add(task, some)

    def tasks(self) -> list[int]:
        """Tasks that have transitions."""
        return sorted(task for task, added in self.added.items() if added)

    def sample(self, tasks: list[int], count: int, generator: torch.Generator) -> Tensor:
        """Transitions drawn with replacement. `[task, count, width]`."""
        places = uploaded(self.places(tasks, count, generator), self.device)
        return torch.stack([self.rings[task][some] for task, some in zip(tasks, places, strict=True)])

    def places(self, tasks: list[int], count: int, generator: torch.Generator) -> Tensor:
        """Places in the tasks' rings, drawn with replacement. `[task, count]`, on the CPU."""
        filled = (min(self.added[task], self.capacity) for task in tasks)
        return torch.stack([torch.randint(length, (count,), generator=generator) for length in filled])

    def take(self, tasks: list[int], places: Tensor) -> Tensor:
        """Transitions at the given places of many tasks, which may repeat. `[n, count, width]`.

        Args:
            tasks: `[n]`
            places: In each one's ring, on the CPU. `[n, count]`
        """
        # One gather for each ring, then back to the order asked for.
        order = sorted(range(len(tasks)), key=tasks.__getitem__)
        places = uploaded(places[order], self.device)
        parts, start = [], 0
        for task, members in groupby(order, key=tasks.__getitem__):
            end = start + len(list(members))
            parts.append(self.rings[task][places[start:end]])
            start = end
        taken = torch.cat(parts)
        return torch.empty_like(taken).index_copy_(0, uploaded(torch.tensor(order), self.device), taken)

    def state_dict(self) -> dict[str, Tensor]:
        """The filled part of every ring, and how much was added to each."""
        rings = {f"ring/{task}": ring[: self.added[task]] for task, ring in self.rings.items()}
        added = {f"added/{task}": torch.tensor(added) for task, added in self.added.items()}
        return rings | added

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state."""
        self.rings, self.added = {}, {}
        for name, added in state.items():
            kind, task = name.split("/")
            if kind == "added":
                ring, rows = torch.empty(self.capacity, self.width, device=self.device), state[f"ring/{task}"]
                filled = min(int(added), self.capacity)
                if rows.shape != (filled, self.width) or rows.dtype != ring.dtype:
                    raise ValueError(f"ring/{task} must be {[filled, self.width]} {ring.dtype}")
                ring[:filled] = rows
                self.rings[int(task)], self.added[int(task)] = ring, int(added)


class TrialReplay:
    """A ring buffer of whole trials, allocated at the first; all have its length."""

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        """Room for `capacity` trials."""
        self.capacity, self.device = capacity, torch.device(device)
        self.rows: TaskReplay | None = None

    def add(self, trials: Tensor) -> None:
        """Adds trials over the oldest. `[trial, time, width]`."""
        if self.rows is None:
            self.rows = TaskReplay(self.capacity, trials.shape[1:].numel(), self.device)
        self.rows.add(0, trials.flatten(1))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Trials drawn with replacement. `[trial, time * width]`."""
        assert self.rows is not None
        return self.rows.sample([0], count, generator)[0]

    def __len__(self) -> int:
        """Number of trials added so far."""
        return 0 if self.rows is None else self.rows.added[0]

    def state_dict(self) -> dict[str, Tensor]:
        """The trials, and how many were added."""
        return {} if self.rows is None else self.rows.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state."""
        self.rows = None
        if state:
            self.rows = TaskReplay(self.capacity, state["ring/0"].shape[1], self.device)
            self.rows.load_state_dict(state)


class Windows(NamedTuple):
    """Windows of trials, split into past and future. Steps of weight 0 are to be ignored."""

    past: Tensor
    """The steps before. `[window, past, width]`"""
    past_weight: Tensor
    """1 where a past step counts, 0 where the window exceeds the allowed range. `[window, past]`"""
    future: Tensor
    """The steps after. `[window, future, width]`"""
    future_weight: Tensor
    """1 where a future step counts, else 0; the first always counts. `[window, future]`"""


class WindowReplay:
    """The latest trials of single worlds, from which windows are cut."""

    def __init__(self, capacity: int, width: int, device: torch.device | str = "cpu") -> None:
        """Room for about `capacity` steps of `width` numbers each, and for one trial at least."""
        self.capacity, self.device = capacity, torch.device(device)
        self.steps = torch.empty(0, 0, width, device=self.device)  # [row, time, width]
        self.episode = torch.empty(0, 0, dtype=torch.int64, device=self.device)

    def add(self, steps: Tensor, done: Tensor) -> None:
        """Adds trials of worlds; replaces the oldest when full.

        Args:
            steps: `[world, time, width]`, equally long every time.
            done: True where a step ended an episode. `[world, time]`, bool
        """
        # Number of the episode that each step belongs to. [world, time]
        episode = torch.cumsum(done.long(), dim=1) - done.long()
        rows = max(1, self.capacity // steps.shape[1])
        for name, new in (("steps", steps), ("episode", episode)):
            kept = getattr(self, name)
            if not len(kept):
                kept = new[:0]
            # The ring is kept in the order of age: what is cut off is the oldest.
            setattr(self, name, torch.cat((kept, new))[-rows:])

    def sample(
        self, count: int, past: int, future: int, generator: torch.Generator, across_episodes: bool = False
    ) -> Windows:
        """Windows around moments drawn at random.

        A window never leaves the episode of its first future step, unless it may go on `across_episodes` of a trial.
        Fewer steps than asked for count at the beginning of an episode, perhaps none, and at its end.
        """
        rows, time = self.episode.shape
        # Moments drawn uniformly; windows around them. [window, past + future]
        row = torch.randint(rows, (count, 1), generator=generator).to(self.device)
        moment = torch.randint(time, (count, 1), generator=generator).to(self.device)
        place = moment + torch.arange(-past, future, device=self.device)  # [window, past + future]
        inside = (place >= 0) & (place < time)
        place = place.clamp(0, time - 1)
        if not across_episodes:
            # Steps of other episodes do not count.
            inside &= self.episode[row, place] == self.episode[row, moment]
        steps, weight = self.steps[row, place], inside.to(self.steps.dtype)
        return Windows(steps[:, :past], weight[:, :past], steps[:, past:], weight[:, past:])

    def state_dict(self) -> dict[str, Tensor]:
        """Steps and their episode numbers."""
        return {"steps": self.steps, "episode": self.episode}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state."""
        for name in ("steps", "episode"):
            known, new = getattr(self, name), state[name]
            if new.dtype != known.dtype or new.dim() != known.dim() or new.shape[2:] != known.shape[2:]:
                raise ValueError(f"{name} must be {[*known.shape]} {known.dtype}")
        if state["steps"].shape[:2] != state["episode"].shape:
            raise ValueError("steps and episode must be equally long")
        self.steps, self.episode = state["steps"].to(self.device), state["episode"].to(self.device)

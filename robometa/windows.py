"""Windows of recent experience: the steps before a moment, to learn from, and the steps after it, to be judged on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Windows(NamedTuple):
    """Pieces of trials, cut in two. What a weight of 0 stands on is to be left out."""

    past: Tensor
    """The steps before. `[window, past, width]`"""
    past_weight: Tensor
    """1 where a step counts, 0 where the window reaches beyond what is allowed. `[window, past]`"""
    future: Tensor
    """The steps after. `[window, future, width]`"""
    future_weight: Tensor
    """The same for these; the first always counts. `[window, future]`"""


class WindowReplay:
    """The latest trials of single worlds, from which windows are cut."""

    def __init__(self, capacity: int, width: int, device: torch.device | str = "cpu") -> None:
        """Room for about `capacity` steps of `width` numbers each, and for one trial at least."""
        self.capacity, self.device = capacity, torch.device(device)
        self.steps = torch.empty(0, 0, width, device=self.device)  # [row, time, width]
        self.episode = torch.empty(0, 0, dtype=torch.int64, device=self.device)

    def add(self, steps: Tensor, done: Tensor) -> None:
        """Adds what happened in worlds, over the oldest where there is no more room.

        Args:
            steps: `[world, time, width]`, equally long every time.
            done: Whether a step ended an episode. `[world, time]`, bool
        """
        episode = torch.cumsum(done.long(), dim=1) - done.long()
        rows = max(1, self.capacity // steps.shape[1])
        for name, new in (("steps", steps), ("episode", episode)):
            held = getattr(self, name)
            if not len(held):
                held = new[:0]
            # The ring is kept in the order of age: what is cut off is the oldest.
            setattr(self, name, torch.cat((held, new))[-rows:])

    def sample(
        self, count: int, past: int, future: int, generator: torch.Generator, across_episodes: bool = False
    ) -> Windows:
        """Windows around moments drawn at random.

        A window never leaves the episode of its first future step, unless it may go on `across_episodes` of a trial.
        Fewer steps than asked for count at the beginning of an episode, perhaps none, and at its end.
        """
        rows, time = self.episode.shape
        row = torch.randint(rows, (count, 1), generator=generator).to(self.device)
        moment = torch.randint(time, (count, 1), generator=generator).to(self.device)
        place = moment + torch.arange(-past, future, device=self.device)  # [window, past + future]
        inside = (place >= 0) & (place < time)
        place = place.clamp(0, time - 1)
        if not across_episodes:
            inside &= self.episode[row, place] == self.episode[row, moment]
        steps, weight = self.steps[row, place], inside.to(self.steps.dtype)
        return Windows(steps[:, :past], weight[:, :past], steps[:, past:], weight[:, past:])

    def state(self) -> dict[str, Tensor]:
        """What is held."""
        return {"steps": self.steps, "episode": self.episode}

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state` gave."""
        self.steps, self.episode = state["steps"].to(self.device), state["episode"].to(self.device)

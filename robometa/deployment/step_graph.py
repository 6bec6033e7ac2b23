"""The graph of one step: it acts as the learner does, for one world."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robometa.data import Step
from robometa.deployment.tensors import Layout, leaves_of
from robometa.learners.protocol import Learner
from robometa.sim.signal import RobotSpaces

INPUTS = ("obs", "last_action", "last_reward", "last_done", "noise")
"""Inputs of every step; the adaptation's tensors follow."""
OUTPUTS = ("emitted_action", "action")
"""Outputs of every step; the tensors that acting changes follow, with `NEXT` after their names."""
NEXT = "_next"
"""Ending of the name of an output that is the next value of an input."""


class StepGraph(nn.Module):
    """The learner's own `act`, and the action in the actuators' units.

    Zero noise gives the mean action. Tensors of the adaptation that are baked in are constants of the graph.
    """

    def __init__(self, learner: Learner, layout: Layout, spaces: RobotSpaces, baked: bool) -> None:
        """Takes the learner, whose tensors become constants.

        Args:
            learner: Acts.
            layout: Tensors of its adaptation.
            spaces: Ranges of the actions.
            baked: Use the initial values of the tensors that acting does not change, instead of inputs.
        """
        super().__init__()
        self.learner, self.layout = learner, layout
        self.fed = [part for part in layout.parts if part.acts or not baked]
        self.carried = [part for part in layout.parts if part.acts]
        middle, half = spaces.middle_and_half
        self.offset, self.factor = (torch.from_numpy(part).float() for part in (middle, half))
        self.plain = not self.offset.any() and bool((self.factor == 1.0).all())
        """Actions in the actuators' units are numbers from -1 to 1."""
        self.ends = None if spaces.mapping is None else [torch.from_numpy(end).float() for end in spaces.ends]

    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [*INPUTS, *(part.name for part in self.fed)]

    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [*OUTPUTS, *(part.name + NEXT for part in self.carried)]

    def examples(self, observation: int) -> tuple[Tensor, ...]:
        """Example inputs, for an observation of so many numbers."""
        action = len(self.offset)
        given = (torch.zeros(1, size) for size in (observation, action, 1, 1, action))
        return *given, *(part.initial for part in self.fed)

    def forward(
        self, obs: Tensor, last_action: Tensor, last_reward: Tensor, last_done: Tensor, noise: Tensor, *fed: Tensor
    ) -> tuple[Tensor, ...]:
        """Emitted action, action, and the tensors that acting changes. `[1, number]` each."""
        # An end is given as a number, 0 or 1, as all inputs are.
        step = Step(obs[None], last_action[None], last_reward, last_done > 0.5)
        given = dict(zip((part.name for part in self.fed), fed, strict=True))
        whole = [given.get(part.name, part.initial) for part in self.layout.parts]
        emitted, after = self.learner.act(self.layout.joined(whole), step, noise[None])
        action = emitted.clamp(-1.0, 1.0)
        if not self.plain:
            action = self.offset + self.factor * action
        action = action if self.ends is None else action.clamp(*self.ends)
        pairs = zip(self.layout.parts, leaves_of(after), strict=True)
        changed = [leaf.reshape(1, -1) for part, leaf in pairs if part.acts]
        return emitted.reshape(1, -1), action.reshape(1, -1), *changed

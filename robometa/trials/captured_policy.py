"""A learner's actions throughout a rollout, each one launch of a captured graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from robometa.compute import cuda_graphs
from robometa.data import Step
from robometa.errors import UserError
from robometa.learners.protocol import Adaptation, Learner


class PolicyGraph:
    """Acts as the learner does, by a graph that is captured for one rollout: the next may have other parameters.

    The graph reads what the worlds show, and the adaptation, from tensors that stay where they are, and leaves action
    and adaptation there; a counter on the device says which row of the noise is next.
    """

    def __init__(self, learner: Learner, adaptation: Adaptation, step: Step, draws: Tensor) -> None:
        """Captures how the learner acts.

        Args:
            learner: Acts, asking the device nothing.
            adaptation: What it knows at first.
            step: What the worlds show at first.
            draws: Noise of the whole rollout. `[task, world, time, action]`
        Raises: UserError: If there is no GPU, or the adaptation holds more than tensors: a graph would never see it
            change.
        """
        if not cuda_graphs.captures(draws.device):
            raise UserError(
                f"policy_graph needs a learner on a GPU, not on {draws.device}: leave it out, or --device cuda"
            )
        found = _leaves(adaptation)
        if not all(isinstance(leaf, Tensor) for leaf in found):
            name = type(learner).__name__
            raise UserError(f"{name} cannot act by a graph, as its adaptation is not of tensors alone: no policy_graph")
        self._learner, self._draws = learner, draws.movedim(2, 0).contiguous()
        self._adaptation = tree_map_only(Tensor, torch.clone, adaptation)
        self._step = Step(**{name: tensor.clone() for name, tensor in vars(step).items()})
        self._time = torch.zeros(1, dtype=torch.int64, device=draws.device)
        self._action = torch.empty_like(self._draws[0])
        self._launch = cuda_graphs.torch_graph(self._act, draws.device)
        self._time.zero_()  # capturing has tried it
        self._know(found)

    def act(self, step: Step) -> tuple[Tensor, Adaptation]:
        """As the learner does, on the next noise. What it returns holds until the next call."""
        for name, tensor in vars(step).items():
            getattr(self._step, name).copy_(tensor)
        self._launch()
        return self._action, self._adaptation

    def _act(self) -> None:
        noise = self._draws.index_select(0, self._time)[0]
        action, after = self._learner.act(self._adaptation, self._step, noise)
        self._action.copy_(action)
        self._know([leaf.clone() for leaf in _leaves(after)])  # it may hold a part of the one before elsewhere
        self._time += 1

    def _know(self, leaves: list[Tensor]) -> None:
        for kept, leaf in zip(_leaves(self._adaptation), leaves, strict=True):
            kept.copy_(leaf)


def _leaves(adaptation: Adaptation) -> list[Any]:
    """What an adaptation holds, in its order, but for what is None."""
    return [leaf for leaf in tree_leaves(adaptation) if leaf is not None]

"""Acting by a captured CUDA graph: one launch for each step of a rollout."""

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

    The graph reads the step and the adaptation from fixed tensors, and writes action and adaptation to fixed tensors.
    A counter on the device selects the next row of the noise.
    """

    def __init__(self, learner: Learner, adaptation: Adaptation, step: Step, draws: Tensor) -> None:
        """Captures the learner's `act`.

        Args:
            learner: Acts without a synchronisation with the device.
            adaptation: The adaptation at the rollout's start.
            step: The first step of the rollout.
            draws: Noise of the whole rollout. `[task, world, time, action]`

        Raises:
            UserError: If there is no GPU, or the adaptation holds more than tensors: a graph would never see it change.
        """
        if not cuda_graphs.captures(draws.device):
            raise UserError(
                f"policy_graph needs a learner on a GPU, not on {draws.device}: leave it out, or --device cuda"
            )
        leaves = _leaves(adaptation)
        if not all(isinstance(leaf, Tensor) for leaf in leaves):
            name = type(learner).__name__
            raise UserError(f"{name} cannot act by a graph, as its adaptation is not of tensors alone: no policy_graph")
        self._learner, self._draws = learner, draws.movedim(2, 0).contiguous()
        self._adaptation = tree_map_only(Tensor, torch.clone, adaptation)
        self._step = Step(**{name: tensor.clone() for name, tensor in vars(step).items()})
        self._time = torch.zeros(1, dtype=torch.int64, device=draws.device)
        self._action = torch.empty_like(self._draws[0])
        self._launch = cuda_graphs.torch_graph(self._act, draws.device)
        self._time.zero_()  # capturing has tried it
        self._store(leaves)

    def act(self, step: Step) -> tuple[Tensor, Adaptation]:
        """Acts as the learner does, on the next noise; the next call overwrites the result."""
        for name, tensor in vars(step).items():
            getattr(self._step, name).copy_(tensor)
        self._launch()
        return self._action, self._adaptation

    def _act(self) -> None:
        noise = self._draws.index_select(0, self._time)[0]
        action, after = self._learner.act(self._adaptation, self._step, noise)
        self._action.copy_(action)
        self._store([leaf.clone() for leaf in _leaves(after)])  # it may hold a part of the one before elsewhere
        self._time += 1

    def _store(self, leaves: list[Tensor]) -> None:
        """Copies an adaptation into the fixed tensors."""
        for kept, leaf in zip(_leaves(self._adaptation), leaves, strict=True):
            kept.copy_(leaf)


def _leaves(adaptation: Adaptation) -> list[Any]:
    """Lists the tensors and other values of an adaptation in their order, without None."""
    return [leaf for leaf in tree_leaves(adaptation) if leaf is not None]

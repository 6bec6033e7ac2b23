"""Gradient steps on samples from replays; on a GPU, each step is one graph launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import CapturedSteps, captures, uploaded
from robometa.compute.precision import products_in_tf32
from robometa.rl.learning_rate import changed, set_learning_rate
from robometa.rl.replay import TaskReplay

STEPS_PREFETCHED = 50
"""Gradient steps on samples that are prefetched to a GPU."""
TF32 = True
"""Multiply in TF32 in a gradient step on a GPU."""


class ReplaySteps:
    """Draws tasks, transitions from several replays, and random numbers, and takes gradient steps on them."""

    def __init__(
        self,
        learn: Callable[..., Tensor],
        networks: Sequence[nn.Module],
        optimizers: Sequence[torch.optim.Optimizer],
        metrics: int,
        replays: Sequence[tuple[TaskReplay, int]],
        meta_batch: int,
        draws: Callable[[torch.Generator], tuple[Tensor, ...]],
        device: torch.device,
    ) -> None:
        """Captures nothing yet.

        Args:
            learn: Takes transitions `[task, n, width]` of each replay and then the random numbers, changes the learner
                in place without synchronising with the device, and returns metrics. `[metric]`
            networks: The networks that a step changes.
            optimizers: The optimizers that take its steps.
            metrics: Number of metrics of a step.
            replays: Replays, and the transitions per task that a step draws from each.
            meta_batch: Tasks of a step.
            draws: Draws the random numbers of a step, on the CPU.
            device: Device of the learner.
        """
        self.learn, self.networks, self.optimizers, self.device = learn, networks, optimizers, device
        self.replays, self.meta_batch, self.draws = replays, meta_batch, draws
        self.captured = (
            CapturedSteps(self.step, lambda: changed(networks, optimizers), metrics, device)
            if captures(device)
            else None
        )

    def run(self, tasks: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        """Takes the steps and returns their metrics. `[step, metric]`.

        Args:
            tasks: The tasks to draw from, each in every replay. `[n]`
            steps: Number of steps.
            generator: Of everything drawn.
        """
        if self.captured is not None:
            return self.captured.run(self._prefetched(tasks, steps, generator), steps)
        return torch.stack([self._plain(tasks, generator) for _ in range(steps)])

    def step(self, *numbers: Tensor) -> Tensor:
        """Takes one step on given samples. `[metric]`."""
        with products_in_tf32(TF32 and self.device.type == "cuda"):
            return self.learn(*numbers)

    def set_learning_rate(self, rate: float) -> None:
        """Sets the learning rate of every optimizer."""
        for optimizer in self.optimizers:
            set_learning_rate(optimizer, rate)

    def forget(self) -> None:
        """Discards the captured graph, because the learner's tensors were replaced."""
        if self.captured is not None:
            self.captured.forget()

    def _plain(self, tasks: Tensor, generator: torch.Generator) -> Tensor:
        """One step. `[metric]`."""
        chosen = self._chosen(tasks, generator)
        batches = [replay.sample(chosen, count, generator) for replay, count in self.replays]
        return self.step(*batches, *(numbers.to(self.device) for numbers in self.draws(generator)))

    def _prefetched(self, tasks: Tensor, steps: int, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """Inputs of `learn` for several steps at a time, drawn in the order of `_plain`. `[step, ...]` each.

        The host draws the next ones while the device computes.
        """
        for start in range(0, steps, STEPS_PREFETCHED):
            chosen: list[int] = []
            places: list[list[Tensor]] = [[] for _ in self.replays]
            draws = []
            for _ in range(min(STEPS_PREFETCHED, steps - start)):
                of_step = self._chosen(tasks, generator)
                chosen += of_step
                for rows, (replay, count) in zip(places, self.replays, strict=True):
                    rows.append(replay.places(of_step, count, generator))
                draws.append(self.draws(generator))
            shape = (len(draws), self.meta_batch)  # from [step * task, n, width] to [step, task, n, width]
            taken = [
                replay.take(chosen, torch.cat(rows)) for (replay, _), rows in zip(self.replays, places, strict=True)
            ]
            yield (
                *(batch.unflatten(0, shape) for batch in taken),
                *(uploaded(torch.stack(parts), self.device) for parts in zip(*draws, strict=True)),
            )

    def _chosen(self, tasks: Tensor, generator: torch.Generator) -> list[int]:
        """The tasks of a step, drawn with replacement."""
        chosen: list[int] = tasks[torch.randint(len(tasks), (self.meta_batch,), generator=generator)].tolist()
        return chosen

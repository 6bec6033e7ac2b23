"""Work captured once as a CUDA graph and launched again with one call, and gradient steps that are launched so."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor


def torch_graph(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """What launches the work again. It runs once before, to load its kernels, on whatever its tensors hold.

    Args:
        work: Reads and writes the same tensors at every call, and asks the device nothing.
        device: Where it runs.
    Raises: RuntimeError: If the work cannot be captured; a process in which that happened is best ended.
    """
    with torch.cuda.device(device):
        current, stream = torch.cuda.current_stream(), torch.cuda.Stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            work()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                work()
        finally:
            torch.cuda.set_stream(current)  # torch stays on the stream of a capture that failed
    return graph.replay


def captures(device: torch.device) -> bool:
    """Whether work on a device can be captured in a graph."""
    return device.type == "cuda"


def uploaded(numbers: Tensor, device: torch.device) -> Tensor:
    """Numbers of the processors on a device, on the way there while the host goes on."""
    if numbers.device.type == "cpu" and device.type == "cuda":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


class CapturedSteps:
    """Gradient steps on numbers that were drawn ahead, each one launch of a graph; the host runs ahead of the device.

    The graph reads the next row of buffers whose addresses stay, and a counter on the device says which that is.
    """

    def __init__(
        self,
        step: Callable[..., Tensor],
        changed: Callable[[], Sequence[Tensor]],
        metrics: int,
        device: torch.device,
    ) -> None:
        """Captures nothing yet.

        Args:
            step: Takes a row of each of the numbers, changes the learner in place and returns what to log. `[metric]`
            changed: What a step changes. Tensors that the first step makes begin as zeros.
            metrics: How many numbers a step logs.
            device: Where all of it is.
        """
        self._step, self._changed, self._metrics, self._device = step, changed, metrics, device
        self._rows: tuple[Tensor, ...] = ()
        self._row, self._taken = (torch.zeros(1, dtype=torch.int64, device=device) for _ in range(2))
        self._logged = torch.empty(0, metrics, device=device)
        self._launch: Callable[[], None] | None = None

    def run(self, pieces: Iterable[Sequence[Tensor]], steps: int) -> Tensor:
        """Takes the steps and returns what they log. `[step, metric]`

        Args:
            pieces: The numbers of some steps at a time, on the device; none has more than the first. `[step, ...]` each
            steps: Of all pieces together, at most.
        """
        if len(self._logged) < steps:
            self._logged, self._launch = torch.zeros(steps, self._metrics, device=self._device), None
        taken = 0
        self._taken.zero_()
        for piece in pieces:
            self._take_in(piece)
            if self._launch is None:
                self._launch = self._captured()
            for _ in range(len(piece[0])):
                self._launch()
            taken += len(piece[0])
        return self._logged[:taken].clone()

    def forget(self) -> None:
        """Captures anew before the next step: tensors that a step changes have been replaced by others."""
        self._launch = None

    def _take_in(self, piece: Sequence[Tensor]) -> None:
        """Puts the numbers where the graph reads them, in new buffers if the old ones do not fit."""
        kept = [rows.shape[1:] for rows in self._rows] == [part.shape[1:] for part in piece]
        if not kept or len(piece[0]) > len(self._rows[0]):
            self._rows, self._launch = tuple(torch.empty_like(part) for part in piece), None
        for rows, part in zip(self._rows, piece, strict=True):
            rows[: len(part)].copy_(part)
        self._row.zero_()

    def _work(self) -> None:
        """One step on the next row."""
        found = self._step(*(rows.index_select(0, self._row)[0] for rows in self._rows))
        self._logged.index_copy_(0, self._taken, found.unsqueeze(0))
        self._row += 1
        self._taken += 1

    def _captured(self) -> Callable[[], None]:
        """A launch of one step. Capturing tries the step: what that changes is taken back."""
        before = {id(tensor): tensor.detach().clone() for tensor in self._all_changed()}
        with warnings.catch_warnings():  # an optimiser that can be captured dislikes the step that is tried
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            launch = torch_graph(self._work, self._device)
        with torch.no_grad():
            for tensor in self._all_changed():
                if id(tensor) in before:
                    tensor.copy_(before[id(tensor)])
                else:
                    tensor.zero_()
        return launch

    def _all_changed(self) -> list[Tensor]:
        return [*self._changed(), self._row, self._taken]

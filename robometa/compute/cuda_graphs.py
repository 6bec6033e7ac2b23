"""Work captured once as a CUDA graph and launched again with one call, and gradient steps that are launched so."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten


def torch_graph(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """What launches the work again. It runs once before, to load its kernels, on whatever its tensors hold.

    Args:
        work: Reads and writes the same tensors at every call, and asks the device nothing.
        device: Where it runs.

    Raises:
        RuntimeError: If the work cannot be captured; a process in which that happened is best ended.
    """
    with torch.cuda.device(device):
        current, stream = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
        stream.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):  # the same for both, so that what cuBLAS needs of a stream is there already
            work()
            with _no_collection():
                _capture(graph, work)
        current.wait_stream(stream)
    return graph.replay


def _capture(graph: torch.cuda.CUDAGraph, work: Callable[[], None]) -> None:
    """Captures the work on the current stream.

    `torch.cuda.graph` would wait for the device and empty its memory caches, and stay on the stream if it failed.
    """
    graph.capture_begin(capture_error_mode="thread_local")
    try:
        work()
    except BaseException:
        _side_stream.cache_clear()  # it may be no good any more
        with suppress(RuntimeError):  # the work's own failure says more
            graph.capture_end()
        raise
    graph.capture_end()


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """Where a device's work is captured. One for all: cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collects no garbage: that might free what another library has on the device, which no capture survives."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


CAPTURE_GRAPHS = True
"""Capture work on a GPU; a benchmark turns it off to measure the gain, or where capturing fails."""


def captures(device: torch.device) -> bool:
    """Work on this device is captured in graphs."""
    return CAPTURE_GRAPHS and device.type == "cuda"


def uploaded(numbers: Tensor, device: torch.device) -> Tensor:
    """Numbers of the processors on a device, on the way there while the host goes on."""
    if numbers.device.type == "cpu" and device.type == "cuda":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


class _CapturedCall(NamedTuple):
    """A captured call of a function."""

    inputs: list[Tensor]
    """Where the graph reads them."""
    launch: Callable[[], None]
    output: Any
    """Output of the function, where the graph leaves it."""


class CapturedFunction:
    """A function of tensors that on a GPU is captured once for all inputs of the same shapes, and then launched.

    Where nothing can be captured it is the plain function.
    """

    def __init__(self, function: Callable[..., Any], device: torch.device, kept: int = 2) -> None:
        """Captures nothing yet.

        Args:
            function: Takes and returns tensors, or tuples of them; it asks the device nothing and draws no numbers.
                Whatever else it takes must be hashable.
            device: Where it runs.
            kept: How many graphs are kept at the most; those used last stay.
        """
        self._function, self._device, self._kept = function, device, kept
        self._graphs: dict[Hashable, _CapturedCall] = {}

    def __call__(self, *inputs: Any) -> Any:
        """What the function returns; captured, it holds until the next call.

        Raises:
            RuntimeError: If it cannot be captured.
        """
        if not captures(self._device):
            return self._function(*inputs)
        leaves, form = tree_flatten(inputs)
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        signature = (str(form), *((leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf for leaf in leaves))
        call = self._graphs.pop(signature, None)
        if call is None:
            call = self._captured(leaves, form)
        else:
            torch._foreach_copy_(call.inputs, tensors)
        self._graphs[signature] = call
        if len(self._graphs) > self._kept:
            del self._graphs[next(iter(self._graphs))]
        call.launch()
        return call.output

    def _captured(self, leaves: Sequence[Any], form: Any) -> _CapturedCall:
        """A graph that reads buffers of its own, which hold the inputs."""
        buffers = [_buffer(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        output: list[Any] = []

        def work() -> None:
            output[:] = [self._function(*tree_unflatten(buffers, form))]

        launch = torch_graph(work, self._device)
        return _CapturedCall([leaf for leaf in buffers if isinstance(leaf, Tensor)], launch, output[0])


def _buffer(tensor: Tensor) -> Tensor:
    """A copy without gaps or overlaps."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


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
        """Takes the steps and returns what they log. `[step, metric]`.

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
        same_shapes = [rows.shape[1:] for rows in self._rows] == [part.shape[1:] for part in piece]
        if not same_shapes or len(piece[0]) > len(self._rows[0]):
            self._rows, self._launch = tuple(torch.empty_like(part) for part in piece), None
        for rows, part in zip(self._rows, piece, strict=True):
            rows[: len(part)].copy_(part)
        self._row.zero_()

    def _work(self) -> None:
        """One step on the next row."""
        metrics = self._step(*(rows.index_select(0, self._row)[0] for rows in self._rows))
        self._logged.index_copy_(0, self._taken, metrics.unsqueeze(0))
        self._row += 1
        self._taken += 1

    def _captured(self) -> Callable[[], None]:
        """A launch of one step. Capturing tries the step: what that changes is taken back."""
        before = {id(tensor): tensor.detach().clone() for tensor in self._all_changed()}
        with warnings.catch_warnings():  # an optimizer that can be captured dislikes the step that is tried
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

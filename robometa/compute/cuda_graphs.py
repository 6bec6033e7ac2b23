"""CUDA graphs: work captured once and launched with one call, and gradient steps launched this way."""

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
    """Captures work as a CUDA graph and returns the call that launches it.

    The work runs once before the capture, to load its kernels, on the current contents of its tensors.

    Args:
        work: Reads and writes the same tensors at every call, without synchronising with the device.
        device: The GPU.

    Raises:
        RuntimeError: If the work cannot be captured; end the process after such a failure.
    """
    with torch.cuda.device(device):
        current, stream = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device())
        stream.wait_stream(current)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(stream):  # the same for both, so that cuBLAS has its workspace for the stream already
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
        _side_stream.cache_clear()  # the failed capture may have broken it
        with suppress(RuntimeError):  # the work's own error is more informative
            graph.capture_end()
        raise
    graph.capture_end()


@cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """A device's stream for captures; all share it, because cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disables garbage collection, which may free another library's device memory and so break the capture."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


CAPTURE_GRAPHS = True
"""Capture work on a GPU; benchmarks turn it off to measure the gain or where capturing fails."""


def captures(device: torch.device) -> bool:
    """True if work on this device is captured in graphs."""
    return CAPTURE_GRAPHS and device.type == "cuda"


def uploaded(numbers: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor from the CPU to a device, without waiting for the copy."""
    if numbers.device.type == "cpu" and device.type == "cuda":
        return numbers.pin_memory().to(device, non_blocking=True)
    return numbers.to(device)


class _CapturedCall(NamedTuple):
    """A captured call of a function."""

    inputs: list[Tensor]
    """Buffers that the graph reads."""
    launch: Callable[[], None]
    output: Any
    """Output of the function, in the buffers that the graph writes."""


class CapturedFunction:
    """A function of tensors, captured on a GPU once for each set of input shapes and then launched.

    Elsewhere it is the plain function.
    """

    def __init__(self, function: Callable[..., Any], device: torch.device, kept: int = 2) -> None:
        """Captures nothing yet.

        Args:
            function: Takes and returns tensors, or tuples of them; it neither synchronises with the device nor draws
                random numbers. Its other arguments must be hashable.
            device: Device of the tensors.
            kept: Largest number of graphs; the most recently used ones stay.
        """
        self._function, self._device, self._kept = function, device, kept
        self._graphs: dict[Hashable, _CapturedCall] = {}

    def __call__(self, *inputs: Any) -> Any:
        """Calls the function; the output of a captured call is valid until the next call.

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
        """Captures a graph that reads its own buffers, which hold the inputs."""
        buffers = [_buffer(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        output: list[Any] = []

        def work() -> None:
            output[:] = [self._function(*tree_unflatten(buffers, form))]

        launch = torch_graph(work, self._device)
        return _CapturedCall([leaf for leaf in buffers if isinstance(leaf, Tensor)], launch, output[0])


def _buffer(tensor: Tensor) -> Tensor:
    """Copies a tensor to contiguous memory."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


class CapturedSteps:
    """Gradient steps on numbers given in advance, one graph launch each; the host runs ahead of the device.

    The graph reads the next row of buffers at fixed addresses; a counter on the device holds the row's index. If the
    step cannot be captured, a warning names the reason, and the steps run without a graph.
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
            changed: Returns the tensors that a step changes. Those that the first step creates begin as zeros.
            metrics: Number of metrics that a step logs.
            device: Device of all tensors.
        """
        self._step, self._changed, self._metrics, self._device = step, changed, metrics, device
        self._rows: tuple[Tensor, ...] = ()
        self._row, self._taken = (torch.zeros(1, dtype=torch.int64, device=device) for _ in range(2))
        self._logged = torch.empty(0, metrics, device=device)
        self._launch: Callable[[], None] | None = None
        self._refused = False

    @property
    def in_graph(self) -> bool:
        """True if the next step is a launch of a graph."""
        return self._launch is not None and not self._refused

    def run(self, chunks: Iterable[Sequence[Tensor]], steps: int) -> Tensor:
        """Takes the steps and returns what they log. `[step, metric]`.

        Args:
            chunks: Numbers for several steps each, on the device; the first chunk is the largest. `[step, ...]` each
            steps: Upper limit on the steps of all chunks.
        """
        if len(self._logged) < steps:
            self._logged, self._launch = torch.zeros(steps, self._metrics, device=self._device), None
        taken = 0
        self._taken.zero_()
        for chunk in chunks:
            self._take_in(chunk)
            if self._launch is None:
                self._launch = self._captured()
            for _ in range(len(chunk[0])):
                self._launch()
            taken += len(chunk[0])
        return self._logged[:taken].clone()

    def forget(self) -> None:
        """Drops the graph, to capture again before the next step, after tensors that a step changes were replaced."""
        self._launch = None

    def _take_in(self, chunk: Sequence[Tensor]) -> None:
        """Copies the numbers to the graph's buffers, or to new ones if they do not fit."""
        same_shapes = [rows.shape[1:] for rows in self._rows] == [part.shape[1:] for part in chunk]
        if not same_shapes or len(chunk[0]) > len(self._rows[0]):
            self._rows, self._launch = tuple(torch.empty_like(part) for part in chunk), None
        for rows, part in zip(self._rows, chunk, strict=True):
            rows[: len(part)].copy_(part)
        self._row.zero_()

    def _work(self) -> None:
        """Takes one step on the next row."""
        metrics = self._step(*(rows.index_select(0, self._row)[0] for rows in self._rows))
        self._logged.index_copy_(0, self._taken, metrics.unsqueeze(0))
        self._row += 1
        self._taken += 1

    def _captured(self) -> Callable[[], None]:
        """Captures one step and returns its launch; reverts the changes of the trial step."""
        if self._refused:
            return self._work
        before = {id(tensor): tensor.detach().clone() for tensor in self._all_changed()}
        try:
            with warnings.catch_warnings():  # a capturable optimizer warns about the trial step
                warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
                launch = torch_graph(self._work, self._device)
        except RuntimeError as error:
            launch = self._uncaptured(error)
        with torch.no_grad():
            for tensor in self._all_changed():
                if id(tensor) in before:
                    tensor.copy_(before[id(tensor)])
                else:
                    tensor.zero_()
        return launch

    def _uncaptured(self, error: RuntimeError) -> Callable[[], None]:
        """Warns that the step cannot be captured, and returns the plain step.

        Raises:
            RuntimeError: If the device does not work any more.
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # the trial step ran on another stream
        reason = str(error).partition("\n")[0]
        warnings.warn(f"gradient steps run without a CUDA graph, as they cannot be captured: {reason}", stacklevel=2)
        self._refused = True
        return self._work

    def _all_changed(self) -> list[Tensor]:
        return [*self._changed(), self._row, self._taken]

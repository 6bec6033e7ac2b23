"""Work captured once as a CUDA graph and launched again with one call: by torch, or by Warp."""

from __future__ import annotations

from collections.abc import Callable

import torch
import warp


def torch_graph(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """What launches the work again. It runs once before, to load its kernels, on whatever its tensors hold.

    Args:
        work: Reads and writes the same tensors at every call, and asks the device nothing.
        device: Where it runs.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
    return graph.replay


def warp_graph(work: Callable[[], None], device: warp.Device) -> Callable[[], None]:
    """What launches the work again. It runs once before, to compile and load its kernels.

    Warp's stream and torch's default stream wait for each other on the device, so work on both keeps its order.

    Args:
        work: Launches Warp's kernels on the same arrays at every call.
        device: Where it runs.
    """
    work()
    warp.synchronize_device(device)
    with warp.ScopedDevice(device), warp.ScopedCapture() as capture:
        work()
    graph = capture.graph

    def launch() -> None:
        with warp.ScopedDevice(device):
            warp.capture_launch(graph)

    return launch

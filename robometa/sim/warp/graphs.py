"""Warp's work captured once as a CUDA graph and launched again with one call."""

from __future__ import annotations

from collections.abc import Callable

import warp


def warp_graph(work: Callable[[], None], device: warp.Device) -> Callable[[], None]:
    """Returns a function that launches the work again. It runs once before, to compile and load its kernels.

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

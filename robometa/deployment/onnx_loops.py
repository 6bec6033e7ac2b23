"""The operators of `loops` as ONNX functions. It needs the extra `onnx`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import DOUBLE, FLOAT, script
from onnxscript import opset18 as op  # the exporter converts it to its own afterwards
from onnxscript.values import Opset

from robometa.deployment import loops

OPSET = Opset("robometa", 1)


@script(OPSET, default_opset=op)  # type: ignore[untyped-decorator]
def onnx_discounted(value: FLOAT[None, None], carry: FLOAT[None, None]) -> FLOAT[None, None]:
    """Running sums backwards in time, see `loops.discounted`."""
    steps = op.Squeeze(op.Shape(value, start=1, end=2))
    values = op.Transpose(value, perm=[1, 0])
    carries = op.Transpose(carry, perm=[1, 0])
    running = op.Gather(values, steps - 1) * 0.0
    result = values
    for step in range(steps):
        time = steps - 1 - step
        running = op.Gather(values, time) + op.Gather(carries, time) * running
        result = op.ScatterND(result, op.Reshape(time, [1, 1]), op.Unsqueeze(running, [0]))
    return op.Transpose(result, perm=[1, 0])


@script(OPSET, default_opset=op)  # type: ignore[untyped-decorator]
def onnx_solved(matrix: DOUBLE[None, None], right: DOUBLE[None, 1]) -> DOUBLE[None, 1]:
    """Solution of a positive definite system by Gauss-Jordan elimination, which needs no pivots there."""
    size = op.Squeeze(op.Shape(matrix, start=0, end=1))
    places = op.Unsqueeze(op.Range(0, size, 1), [1])
    whole = op.Concat(matrix, right, axis=1)
    for place in range(size):
        row = op.Gather(whole, op.Reshape(place, [1]), axis=0)
        scaled = row / op.Gather(row, op.Reshape(place, [1]), axis=1)
        factor = op.Gather(whole, op.Reshape(place, [1]), axis=1)
        whole = op.Where(places == place, scaled, whole - factor * scaled)
    return op.Slice(whole, op.Reshape(size, [1]), op.Reshape(size + 1, [1]), [1])


TRANSLATIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.robometa.discounted.default: onnx_discounted,
    torch.ops.robometa.solved.default: onnx_solved,
}
"""ONNX functions by operator."""
assert loops.solved is not None  # importing it registers the operators

"""Recurrent cells as ONNX functions of few nodes. It needs the extra `onnx`.

A node of a small network costs about as much as its numbers. The exporter's own GRU adds two layers gate by gate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import FLOAT, script
from onnxscript import opset18 as op  # the exporter converts it to its own afterwards
from onnxscript.values import Opset

OPSET = Opset("robometa", 1)


@script(OPSET, default_opset=op)  # type: ignore[untyped-decorator]
def onnx_gru_cell(
    inputs: FLOAT[None, None],
    state: FLOAT[None, None],
    input_weight: FLOAT[None, None],
    state_weight: FLOAT[None, None],
    input_bias: FLOAT[None],
    state_bias: FLOAT[None],
) -> FLOAT[None, None]:
    """State of a GRU after one more input, see `torch.gru_cell`.

    Reset and update gate are one layer, which adds the inputs' part as it multiplies by the state.
    """
    input_r, input_z, input_n = op.Split(input_weight, axis=0, num_outputs=3)
    state_r, state_z, state_n = op.Split(state_weight, axis=0, num_outputs=3)
    input_bias_r, input_bias_z, input_bias_n = op.Split(input_bias, axis=0, num_outputs=3)
    state_bias_r, state_bias_z, state_bias_n = op.Split(state_bias, axis=0, num_outputs=3)
    bias = op.Concat(input_bias_r + state_bias_r, input_bias_z + state_bias_z, axis=0)
    seen = op.Gemm(inputs, op.Concat(input_r, input_z, axis=0), bias, transB=1)
    gates = op.Sigmoid(op.Gemm(state, op.Concat(state_r, state_z, axis=0), seen, transB=1))
    reset, update = op.Split(gates, axis=1, num_outputs=2)
    remembered = reset * op.Gemm(state, state_n, state_bias_n, transB=1)
    new = op.Tanh(remembered + op.Gemm(inputs, input_n, input_bias_n, transB=1))
    return (state - new) * update + new


TRANSLATIONS: dict[Any, Callable[..., Any]] = {torch.ops.aten.gru_cell.default: onnx_gru_cell}
"""ONNX functions by operator."""

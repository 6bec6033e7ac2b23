"""Weights of an exported graph as 8-bit whole numbers, with a scale for every output of a layer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from robometa.deployment.step_graph import INPUTS, OUTPUTS
from robometa.deployment.to_onnx import packed
from robometa.errors import UserError
from robometa.storage.scratch import scratch

WEIGHTS = ("float32", "int8")
"""Kinds of weights that an export may have."""
LAYERS = ("Gemm", "MatMul")
"""Operators of layers."""
PRODUCT = "MatMulInteger"
"""Operator that multiplies by whole numbers."""


def quantized(content: bytes) -> bytes:
    """Rounds the weights of an ONNX file, but for the outer layers; activations are rounded as they come.

    A first layer's inputs are observations, rewards and unclipped actions together, whose range is too wide for 8 bits.
    The last layer has few weights, and its errors are errors of the action.

    Args:
        content: The file.

    Raises:
        UserError: If it has no weights to round.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = onnx.load_from_string(content)
    with scratch() as folder, _quiet():
        path = folder / "int8.onnx"
        # One scale for a whole matrix costs VariBAD a third of its return.
        quantize_dynamic(
            whole, path, per_channel=True, weight_type=QuantType.QInt8, nodes_to_exclude=outer_layers(whole)
        )
        small = onnx.load(path)
    if not any(node.op_type == PRODUCT for node in small.graph.node):
        raise UserError(
            "--int8 finds no weights to round: first and last layers keep float32, and weights that are the adaptation "
            "itself are inputs of the graph, unless --after-shots bakes them in"
        )
    return packed(small, {one.key: one.value for one in onnx.load_from_string(content).metadata_props})


def outer_layers(model: Any) -> list[str]:
    """Names of the first layers and of the actions' last one; also those that the rounding gives them.

    Args:
        model: Graph of a step.
    """
    layers, raw, ends = list[str](), {*INPUTS}, {OUTPUTS[0]}
    for node in model.graph.node:
        if node.op_type in LAYERS:
            layers += [node.name] if node.input[0] in raw else []
        elif raw & {*node.input}:
            raw.update(node.output)
    for node in reversed(model.graph.node):
        if not ends & {*node.output}:
            continue
        if node.op_type in LAYERS:
            layers.append(node.name)
        else:
            ends.update(node.input)
    return [name for one in layers for name in (one, f"{one}_MatMul")]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the advice to prepare a file that is prepared."""
    log = logging.getLogger()
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)

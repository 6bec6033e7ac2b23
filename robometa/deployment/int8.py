"""Weights of an exported graph as 8-bit whole numbers, with a scale for every output of a layer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from robometa.deployment.to_onnx import packed
from robometa.errors import UserError
from robometa.storage.scratch import scratch

WEIGHTS = ("float32", "int8")
"""Kinds of weights that an export may have."""
PRODUCT = "MatMulInteger"
"""Operator that multiplies by whole numbers."""


def quantized(content: bytes) -> bytes:
    """Rounds the weights of an ONNX file; activations are rounded as they come.

    Args:
        content: The file.

    Raises:
        UserError: If it has no weights of its own, because they are its inputs.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = onnx.load_from_string(content)
    with scratch() as folder, _quiet():
        path = folder / "int8.onnx"
        # One scale for a whole matrix costs VariBAD a third of its return.
        quantize_dynamic(whole, path, per_channel=True, weight_type=QuantType.QInt8)
        small = onnx.load(path)
    if not any(node.op_type == PRODUCT for node in small.graph.node):
        raise UserError(
            "--int8 finds no weights to round: they are the adaptation itself, and so an input of the graph; "
            "--after-shots bakes them in"
        )
    return packed(small, {one.key: one.value for one in onnx.load_from_string(content).metadata_props})


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

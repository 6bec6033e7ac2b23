"""ONNX graphs as JSON, for the interpreter of the page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from robometa.errors import UserError

NAMES = """
Abs Add And Cast CastLike Clip Concat Constant ConstantOfShape Cos Div Equal Exp Expand Gather Gemm Greater
GreaterOrEqual Identity If Less LessOrEqual Log Loop MatMul Max Min Mul Neg Not Or Pow Range Reciprocal
ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape ScatterND Shape Sigmoid Sign Sin Size
Slice Softplus Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(NAMES.split())
"""Operators that `page/src/graph.js` has."""
KINDS = {
    "float32": ("f", "<f4"),
    "float64": ("d", "<f8"),
    "int64": ("i", None),
    "int32": ("i", None),
    "bool": ("b", "u1"),
}
"""Letter of a number's type in the page, and the form of its bytes; None for a list of numbers."""


def graph_of(content: bytes) -> dict[str, Any]:
    """Converts an exported ONNX file.

    Raises:
        UserError: If it has operators or numbers that the page cannot compute with.
    """
    import onnx
    from onnx import inliner

    return _graph(inliner.inline_local_functions(onnx.load_from_string(content)).graph)


def _graph(graph: Any) -> dict[str, Any]:
    return {
        "inputs": [one.name for one in graph.input],
        "outputs": [one.name for one in graph.output],
        "constants": {one.name: _tensor(one) for one in graph.initializer},
        "nodes": [_node(node) for node in graph.node],
    }


def _node(node: Any) -> list[Any]:
    if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
        raise UserError(f"the page has no operator {node.op_type}, which this policy's graph needs")
    attributes = {one.name: _attribute(one) for one in node.attribute}
    if attributes.get("reduction", "none") != "none":
        raise UserError(f"the page has no {node.op_type} with a reduction, which this policy's graph needs")
    return [node.op_type, list(node.input), list(node.output), attributes]


def _attribute(attribute: Any) -> Any:
    import onnx

    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.GraphProto):
        return _graph(value)
    if isinstance(value, onnx.TensorProto):
        return _tensor(value)
    if isinstance(value, bytes):
        return value.decode()
    return (
        value if isinstance(value, int | float) else [one.decode() if isinstance(one, bytes) else one for one in value]
    )


def _tensor(tensor: Any) -> dict[str, Any]:
    import onnx

    array = onnx.numpy_helper.to_array(tensor)
    kind = KINDS.get(str(array.dtype))
    if kind is None:
        raise UserError(f"the page has no numbers of type {array.dtype}, which this policy's graph needs")
    letter, form = kind
    if form is None:
        data: Any = [max(-(2**53), min(2**53, one)) for one in array.reshape(-1).tolist()]  # of JavaScript's integers
    else:
        data = base64.b64encode(np.ascontiguousarray(array).astype(form).tobytes()).decode("ascii")
    return {"type": letter, "dims": list(array.shape), "data": data}

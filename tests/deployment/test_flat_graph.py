"""A step's graph without axes of length 1: the same numbers, fewer nodes."""

import numpy as np
import pytest

from robometa.deployment.flat_graph import flatten

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
node, array = onnx.helper.make_node, onnx.numpy_helper.from_array


def model(nodes, constants, outputs):
    """A graph of the rows `x` and `y`."""
    value = onnx.helper.make_tensor_value_info
    constants = [array(np.asarray(one), name) for name, one in constants.items()]
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [value("x", 1, [1, 3]), value("y", 1, [1, 2])],
        [value(name, 1, [1, size]) for name, size in outputs.items()],
        constants,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def outputs_of(graph):
    onnx.checker.check_model(graph, full_check=True)
    session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.float32([[0.5, -2, 3]]), "y": np.float32([[7, -0.25]])})


def flattened(nodes, constants, outputs):
    """Kinds of the nodes that are left, once the outputs are known to be the same."""
    graph = model(nodes, constants, outputs)
    before = outputs_of(graph)
    flatten(graph)
    for one, other in zip(before, outputs_of(graph), strict=True):
        np.testing.assert_array_equal(one, other)
    return [one.op_type for one in graph.graph.node]


LAYER = [
    node("Unsqueeze", ["x", "first"], ["x3"]),
    node("Sub", ["x3", "shift"], ["moved"]),
    node("Clip", ["moved", "low", "high"], ["cut"]),
    node("Unsqueeze", ["y", "first"], ["y3"]),
    node("Concat", ["cut", "y3"], ["all"], axis=2),
    node("Reshape", ["all", "row"], ["all2"]),
    node("Gemm", ["all2", "weight"], ["parts"]),
    node("Split", ["parts"], ["left", "right"], axis=1, num_outputs=2),
    node("Reshape", ["left", "back"], ["left3"]),
    node("Tanh", ["left3"], ["mean"]),
    node("Reshape", ["mean", "row"], ["emitted"]),
]
CONSTANTS = {
    "first": np.array([0]),
    "row": np.array([1, -1]),
    "back": np.array([1, 1, -1]),
    "shift": np.float32([[[1, 2, 3]]]),
    "low": np.float32(-1),
    "high": np.float32(1),
    "weight": np.arange(20, dtype=np.float32).reshape(5, 4) / 10,
}


def test_views_of_rows_go_and_the_numbers_stay():
    assert flattened(LAYER, CONSTANTS, {"emitted": 2}) == ["Sub", "Clip", "Concat", "Gemm", "Split", "Tanh"]


def test_what_needs_its_axes_gets_them_back():
    nodes = [*LAYER, node("ReduceSum", ["mean", "axes"], ["sum"], keepdims=0)]
    kinds = flattened(nodes, CONSTANTS | {"axes": np.array([0])}, {"emitted": 2, "sum": 2})
    assert kinds.count("Reshape") == 1
    assert "Unsqueeze" not in kinds


def test_an_output_that_is_a_view_of_an_input_or_of_another_output_keeps_its_name():
    nodes = [
        node("Reshape", ["x", "back"], ["x3"]),
        node("Reshape", ["x3", "row"], ["same"]),
        node("Exp", ["x3"], ["grown"]),
        node("Reshape", ["grown", "row"], ["first_view"]),
        node("Reshape", ["grown", "row"], ["second_view"]),
        node("Neg", ["y"], ["other"]),
    ]
    kinds = flattened(nodes, CONSTANTS, {"same": 3, "first_view": 3, "second_view": 3, "other": 2})
    assert sorted(kinds) == ["Exp", "Identity", "Identity", "Neg"]


def test_a_matrix_is_no_row():
    nodes = [
        node("Reshape", ["x", "column"], ["matrix"]),
        node("MatMul", ["matrix", "y"], ["product"]),
        node("Reshape", ["product", "row"], ["out"]),
    ]
    assert flattened(nodes, CONSTANTS | {"column": np.array([3, 1])}, {"out": 6}) == ["Reshape", "MatMul", "Reshape"]


def test_a_layer_whose_weights_have_more_axes_loses_them():
    """Weights that an adaptation has made are of a task each; 8-bit weights must be matrices."""
    nodes = [
        node("Unsqueeze", ["x", "first"], ["x3"]),
        node("MatMul", ["x3", "weights"], ["product"]),
        node("Add", ["product", "bias"], ["layer"]),
        node("Reshape", ["layer", "row"], ["out"]),
    ]
    constants = CONSTANTS | {"weights": np.ones((1, 3, 4), np.float32), "bias": np.float32([[[1, 2, 3, 4]]])}
    assert flattened(nodes, constants, {"out": 4}) == ["MatMul", "Add"]

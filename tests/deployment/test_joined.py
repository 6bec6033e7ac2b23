"""A step's inputs that are normalized together, and parts of a graph that are computed at export."""

import numpy as np
import pytest

from robometa.deployment.folded import fold
from robometa.deployment.joined import join

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
node, array = onnx.helper.make_node, onnx.numpy_helper.from_array
SIZES = {"obs": 3, "last_action": 2, "last_reward": 1, "last_done": 1}
CONSTANTS = {
    "shift": np.float32([1, 2, 3]),
    "scale": np.float32([[0.5, 2, 1]]),
    "paid_shift": np.float32([-1]),
    "paid_scale": np.float32([4]),
    "low": np.float32(-10),
    "high": np.float32(10),
    "half": np.float32(0.5),
}
NORMALIZED = [
    node("Sub", ["obs", "shift"], ["moved"]),
    node("Mul", ["moved", "scale"], ["scaled"]),
    node("Clip", ["scaled", "low", "high"], ["seen"]),
    node("Sub", ["last_reward", "paid_shift"], ["paid_moved"]),
    node("Mul", ["paid_moved", "paid_scale"], ["paid_scaled"]),
    node("Clip", ["paid_scaled", "low", "high"], ["paid"]),
    node("Greater", ["last_done", "half"], ["above"]),
    node("Cast", ["above"], ["ended"], to=1),
    node("Concat", ["seen", "last_action", "paid", "ended"], ["all"], axis=-1),
]
TOGETHER = ["Concat", "Sub", "Mul", "Min", "Max"]


def graph(nodes, outputs, constants=CONSTANTS):
    """A graph of a step's inputs."""
    row = onnx.helper.make_tensor_value_info
    inputs = [row(name, 1, [1, size]) for name, size in SIZES.items()]
    outputs = [row(name, 1, shape) for name, shape in outputs.items()]
    initial = [array(value, name) for name, value in constants.items()]
    made = onnx.helper.make_graph(nodes, "graph", inputs, outputs, initial)
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def outputs_of(model, feed):
    onnx.checker.check_model(model, full_check=True)
    return runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)


def kinds_of(model):
    return [one.op_type for one in model.graph.node]


def fed(obs, reward, done):
    return {
        "obs": np.float32([obs]),
        "last_action": np.float32([[30.5, -0.25]]),
        "last_reward": np.float32([[reward]]),
        "last_done": np.float32([[done]]),
    }


@pytest.mark.parametrize("obs", [[0.5, -2, 3], [99, -99, 1], [np.nan, 0, np.inf]])
@pytest.mark.parametrize("reward", [0.125, -1e9, np.nan])
def test_inputs_are_normalized_together_and_the_numbers_stay(obs, reward):
    before, after = graph(NORMALIZED, {"all": [1, 7]}), graph(NORMALIZED, {"all": [1, 7]})
    join(after)
    assert kinds_of(after) == TOGETHER
    for done in (0, 1):
        feed = fed(obs, reward, done)
        np.testing.assert_array_equal(outputs_of(after, feed)[0], outputs_of(before, feed)[0])


def test_a_value_that_is_needed_elsewhere_stays():
    model = graph(NORMALIZED, {"all": [1, 7], "seen": [1, 3]})
    join(model)
    assert kinds_of(model) == ["Sub", "Mul", "Clip", *TOGETHER]
    whole, seen = outputs_of(model, fed([99, 2, 3], 0, 0))
    np.testing.assert_array_equal(seen, whole[:, :3])


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (2, node("Tanh", ["scaled"], ["seen"])),
        (6, node("Greater", ["last_done", "low"], ["above"])),
        (7, node("Cast", ["above"], ["ended"], to=1)),
        (1, node("Mul", ["moved", "moved"], ["scaled"])),
    ],
)
def test_inputs_that_are_changed_otherwise_are_left(place, other):
    nodes = [*NORMALIZED]
    nodes[place] = other
    if place == 7:  # another input is compared
        nodes[6] = node("Greater", ["last_reward", "half"], ["above"])
    model = graph(nodes, {"all": [1, 7]})
    join(model)
    assert kinds_of(model) == [one.op_type for one in nodes]


def test_parts_of_constants_are_computed_whatever_their_size():
    constants = {"weight": np.arange(300 * 9, dtype=np.float32).reshape(300, 9), "zero": np.zeros(300, np.float32)}
    nodes = [
        node("Split", ["weight"], ["first", "second", "third"], axis=1, num_outputs=3),
        node("Concat", ["third", "first"], ["layer"], axis=1),
        node("Slice", ["layer", "from", "to", "axis"], ["some"]),
        node("Gemm", ["obs", "some", "zero"], ["out"], transB=1),
    ]
    constants |= {"from": np.array([0]), "to": np.array([3]), "axis": np.array([1])}
    before, after = (graph(nodes, {"out": [1, 300]}, constants) for _ in range(2))
    fold(after)
    assert kinds_of(after) == ["Gemm"]
    assert sorted(one.name for one in after.graph.initializer) == ["some", "zero"]
    feed = fed([1, 2, 3], 0, 0)
    np.testing.assert_array_equal(outputs_of(after, feed)[0], outputs_of(before, feed)[0])

"""Rounded weights: refused where they keep too little, marked as what they are, checked with their own tolerance."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_export import made

from robometa.commands.export import default_folder
from robometa.commands.main import main
from robometa.deployment import forms
from robometa.deployment import kept as module
from robometa.deployment.check_export import check_export
from robometa.deployment.export import export
from robometa.deployment.int8 import outer_layers, quantized
from robometa.deployment.kept import Kept
from robometa.deployment.onnx_process import session
from robometa.deployment.to_onnx import packed
from robometa.errors import UserError

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(forms, "STEPS", 20)
    monkeypatch.setattr(module, "WORLDS", 2)


@pytest.mark.slow
def test_rounded_weights_that_keep_too_little_are_refused_unless_forced(tiny_suite, tmp_path, monkeypatch, quick):
    def kept(self, smaller, whole):
        return Kept(self.over, 0.9, 0.8, 1.0, 0.91, 0.81, 1.01)

    monkeypatch.setattr(module.Exam, "kept", kept)
    with pytest.raises(UserError, match=r"int8 keeps 90\.0 % of the gain over random actions, below 98 %; --force"):
        export(made("rl2", tiny_suite), tmp_path / "small", int8=True)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]
    found = export(made("rl2", tiny_suite), tmp_path / "small", int8=True, force=True)
    assert [line.split()[0] for line in found.forms[1:3]] == ["float32", "int8"]
    assert "90.0 % [80.0, 100.0]  91.0 % [81.0, 101.0]" in found.forms[2]
    contract = json.loads((found.folder / "contract.json").read_text())
    assert (contract["weights"], contract["kept"]["share"]) == ("int8", 0.9)
    assert 1e-5 <= contract["tolerance"] == max(1e-5, 2 * found.gap) < 0.5
    step = onnx.load(found.folder / "step.onnx")
    assert json.loads({one.key: one.value for one in step.metadata_props}["robometa_contract"])["weights"] == "int8"
    whole = {one.name: one for one in step.graph.initializer if one.data_type == onnx.TensorProto.INT8}
    assert whole
    scales = [one for one in step.graph.initializer if one.name.endswith("_scale")]
    assert max(np.prod(one.dims) for one in scales) > 1  # one for every output
    assert check_export(found.folder, tiny_suite).gap == found.gap
    again = export(made("rl2", tiny_suite), tmp_path / "again", int8=True, force=True)
    assert (again.folder / "step.onnx").read_bytes() == (found.folder / "step.onnx").read_bytes()
    contract["weights"] = "float32"
    (found.folder / "contract.json").write_text(json.dumps(contract))
    with pytest.raises(UserError, match="differ from the policy"):
        check_export(found.folder, tiny_suite)
    for wrong, message in (({"weights": "int4"}, "unknown weights 'int4'"), ({"tolerance": 1e9}, "tolerance must be")):
        (found.folder / "contract.json").write_text(json.dumps(contract | {"weights": "int8"} | wrong))
        with pytest.raises(UserError, match=message):
            check_export(found.folder, tiny_suite)


@pytest.mark.slow
def test_weights_that_are_the_adaptation_cannot_be_rounded_unless_baked(tiny_suite, tmp_path, quick):
    with pytest.raises(UserError, match="--int8 finds no weights to round"):
        export(made("maml-trpo", tiny_suite), tmp_path / "maml", int8=True)
    found = export(made("maml-trpo", tiny_suite, hidden=(8, 8)), tmp_path / "maml", int8=True, shots=1, force=True)
    assert found.forms


def test_inner_weights_become_whole_numbers_with_a_scale_for_each_output():
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("MatMul", ["obs", "w0"], ["a"], name="first"),
        node("Tanh", ["a"], ["b"]),
        node("MatMul", ["b", "w1"], ["c"], name="inner"),
        node("Tanh", ["c"], ["d"]),
        node("MatMul", ["d", "w2"], ["emitted_action"], name="last"),
    ]
    weights = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    constants = [onnx.numpy_helper.from_array(one, f"w{place}") for place, one in enumerate(weights)]
    ends = [value("obs", 1, [1, 4])], [value("emitted_action", 1, [1, 4])]
    graph = onnx.helper.make_graph(nodes, "graph", *ends, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    content = packed(model, {"key": "text"})
    small = onnx.load_from_string(quantized(content))
    assert [node.op_type for node in small.graph.node].count("MatMulInteger") == 1
    assert [[*one.dims] for one in small.graph.initializer if one.data_type == onnx.TensorProto.INT8] == [[4], [4, 4]]
    assert [(one.key, one.value) for one in small.metadata_props] == [("key", "text")]
    obs = {"obs": np.float32([[0.3, -1, 0.5, 2]])}
    (rounded,), (whole,) = (session(one).run(None, obs) for one in (quantized(content), content))
    assert 0 < np.abs(rounded - whole).max() < 0.05


def test_first_and_last_layers_keep_float32():
    node = onnx.helper.make_node
    nodes = [
        node("Clip", ["obs"], ["seen"]),
        node("Gemm", ["seen", "w"], ["a"], name="first"),
        node("Gemm", ["memory", "w"], ["b"], name="inner"),
        node("Add", ["a", "b"], ["memory_next"]),
        node("MatMul", ["memory_next", "w"], ["c"], name="hidden"),
        node("Tanh", ["c"], ["d"]),
        node("MatMul", ["d", "w"], ["e"], name="last"),
        node("Add", ["e", "noise"], ["emitted_action"]),
    ]
    graph = onnx.helper.make_model(onnx.helper.make_graph(nodes, "graph", [], []))
    assert outer_layers(graph) == ["first", "first_MatMul", "last", "last_MatMul"]


def test_the_help_names_both_options(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    said = capsys.readouterr().out
    assert "--int8" in said
    assert "98 % of the gain" in " ".join(said.split())
    assert "--force" in said


def test_neither_form_replaces_the_other():
    names = [default_folder(Path("policies") / "mine", int8) for int8 in (False, True)]
    assert names == [Path("exports/mine"), Path("exports/mine-int8")]

"""Exports that a stranger wrote: each is refused in one line, and none reads, hangs or destroys anything."""

import base64
import copy
import hashlib
import json
import os
import signal

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from robometa.deployment import export, onnx_files, places, read_export
from robometa.errors import UserError
from robometa.storage.table import Table

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CONTRACT = {
    "format": 1,
    "suite": "point-robot",
    "suite_hash": "0",
    "learner": "rl2",
    "observation": [{"name": "x"}, {"name": "y"}],
    "action": [{"name": "a"}],
    "control_hz": 10.0,
    "horizon": 100,
    "sha256": {"step.onnx": "0", "vectors.safetensors": "0"},
    "adapt": {"pools_worlds": False},
    "told": [],
    "adaptation": [{"name": "memory", "size": 2, "initial": base64.b64encode(bytes(8)).decode()}],
    "returns": {"tasks": [0, 1], "worlds": 4, "shots": 1, "by_shot": [[0.0, -1.0, 1.0], [0.0, -1.0, 1.0]]},
}


def model(*nodes, initializers=(), opsets=()):
    """An ONNX file with the input `x` and the output `y`, three numbers each."""
    value = onnx.helper.make_tensor_value_info
    ends = [value("x", onnx.TensorProto.FLOAT, [1, 3])], [value("y", onnx.TensorProto.FLOAT, [1, 3])]
    graph = onnx.helper.make_graph(list(nodes), "graph", *ends, list(initializers))
    versions = [onnx.helper.make_opsetid("", 20), *(onnx.helper.make_opsetid(name, 1) for name in opsets)]
    return onnx.helper.make_model(graph, opset_imports=versions, ir_version=10)


def node(kind, inputs, outputs, **attributes):
    """A node."""
    return onnx.helper.make_node(kind, inputs, outputs, **attributes)


def array(name, value):
    """A constant."""
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def endless():
    """A file that repeats a loop for ever."""
    value = onnx.helper.make_tensor_value_info
    body = onnx.helper.make_graph(
        [node("Identity", ["go"], ["goes"]), node("Identity", ["in"], ["out"])],
        "body",
        [value("i", 7, []), value("go", 9, []), value("in", 1, None)],
        [value("goes", 9, []), value("out", 1, None)],
    )
    many = array("many", np.int64(2**62)), array("yes", np.bool_(True))
    return model(node("Loop", ["many", "yes", "x"], ["y"], body=body), initializers=many)


def gigantic():
    """A file that asks for 160 GB."""
    nodes = (
        node("ConstantOfShape", ["shape"], ["big"]),
        node("ReduceSum", ["big"], ["sum"], keepdims=0),
        node("Add", ["x", "sum"], ["y"]),
    )
    return model(*nodes, initializers=[array("shape", np.array([400_000, 100_000]))])


def external(location):
    """A file whose numbers are in another file."""
    tensor = array("w", np.zeros((1, 3), np.float32))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(location))
    return tensor


def run(content):
    """Outputs of a file for three ones."""
    files = onnx_files.OnnxFiles(content)
    try:
        return files.run(0, {"x": np.ones((1, 3), np.float32)})
    finally:
        files.close()


def test_a_file_runs_in_its_process():
    found = run(model(node("Add", ["x", "x"], ["y"])).SerializeToString())
    assert found["y"].tolist() == [[2.0, 2.0, 2.0]]


@pytest.mark.parametrize("place", ["initializer", "constant", "branch"])
@pytest.mark.parametrize("location", ["/etc/passwd", "../numbers", "numbers"])
def test_numbers_of_another_file_are_refused(place, location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numbers").write_bytes(bytes(12))
    constant = node("Constant", [], ["w"], value=external(location))
    if place == "initializer":
        made = model(node("Add", ["x", "w"], ["y"]), initializers=[external(location)])
    elif place == "constant":
        made = model(constant, node("Add", ["x", "w"], ["y"]))
    else:
        out = onnx.helper.make_tensor_value_info("w", 1, [1, 3])
        branch = onnx.helper.make_graph([constant], "branch", [], [out])
        yes = array("yes", np.bool_(True))
        made = model(node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch), initializers=[yes])
    with pytest.raises(UserError, match="must hold its numbers"):
        run(made.SerializeToString())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot run"),
        (b"x" * 100, "damaged|cannot run"),
        (lambda: model(node("Add", ["x", "x"], ["y"], domain="evil"), opsets=["evil"]), "operators"),
        (gigantic, "memory"),
        (lambda: model(node("Cast", ["x"], ["y"], to=onnx.TensorProto.STRING)), "cannot run|no numbers"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(content, said):
    with pytest.raises(UserError, match=said) as caught:
        run(content if isinstance(content, bytes) else content().SerializeToString())
    assert "\n" not in str(caught.value)


def test_an_endless_file_ends(monkeypatch):
    monkeypatch.setattr(onnx_files, "SECONDS", 1)
    with pytest.raises(UserError, match="takes too long"):
        run(endless().SerializeToString())


def test_a_crash_is_one_line():
    files = onnx_files.OnnxFiles(model(node("Add", ["x", "x"], ["y"])).SerializeToString())
    os.kill(files._process.pid, signal.SIGSEGV)
    with pytest.raises(UserError, match="crashes onnxruntime \\(SIGSEGV\\)"):
        files.run(0, {"x": np.ones((1, 3), np.float32)})
    files.close()


def read(tmp_path, content):
    """Reads a contract."""
    return read_export.contract(tmp_path, json.dumps(content).encode())


def fault_of(tmp_path, content):
    """The fault that is found in a contract, or an empty string."""
    try:
        read(tmp_path, content)
    except UserError as error:
        return str(error)
    return ""


def test_a_sound_contract_is_read(tmp_path):
    assert read(tmp_path, CONTRACT).content == CONTRACT


def entries(table, path=()):
    """Paths of all entries of a table."""
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from entries(value, (*path, key))


WRONG = (None, [1], 10**400, -1, float("nan"), [[[]]], {"a": 1}, 0.5)


@pytest.mark.parametrize("place", list(entries(CONTRACT)), ids=".".join)
def test_a_wrong_entry_is_named(tmp_path, place):
    refused = 0
    for value in WRONG:
        changed = copy.deepcopy(CONTRACT)
        owner = changed
        for key in place[:-1]:
            owner = owner[key]
        owner[place[-1]] = value
        fault = fault_of(tmp_path, changed)
        refused += bool(fault)
        assert "\n" not in fault
    assert refused >= len(WRONG) - 1, "a control rate may be half a hertz"


@pytest.mark.parametrize(
    "changes",
    [
        {"adaptation": [{"name": "m", "size": 10**9, "initial": "standard normal"}]},
        {"adaptation": [{"name": "m", "size": 10**7, "initial": "standard normal"}]},
        {"adaptation": [{"name": "m", "size": 2, "initial": "!!!"}]},
        {"adaptation": [{"name": "m", "size": 1, "initial": base64.b64encode(b"\0\0\xc0\x7f").decode()}]},
        {"returns": CONTRACT["returns"] | {"tasks": [0] * 2000}},
        {"returns": CONTRACT["returns"] | {"tasks": [0, 0]}},
        {"returns": CONTRACT["returns"] | {"tasks": [-1]}},
        {"returns": CONTRACT["returns"] | {"by_shot": [[0.0, float("-inf"), float("inf")]] * 2}},
    ],
)
def test_numbers_without_bounds_are_refused(tmp_path, changes):
    with pytest.raises(UserError, match="is damaged"):
        read(tmp_path, CONTRACT | changes)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b'{"format": ' + b"9" * 10_000 + b"}", b"[]"])
def test_what_is_no_table_is_refused(tmp_path, content):
    with pytest.raises(UserError, match="is damaged"):
        read_export.contract(tmp_path, content)


@pytest.mark.parametrize("name", ["contract.json", "step.onnx", "adapt.onnx", "vectors.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_only_plain_files_are_read(tmp_path, name, kind):
    for file in ("contract.json", "step.onnx", "vectors.safetensors"):
        (tmp_path / file).write_bytes(b"x")
    (tmp_path / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    elif kind == "link":
        (tmp_path / name).symlink_to("/etc/passwd")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is damaged: it is no file, or a link"):
        read_export.files(tmp_path)


@pytest.mark.parametrize(
    "changed",
    [{}, {"step/obs": torch.zeros(3, 5)}, {"step/obs": torch.full((3, 2), torch.nan)}, {"start/memory": None}],
)
def test_vectors_must_fit_the_contract(tmp_path, changed):
    contract = read(tmp_path, CONTRACT)
    sound = {name: torch.zeros(shape) for name, shape in read_export._shapes(contract, 3, adapts=False).items()}
    tensors = {name: value for name, value in (sound | changed).items() if value is not None}
    content = safetensors.save(tensors if changed else {})
    assert read_export.vectors(tmp_path, safetensors.save(sound), contract, adapts=False)
    with pytest.raises(UserError, match="is damaged"):
        read_export.vectors(tmp_path, content, contract, adapts=False)


@pytest.mark.parametrize("kind", ["thesis", "file", "link", "here"])
def test_an_export_replaces_only_an_export(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine", encoding="utf-8")
    elif kind == "link":
        (tmp_path / "other").mkdir()
        out.symlink_to("other")
    else:
        out.mkdir()
        (out / "thesis.tex").write_text("mine", encoding="utf-8")
        out = type(out)() if kind == "here" else out
    for act in (lambda: places.require_place(out), lambda: export._write(out, {"step.onnx": b"x"})):
        with pytest.raises(UserError):
            act()
    assert kind != "thesis" or (out / "thesis.tex").exists()


def test_an_export_replaces_an_export(tmp_path):
    for content in (b"1", b"2"):
        export._write(tmp_path / "out", {"step.onnx": content, "contract.json": content})
    assert (tmp_path / "out" / "step.onnx").read_bytes() == b"2"


def test_the_runtime_names_a_damaged_contract(tmp_path):
    runtime = pytest.importorskip("robometa_runtime.contract")
    path = tmp_path / "contract.json"
    for content in ("[" * 100_000, "[]", json.dumps({"format": 1}), json.dumps({"format": 1, "observation": 5})):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(runtime.ContractError):
            runtime.Contract(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(runtime.ContractError, match="no file"):
        runtime.Contract(tmp_path)


WHOLE = CONTRACT | {"action": [{"name": "a", "low": -1, "high": 1.0, "safe": 0}]}


@pytest.mark.parametrize(
    "change",
    [
        *({"control_hz": value} for value in ("50", True, None, 0)),
        *({"horizon": value} for value in ("50", True, 2.5)),
        {"action": [{"name": "a", "low": "-1", "high": 1, "safe": 0}]},
        {"action": [{"name": "a", "low": -1, "high": 1, "safe": False}]},
        {"observation": [{"name": "\x1b[2J"}]},
        {"action": [{"name": "a\nb", "low": -1, "high": 1, "safe": 0}]},
    ],
    ids=str,
)
def test_the_runtime_takes_no_number_or_name_for_what_it_is_not(tmp_path, change):
    runtime = pytest.importorskip("robometa_runtime.contract")
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(WHOLE), encoding="utf-8")
    assert runtime.Contract(tmp_path).control_hz == 10
    path.write_text(json.dumps(WHOLE | change), encoding="utf-8")
    with pytest.raises(runtime.ContractError, match="is damaged") as raised:
        runtime.Contract(tmp_path)
    assert str(raised.value).isprintable()


def test_an_export_whose_signals_have_unprintable_names_is_damaged(tmp_path):
    change = {"action": [{"name": "a\nb", "low": -1, "high": 1, "safe": 0}]}
    assert "is damaged: name has signs" in fault_of(tmp_path, CONTRACT | change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"observation": [{"name": "x"}]}, "not those of its contract"),
        ({"adaptation": [{"name": 5, "size": 10**12, "initial": "standard normal"}]}, "must be texts"),
        ({"adapt.onnx": "memory"}, ""),
        ({"adapt.onnx": "secret"}, "not those of its contract"),
    ],
)
def test_the_runtime_refuses_graphs_that_do_not_fit_the_contract_before_it_acts(tmp_path, change, said):
    runtime = pytest.importorskip("robometa_runtime")
    value, number = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    names = ("emitted_action", "action")
    body = [node("ReduceSum", ["obs"], [name]) for name in names]
    graph = onnx.helper.make_graph(
        body, "step", [value("obs", number, [1, 2])], [value(one, number, [1, 1]) for one in names]
    )
    taken = change.get("adapt.onnx", "")
    learning = onnx.helper.make_graph(
        [node("Identity", [taken], ["memory_next"])],
        "adapt",
        [value(taken, number, [1, 2])],
        [value("memory_next", number, [1, 2])],
    )
    files = {"step.onnx": graph} | ({"adapt.onnx": learning} if "adapt.onnx" in change else {})
    opsets = [onnx.helper.make_opsetid("", 20)]
    hashes = {}
    for name, one in files.items():
        content = onnx.helper.make_model(one, opset_imports=opsets, ir_version=10).SerializeToString()
        (tmp_path / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    action = [{"name": "a", "low": -1, "high": 1, "safe": 0}]
    contract = CONTRACT | {"action": action} | change | {"sha256": hashes}
    (tmp_path / "contract.json").write_text(json.dumps(contract), encoding="utf-8")
    if said:
        with pytest.raises(runtime.ContractError, match=said):
            runtime.Policy(tmp_path)
    else:
        assert runtime.Policy(tmp_path).act([0.25, 0.5]) == pytest.approx([0.75])


def test_an_export_whose_replacement_was_interrupted_is_found_again(tmp_path):
    out = tmp_path / "out"
    for look in (places.require_export, places.require_place):
        (tmp_path / ".out.old").mkdir()
        (tmp_path / ".out.old" / places.CONTRACT).write_text("{}", encoding="utf-8")
        look(out)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        (out / places.CONTRACT).unlink()
        out.rmdir()


@pytest.mark.parametrize("name", ["odd", "./odd.toml"])
def test_a_suite_that_is_not_shipped_is_named_by_its_user(name):
    with pytest.raises(UserError, match=r"contract\.json is of a suite of your own, .*: name its file by --suite"):
        read_export.shipped_suite(Table(CONTRACT | {"suite": name}, "contract.json"))
    assert read_export.shipped_suite(Table(CONTRACT, "contract.json")).name == "point-robot"

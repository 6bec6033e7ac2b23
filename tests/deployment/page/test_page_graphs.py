"""The page's interpreter: it acts and adapts on recorded inputs as the policy did."""

import re

import pytest
from conftest import SMALL_OPTIONS, TINY_SUITE
from node_tools import ROOT, needs, node

from robometa import suites
from robometa.deployment.export import converted
from robometa.deployment.page.graphs import OPERATORS, graph_of
from robometa.deployment.same_inputs import SOURCE, TOLERANCE
from robometa.errors import UserError
from robometa.policies.policy import Policy
from robometa.registry.options import read_config
from robometa.trials import make

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
LEARNERS = (
    "rl2",
    "maml-trpo",
    "pearl",
    "varibad",
    "hypernetwork",
    "amago",
    "anil",
    "fomaml",
    "meta-sgd",
    "e-maml",
    "promp",
    "reptile",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
@needs()
def test_the_page_acts_and_adapts_as_the_policy_does(tmp_path, name):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE, encoding="utf-8")
    suite = suites.load(path)
    policy = Policy(make.build(name, read_config(name, SMALL_OPTIONS[name]), suite, seed=3), suite, name)
    found = converted(policy)
    drawn = next((part["size"] for part in found.contract["adaptation"] if part["initial"] == "standard normal"), 1)
    given = {
        "contract": found.contract,
        "step": graph_of(found.step),
        "adapt": None if found.adapt is None else graph_of(found.adapt),
        "vectors": {key: value.tolist() for key, value in found.vectors.items()}
        | {"draw": SOURCE.fork("adapt").normal(drawn)[0].tolist()},
    }
    answer = node("graphs.mjs", given)
    assert answer["compared"] > 200
    assert answer["gap"] <= TOLERANCE


def test_the_interpreter_has_every_operator_that_a_page_may_need():
    text = (ROOT / "page" / "src" / "graph.js").read_text(encoding="utf-8")
    tables = re.findall(r"export const (?:OPERATORS|CONTROL) = \{\n(.*?)\n\};", text, re.DOTALL)
    names = {name for table in tables for name in re.findall(r"^  (\w+)[:(]", table, re.MULTILINE)}
    assert names == OPERATORS


def test_an_unknown_operator_is_refused():
    node_ = onnx.helper.make_node("Erf", ["a"], ["b"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "ab"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node_], "graph", ends[:1], ends[1:]))
    with pytest.raises(UserError, match="no operator Erf"):
        graph_of(model.SerializeToString())

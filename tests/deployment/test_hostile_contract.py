"""A stranger's contract in the runtime: one error before a robot moves, and no action that the robot cannot take."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from robometa import suites
from robometa.deployment.export import export
from tests.conftest import TINY_SUITE
from tests.deployment.test_export import made

pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("robometa_runtime", reason="the extra onnx is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    return export(made("rl2", suites.load(folder / "tiny.toml")), folder / "export").folder


def changed(exported, tmp_path, change):
    """A copy of the export, whose contract a function changes."""
    copy = shutil.copytree(exported, tmp_path / "copy", dirs_exist_ok=True)
    contract = json.loads((copy / "contract.json").read_text())
    change(contract)
    (copy / "contract.json").write_text(json.dumps(contract))
    return copy


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("action", 0, "safe"), float("nan")),
        (("action", 0, "safe"), None),
        (("action", 0, "safe"), 1e9),
        (("action", 0, "low"), float("nan")),
        (("action",), []),
        (("observation", 0, "name"), 7),
        (("control_hz",), 0),
        (("control_hz",), float("nan")),
        (("control_hz",), 1e300),
        (("horizon",), -1),
        (("sha256",), []),
        (("sha256",), {"step.onnx": 7}),
        (("adapt",), {}),
        (("adapt", "pools_worlds"), "no"),
        (("adaptation",), None),
        (("adaptation", 0, "size"), 10**12),
        (("adaptation", 0, "size"), True),
        (("adaptation", 0, "initial"), "AAAA"),
        (("adaptation", 0, "name"), "other"),
    ],
)
def test_a_number_that_a_robot_is_driven_by_is_checked(exported, tmp_path, where, value):
    def change(contract):
        *before, last = where
        for key in before:
            contract = contract[key]
        contract[last] = value

    with pytest.raises(runtime.ContractError, match=r"contract\.json is damaged|not those of its contract"):
        runtime.Policy(changed(exported, tmp_path, change))


def test_a_graph_that_is_none_is_refused(exported, tmp_path):
    copy = changed(
        exported,
        tmp_path,
        lambda contract: contract["sha256"].update({"step.onnx": hashlib.sha256(b"none").hexdigest()}),
    )
    (copy / "step.onnx").write_bytes(b"none")
    with pytest.raises(runtime.ContractError, match="cannot be loaded"):
        runtime.Policy(copy)


def test_an_action_stays_within_the_robot_s_range(exported, tmp_path):
    def narrow(contract):
        contract["action"][0] |= {"low": -0.001, "high": 0.001, "safe": 0.0}

    robot, free = runtime.Policy(changed(exported, tmp_path, narrow)), runtime.Policy(exported)
    seen = np.full(len(free.contract.observation), 0.7)
    asked, sent = free.act(seen), robot.act(seen)
    assert abs(asked[0]) > 0.001
    np.testing.assert_array_equal(sent, [np.float32(0.001) * np.sign(asked[0]), *asked[1:]])


@pytest.mark.parametrize("obs", ["ab", [[1], [2, 3]], {"a": 1}, [None, 1.0], [1e300, 0.0]])
def test_a_reading_that_is_no_list_of_numbers_is_refused(exported, obs):
    with pytest.raises(runtime.ObservationError):
        runtime.Policy(exported).act(obs)


@pytest.mark.parametrize("reward", ["x", [], 1e300, 10**400])
def test_a_reward_that_the_graph_cannot_take_is_refused(exported, reward):
    robot = runtime.Policy(exported)
    robot.act([0.1, 0.2])
    with pytest.raises(runtime.ObservationError, match="reward"):
        robot.act([0.1, 0.2], reward)
    assert np.isfinite(robot.act([0.1, 0.2], 1.0)).all()

"""An export: the policy's actions, adaptations and returns, without this machine's paths and without torch."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS, TINY_SUITE

from robometa import suites
from robometa.commands.main import main
from robometa.deployment.check_export import check_export
from robometa.deployment.contract import metadata
from robometa.deployment.export import export
from robometa.deployment.same_returns import require_within
from robometa.errors import UserError
from robometa.policies.policy import Policy
from robometa.registry.options import read_config
from robometa.trials import make

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("robometa_runtime", reason="the extra onnx is not installed", exc_type=ImportError)
ROOT = Path(__file__).parents[2]
QUICK = ("rl2", "maml-trpo", "pearl")
BY_GRADIENT = ("anil", "fomaml", "meta-sgd", "e-maml", "promp", "reptile")
SLOW = (
    "no-adaptation",
    "oracle",
    "fine-tune",
    "varibad",
    "hypernetwork",
    "rma",
    "rma-concurrent",
    "amago",
    "dpt",
    "ad",
    *BY_GRADIENT,
)
BY_GRAPH = {"maml-trpo", "pearl", *BY_GRADIENT}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(TINY_SUITE, encoding="utf-8")
    return suites.load(path)


def made(name, suite, **options):
    """A policy of an untrained learner whose statistics are not those of a new one."""
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name] | options), suite, seed=3)
    for part in ("observations", "rewards", "returns"):
        if getattr(learner, part, None) is not None:
            size = getattr(learner, part).mean.numel()
            generator = torch.Generator().manual_seed(1)
            getattr(learner, part).include(0.3 + 2 * torch.randn(50, size, generator=generator))
    return Policy(learner, suite, name)


@pytest.fixture(scope="module")
def exported(suite, tmp_path_factory):
    """Exports a learner once for all tests."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = export(made(name, suite), tmp_path_factory.mktemp("exports") / name, license_text="MIT")
        return known[name]

    return of


@pytest.mark.parametrize("name", ["rl2", *(pytest.param(name, marks=pytest.mark.slow) for name in (*QUICK[1:], *SLOW))])
def test_files_act_and_adapt_as_the_policy_does(exported, suite, name):
    found = exported(name)
    assert found.gap <= 1e-5
    assert ("adapt.onnx" in found.files) == (name in BY_GRAPH)
    assert check_export(found.folder, suite).gap == found.gap
    for path in found.folder.glob("*.onnx"):
        content = path.read_bytes()
        for trace in (str(ROOT), sys.prefix, "site-packages", 'File "'):
            assert trace.encode() not in content, f"{path.name} holds {trace}"
        model = onnx.load_from_string(content)
        assert [entry.version for entry in model.opset_import if not entry.domain] == [20]


@pytest.mark.parametrize(
    "name", ["promp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("anil", "meta-sgd"))]
)
@pytest.mark.slow
def test_an_adaptation_with_a_value_and_pooled_shots_is_exported(suite, tmp_path, name):
    options = {"normalize_observations": True, "value_weight": 0.5, "pooled_shots": True}
    found = export(made(name, suite, **options), tmp_path / name, license_text="MIT")
    assert found.gap <= 1e-5
    assert "adapt.onnx" in found.files
    contract = json.loads((found.folder / "contract.json").read_text())
    assert [one["name"] for one in contract["adaptation"]] == ["parameters", "start", "weight"]
    assert contract["observation"][0]["mean"] == pytest.approx(0.3, abs=1)


@pytest.mark.slow
def test_an_oracle_with_a_bottleneck_is_exported(suite, tmp_path):
    learner = made("oracle", suite, bottleneck=2, encoder_hidden=(8,))
    assert learner.learner.network.encoder[-1].weight.shape[0] == 2
    assert export(learner, tmp_path / "oracle", license_text="MIT").gap <= 1e-5


@pytest.mark.parametrize(
    ("name", "option"), [("rl2", "memory"), pytest.param("amago", "encoder", marks=pytest.mark.slow)]
)
def test_a_transformer_is_exported_with_its_cache(suite, tmp_path, name, option):
    policy = made(name, suite, **{option: "transformer"}, memory_layers=2, memory_heads=3, context=8)
    written = export(policy, tmp_path / "transformer", license_text="MIT")
    assert written.gap <= 1e-5
    part, *_ = json.loads((written.folder / "contract.json").read_text())["adaptation"]
    assert (part["name"], part["size"]) == ("memory", policy.learner.network.memory.state_size)
    assert part["size"] == 6 + 1 + 2 * 2 * 8 * 2


def test_a_memory_with_an_encoder_is_exported(suite, tmp_path):
    assert export(made("rl2", suite, encoder=(5, 3), hidden=()), tmp_path / "encoded", license_text="MIT").gap <= 1e-5


@pytest.mark.parametrize(
    "name", ["rl2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("maml-trpo", "pearl", *SLOW))]
)
def test_two_exports_are_the_same_bytes(exported, suite, tmp_path, name):
    again = export(made(name, suite), tmp_path / name, license_text="MIT")
    for path in exported(name).folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_step_has_no_node_to_spare(exported):
    """Its time is that of its nodes: inputs together, a GRU's gates as one layer, no views, nothing of constants."""
    model = onnx.load(exported("rl2").folder / "step.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[:5] == ["Concat", "Sub", "Mul", "Min", "Max"]
    assert (kinds.count("Sigmoid"), kinds.count("Split")) == (1, 1)
    assert not {"Reshape", "Unsqueeze", "Squeeze", "Greater", "Cast"} & {*kinds}
    constants = {one.name for one in model.graph.initializer}
    assert all({*node.input} - constants for node in model.graph.node)


def test_the_contract_says_what_goes_in_and_out(exported, suite):
    folder = exported("rl2").folder
    contract = json.loads((folder / "contract.json").read_text())
    spaces = made("rl2", suite).spaces
    assert [one["name"] for one in contract["observation"]] == [one.name for one in spaces.observation]
    assert contract["observation"][0]["mean"] == pytest.approx(0.3, abs=1)
    assert [(one["low"], one["high"]) for one in contract["action"]] == [(one.low, one.high) for one in spaces.action]
    assert contract["control_hz"] == spaces.control_hz
    assert (contract["suite_hash"], contract["license"], contract["learner"]) == (suite.content_hash, "MIT", "rl2")
    assert "unclipped" in contract["inputs"]["last_action"]
    inside = {one.key: one.value for one in onnx.load(folder / "step.onnx").metadata_props}
    assert json.loads(inside["robometa_contract"]).items() <= contract.items()
    assert inside["joint_names"] == ",".join(contract["robot"]["joint_names"])
    assert inside.keys() >= {"default_joint_pos", "action_scale", "observation_names", "joint_stiffness"}


WIRED = """
horizon = 10
objective = { track_velocity = 1.0 }
command = { velocity = { uniform = [0.5, 1.0] } }
[robot]
name = "ant"
observe = [
  { term = "joint_positions", noise = 0.1, bias = 0.02, history = 2 },
  { term = "joint_velocities", scale = 0.05, clip = 3.0, delay = 0.05 }, "command", "base_height",
]
[sim_to_real]
action_delay = [0.0, 0.05]
[train]
tasks = 4
gravity = { uniform = [0.8, 1.2] }
[test]
tasks = 2
gravity = { uniform = [0.8, 1.2] }
"""


@pytest.mark.slow
def test_the_contract_says_terms_units_and_delays(tmp_path):
    """Another export takes seconds."""
    (tmp_path / "wired.toml").write_text(WIRED)
    wired = suites.load(str(tmp_path / "wired.toml"))
    found = export(made("rl2", wired), tmp_path / "exported", license_text="MIT")
    assert check_export(found.folder, wired).gap == found.gap <= 1e-5
    contract = json.loads((found.folder / "contract.json").read_text())
    assert (contract["commands"], contract["action_delay"]) == (["velocity"], [0.0, 0.05])
    by_name = {one["name"]: one for one in contract["observation"]}
    old, late = by_name["joint_positions/hip_1@-1"], by_name["joint_velocities/hip_1"]
    assert (old["delay"], old["noise"], old["noise_kind"], old["bias"]) == (0.05, 0.1, "uniform", 0.02)
    assert (late["unit"], late["scale"], late["clip"], late["delay"]) == ("rad/s", 0.05, [-3.0, 3.0], 0.05)
    assert not by_name["base_height/z"]["measured"]
    inside = {one.key: one.value for one in onnx.load(found.folder / "step.onnx").metadata_props}
    assert inside["command_names"] == "velocity"
    assert inside["observation_terms_scale"].split(",")[list(by_name).index("joint_velocities/hip_1")] == "0.05"
    assert "(-3.0;3.0)" in inside["observation_terms_clip"]


def test_metadata_keeps_every_digit(exported):
    contract = json.loads((exported("rl2").folder / "contract.json").read_text())
    contract["robot"]["default_joint_pos"] = [1 / 3, 0.1]
    assert metadata(contract)["default_joint_pos"] == "0.3333333333333333,0.1"


def test_the_policys_hash_is_that_of_its_file(exported, suite, tmp_path):
    from conftest import record_of

    from robometa.policies import policy_folder
    from robometa.storage.sealed_folder import read_manifest

    policy_folder.save_policy(tmp_path / "policy", made("rl2", suite).learner, "rl2", suite, record_of("rl2"), "")
    contract = json.loads((exported("rl2").folder / "contract.json").read_text())
    assert contract["policy_sha256"] == read_manifest(tmp_path / "policy")["files"]["tensors.safetensors"]


@pytest.mark.parametrize("name", ["grbal", "cadm", "pets", "random"])
def test_what_acts_by_no_network_is_refused(suite, tmp_path, name):
    with pytest.raises(UserError, match=f"{name} cannot be exported: it"):
        export(made(name, suite), tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["step.onnx", "vectors.safetensors"])
def test_a_damaged_file_is_found(exported, suite, tmp_path, file):
    shutil.copytree(exported("rl2").folder, tmp_path / "copy")
    content = bytearray((tmp_path / "copy" / file).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "copy" / file).write_bytes(content)
    with pytest.raises(UserError, match=f"{file} is missing or damaged"):
        check_export(tmp_path / "copy", suite)


def test_a_folder_that_is_no_export_is_refused(tmp_path, capsys):
    assert main(["check-export", str(tmp_path)]) == 2
    assert "is no export: it lacks contract.json" in capsys.readouterr().err


def test_returns_outside_the_interval_are_refused():
    wanted = {"by_shot": [[-10.0, -11.0, -9.0]]}
    require_within({"by_shot": [[-9.5, 0, 0]]}, wanted)
    with pytest.raises(UserError, match=r"return -8.5 after 0 shots, outside .* -11 to -9"):
        require_within({"by_shot": [[-8.5, 0, 0]]}, wanted)


@pytest.mark.parametrize("name", ["maml-trpo", pytest.param("rl2", marks=pytest.mark.slow)])
def test_an_adaptation_is_baked_in(suite, tmp_path, name):
    policy = made(name, suite)
    found = export(policy, tmp_path / "baked", shots=1, task=1)
    model = onnx.load(tmp_path / "baked" / "step.onnx")
    assert "parameters" not in [one.name for one in model.graph.input]
    contract = json.loads((tmp_path / "baked" / "contract.json").read_text())
    assert contract["adapt"]["baked_task"] == suite.test[1].describe()
    assert "adapt.onnx" not in found.files
    assert found.policy_returns["tasks"] == [1]


REPLAY = """
import json, struct, sys
import numpy as np
from robometa_runtime import Policy

folder, learner = sys.argv[1:]
content = open(f"{folder}/vectors.safetensors", "rb").read()
size = struct.unpack("<Q", content[:8])[0]
header = json.loads(content[8 : 8 + size])
vectors = {
    name: np.frombuffer(content[8 + size :][slice(*one["data_offsets"])], "<f4").reshape(one["shape"])
    for name, one in header.items()
}
policy = Policy(folder)
for name, known in policy._known.items():
    known[:] = vectors[f"start/{name}"]
gaps = []
for time, obs in enumerate(vectors["step/obs"]):
    policy._inputs["noise"][0] = vectors["step/noise"][time]
    # The draws are the recorded ones, and what is fed back is the policy's own.
    policy._generator = type("Draws", (), {"standard_normal": lambda *a, out=None, **k: None})()
    reward = float(vectors["step/last_reward"][time, 0]) if time else None
    done = bool(vectors["step/last_done"][time, 0])
    gaps.append(np.abs(policy.act(obs, reward, done, sample=True) - vectors["step/action"][time]).max())
ends = [np.abs(value - vectors[f"end/{name}"]).max() for name, value in policy.adaptation.items()]
assert "torch" not in sys.modules and "robometa" not in sys.modules
print(json.dumps([float(max(gaps)), float(max(ends, default=0))]))
"""


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.sample(2)
def test_the_runtime_acts_as_recorded_without_torch(exported, name):
    command = [sys.executable, "-P", "-c", REPLAY, str(exported(name).folder), name]
    path = os.pathsep.join([str(ROOT / "runtime"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert max(json.loads(done.stdout)) <= 1e-5


@pytest.mark.parametrize("name", QUICK)
def test_the_runtime_adapts_as_the_policy_does(exported, suite, name):
    """Both see the same episodes, of which each chooses its own mean actions, and adapt twice."""
    policy, robot = made(name, suite), runtime.Policy(exported(name).folder)
    generator = np.random.default_rng(0)
    if name == "pearl":
        robot._known["sample"][:] = policy._adaptation.sample.reshape(1, -1)
    for _ in range(2):
        reward, done = None, False
        for step in range(3 * suite.horizon):
            obs = generator.normal(size=2)
            ours = policy.act(obs, reward, done)
            np.testing.assert_allclose(robot.act(obs, reward, done), ours, atol=2e-5)
            reward, done = float(generator.normal()), (step + 1) % suite.horizon == 0
        obs = generator.normal(size=2)
        if name == "maml-trpo":
            with pytest.warns(UserWarning, match="mean actions"):
                policy.adapt(obs, reward, done)
        else:
            policy.adapt(obs, reward, done)
        robot.adapt(obs, reward, done)
        if name == "pearl":  # samples are drawn by each
            belief = policy._adaptation
            np.testing.assert_allclose(robot.adaptation["precision"][0], belief.precision.reshape(-1), rtol=1e-4)
            robot._known["sample"][:] = belief.sample.reshape(1, -1)


@pytest.mark.parametrize(
    ("obs", "reward", "message"),
    [([0.0, np.nan], 0.0, r"obs\[1\] .* is nan"), ([0.0], 0.0, "shape"), ([0.0, 0.0], np.inf, "reward is inf")],
)
def test_the_runtime_refuses_what_is_no_measurement(exported, obs, reward, message):
    robot = runtime.Policy(exported("rl2").folder)
    robot.act([0.1, 0.2])
    before = robot.adaptation["memory"]
    with pytest.raises(runtime.ObservationError, match=message):
        robot.act(obs, reward)
    with pytest.raises(runtime.ObservationError, match="needs the reward"):
        robot.act([0.1, 0.2])
    np.testing.assert_array_equal(robot.adaptation["memory"], before)
    robot.act([0.1, 0.2], 1.0)


def test_the_runtime_refuses_a_damaged_export(exported, tmp_path):
    shutil.copytree(exported("rl2").folder, tmp_path / "copy")
    (tmp_path / "copy" / "step.onnx").write_bytes(b"")
    with pytest.raises(runtime.ContractError, match=r"step\.onnx is missing or damaged"):
        runtime.Policy(tmp_path / "copy")
    with pytest.raises(runtime.ContractError, match="is no export"):
        runtime.Policy(tmp_path)


def changed(exported, tmp_path, change):
    """A copy of an export, whose contract a function changes."""
    copy = shutil.copytree(exported("rl2").folder, tmp_path / "copy", dirs_exist_ok=True)
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

    robot, free = runtime.Policy(changed(exported, tmp_path, narrow)), runtime.Policy(exported("rl2").folder)
    seen = np.full(len(free.contract.observation), 0.7)
    asked, sent = free.act(seen), robot.act(seen)
    assert abs(asked[0]) > 0.001
    np.testing.assert_array_equal(sent, [np.float32(0.001) * np.sign(asked[0]), *asked[1:]])


@pytest.mark.parametrize("obs", ["ab", [[1], [2, 3]], {"a": 1}, [None, 1.0], [1e300, 0.0]])
def test_a_reading_that_is_no_list_of_numbers_is_refused(exported, obs):
    with pytest.raises(runtime.ObservationError):
        runtime.Policy(exported("rl2").folder).act(obs)


@pytest.mark.parametrize(
    "obs",
    [
        ["1", "2"],
        np.array(["1", "2"], object),
        np.zeros(2, complex),
        np.zeros(2, "datetime64[s]"),
        np.ma.masked_array([1.0, 2.0], [True, False]),
    ],
    ids=["texts", "objects", "complex", "dates", "masked"],
)
def test_what_numpy_would_turn_into_a_number_is_refused(exported, obs):
    with pytest.raises(runtime.ObservationError, match="obs"):
        runtime.Policy(exported("rl2").folder).act(obs)


@pytest.mark.parametrize("done", [None, np.nan, 0.5, "yes", [True, False], np.zeros(2)], ids=str)
def test_an_end_of_an_episode_that_is_neither_true_nor_false_is_refused(exported, done):
    robot = runtime.Policy(exported("rl2").folder)
    robot.act([0.1, 0.2])
    for call in (robot.act, robot.adapt):
        with pytest.raises(runtime.ObservationError, match="done must be True or False"):
            call([0.1, 0.2], 1.0, done)
    robot.act([0.1, 0.2], 1.0, np.True_)


def test_a_policy_is_for_one_thread_at_a_time(exported):
    robot = runtime.Policy(exported("rl2").folder)
    robot.act([0.1, 0.2])
    within = []

    class Nosy(float):
        """A reward that acts again while it is read."""

        def __float__(self):
            with pytest.raises(RuntimeError, match="in use already"):
                robot.act([0.1, 0.2], 1.0)
            within.append(True)
            return 1.0

    robot.act([0.1, 0.2], Nosy(1.0))
    assert within
    robot.act([0.1, 0.2], 1.0)


@pytest.mark.parametrize("reward", ["x", [], 1e300, 10**400], ids=["text", "list", "large", "beyond a float"])
def test_a_reward_that_the_graph_cannot_take_is_refused(exported, reward):
    robot = runtime.Policy(exported("rl2").folder)
    robot.act([0.1, 0.2])
    with pytest.raises(runtime.ObservationError, match="reward"):
        robot.act([0.1, 0.2], reward)
    assert np.isfinite(robot.act([0.1, 0.2], 1.0)).all()

"""Folders of tensors and of policies: whole and verified, or refused with the name of what is wrong."""

import ast
import os
from pathlib import Path

import pytest
import torch
from conftest import SMALL_OPTIONS, copied, fake_rollout, record_of, same_tensors, training_spaces

import robometa
from robometa import registry, suites
from robometa.data import Step, Trial
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.policies import policy_folder
from robometa.registry.options import read_config
from robometa.storage import atomic, sealed_folder
from robometa.storage.open_folder import OpenFolder
from robometa.storage.sealed_folder import MANIFEST, TENSORS
from robometa.trials import make

TENSORS_OF_ALL_KINDS = {
    "weights": torch.arange(6.0).reshape(2, 3),
    "not/contiguous": torch.arange(6.0).reshape(2, 3).T,
    "counts": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "double": torch.tensor([1e-300], dtype=torch.float64),
    "empty": torch.zeros(0, 4),
}


@pytest.fixture
def saved(tmp_path):
    """A checkpoint on disk."""
    folder = tmp_path / "saved"
    sealed_folder.save(folder, TENSORS_OF_ALL_KINDS, {"kind": "checkpoint", "iterations": 3})
    return folder


def test_what_was_saved_comes_back(saved):
    tensors, manifest = sealed_folder.load(saved, "checkpoint")
    assert same_tensors(tensors, TENSORS_OF_ALL_KINDS)
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {
        name: tensor.dtype for name, tensor in TENSORS_OF_ALL_KINDS.items()
    }
    assert manifest["iterations"] == 3


def test_same_tensors_sees_every_difference():
    first = {"a": torch.zeros(2)}
    assert same_tensors(first, {"a": torch.zeros(2)})
    assert not same_tensors(first, {"a": torch.tensor([0.0, 1e-45])})
    assert not same_tensors(first, {"b": torch.zeros(2)})
    assert not same_tensors(first, {"a": torch.zeros(3)})


def altered_byte(folder):
    content = bytearray((folder / TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)


def cut_short(folder):
    os.truncate(folder / TENSORS, (folder / TENSORS).stat().st_size // 2)


def without_tensors(folder):
    (folder / TENSORS).unlink()


def without_manifest(folder):
    (folder / MANIFEST).unlink()


def manifest_cut_short(folder):
    os.truncate(folder / MANIFEST, 20)


def manifest_of_bytes(folder):
    (folder / MANIFEST).write_bytes(b"\xff\xfe\x00")


def manifest_of_a_list(folder):
    (folder / MANIFEST).write_text("[]")


def manifest_of_a_format_to_come(folder):
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text().replace('"format": 2', '"format": 3'))


def tensors_of_no_format_but_the_right_hash(folder):
    (folder / TENSORS).write_bytes(b"this is not a table of tensors")
    manifest = sealed_folder.read_manifest(folder)
    sealed_folder.write_manifest(
        folder, manifest | {"files": manifest["files"] | {TENSORS: sealed_folder.sha256(folder / TENSORS)}}
    )


DAMAGES = [
    altered_byte,
    cut_short,
    without_tensors,
    without_manifest,
    manifest_cut_short,
    manifest_of_bytes,
    manifest_of_a_list,
    manifest_of_a_format_to_come,
    tensors_of_no_format_but_the_right_hash,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused_by_name(saved, damage):
    damage(saved)
    with pytest.raises(UserError, match="saved"):
        sealed_folder.load(saved, "checkpoint")


def test_what_is_not_there_or_of_another_kind_is_refused_by_name(saved):
    with pytest.raises(UserError, match="nowhere is not a checkpoint: there is no such folder"):
        sealed_folder.load(saved.parent / "nowhere", "checkpoint")
    with pytest.raises(UserError, match="not the manifest of a policy, but of a checkpoint"):
        sealed_folder.load(saved, "policy")


def test_saving_replaces_what_stands_there(saved):
    sealed_folder.save(saved, {"other": torch.ones(1)}, {"kind": "checkpoint"}, {"README.md": "a card"})
    tensors, _ = sealed_folder.load(saved, "checkpoint")
    assert list(tensors) == ["other"]
    assert (saved / "README.md").read_text() == "a card"
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


@pytest.mark.parametrize("interrupted", [1, 2, 3])
def test_an_interrupted_save_leaves_the_old_one(saved, monkeypatch, interrupted):
    rename, renames = OpenFolder.rename, []

    def breaking(self, source, target):
        renames.append(source)
        if len(renames) == interrupted:
            raise OSError("the disk went away")
        return rename(self, source, target)

    with monkeypatch.context() as patched:
        patched.setattr(OpenFolder, "rename", breaking)
        with pytest.raises(OSError, match="went away"):
            sealed_folder.save(saved, {"other": torch.ones(1)}, {"kind": "checkpoint"})
    assert same_tensors(sealed_folder.load(saved, "checkpoint")[0], TENSORS_OF_ALL_KINDS)
    # and the next save goes through
    sealed_folder.save(saved, {"other": torch.ones(1)}, {"kind": "checkpoint"})
    assert list(sealed_folder.load(saved, "checkpoint")[0]) == ["other"]


def test_an_interrupted_write_leaves_the_old_one(saved, monkeypatch):
    def full(folder, name, content):
        (folder.path / name).write_bytes(content[: len(content) // 2])
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write", full)
        with pytest.raises(OSError, match="no space left"):
            sealed_folder.save(saved, {"other": torch.ones(1)}, {"kind": "checkpoint"})
    assert same_tensors(sealed_folder.load(saved, "checkpoint")[0], TENSORS_OF_ALL_KINDS)
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]  # nothing is left of the new one


def acted(learner, suite):
    """What a learner does before and after it has adapted."""
    spaces = training_spaces(suite, learner)
    noise = Noise(0, ("test",), 2, 3)
    rollout = fake_rollout(2, 3, 5, spaces.observation, spaces.action, seed=0)
    zero = torch.zeros(2, 3, spaces.action)
    step = Step(rollout.obs[:, :, 0], zero, zero[..., 0], torch.zeros(2, 3, dtype=torch.bool))
    adaptation = learner.begin(2, 3, noise)
    before, adaptation = learner.act(adaptation, step, zero + 0.5)
    adaptation = learner.adapt(adaptation, rollout, noise.fork("adapt"))
    return torch.stack((before, learner.act(adaptation, step, zero + 0.5)[0]))


def policy(tmp_path, name, suite, **options):
    """A policy on disk after an update, and the learner that it was saved from."""
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name] | options), suite, seed=3)
    spaces = training_spaces(suite, learner)
    rollouts = tuple(fake_rollout(2, 3, 5, spaces.observation, spaces.action, seed) for seed in range(2))
    learner.update(Trial(torch.arange(2), rollouts, Noise(0, ("update",), 2, 3)))
    folder = tmp_path / "policy"
    policy_folder.save_policy(folder, learner, name, suite, record_of(name), "a card")
    return folder, learner


@pytest.mark.parametrize(
    ("name", "options"), [(name, {}) for name in registry.LEARNERS] + [("rl2", {"memory": "lstm"})]
)
@pytest.mark.sample(8)
def test_a_policy_that_was_saved_acts_the_same(tmp_path, tiny_suite, name, options):
    folder, learner = policy(tmp_path, name, tiny_suite, **options)
    before = copied(learner.state_dict())
    loaded, suite, manifest = policy_folder.load_policy(folder)
    assert suite == tiny_suite
    assert manifest.learner == name
    assert loaded.config == learner.config
    assert torch.equal(acted(loaded, suite), acted(learner, suite))
    assert same_tensors(learner.state_dict(), before)
    assert not any(tensor.startswith("training/") for tensor in sealed_folder.load(folder, "policy")[0])
    assert (folder / "README.md").read_text() == "a card"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_policy_is_refused_by_name(tmp_path, tiny_suite, damage):
    folder, _ = policy(tmp_path, "maml-trpo", tiny_suite)
    damage(folder)
    with pytest.raises(UserError, match="policy"):
        policy_folder.load_policy(folder)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_policy_that_is_not_finite_is_refused(tmp_path, tiny_suite, number):
    """It would end every episode at once, which no negative reward beats."""
    folder, learner = policy(tmp_path, "maml-trpo", tiny_suite)
    learner.parameters = learner.parameters.clone()
    learner.parameters[3] = number
    policy_folder.save_policy(folder, learner, "maml-trpo", tiny_suite, record_of("maml-trpo"), "a card")
    with pytest.raises(UserError, match=r"tensors.safetensors: parameters holds numbers that are not finite"):
        policy_folder.load_policy(folder)


def test_a_policy_does_not_act_on_a_suite_of_other_sizes(tmp_path, tiny_suite):
    folder, _ = policy(tmp_path, "maml-trpo", tiny_suite)
    with pytest.raises(UserError, match="with 2 observations and 2 actions, but suite hopper-params has"):
        policy_folder.load_policy(folder, suites.load("hopper-params"))
    same_sizes = suites.load("point-robot")
    assert policy_folder.load_policy(folder, same_sizes)[1] is same_sizes


@pytest.mark.parametrize("name", [name for name in registry.LEARNERS if name != "random"])
@pytest.mark.parametrize(
    "change",
    [
        {"config": {"hidden": [9, 9, 9]}},
        {"config": {"worlds": 0}},
        {"config": {"worlds": [2]}},
        {"config": {"tasks": [2, 3]}},
        {"config": {"iterations": {"a": 1}}},
        {"config": {"unheard_of": 1}},
        {"learner": "unheard-of"},
        {"spaces": {"observation": 2}},
        {"suite": "unheard-of", "suite_file": None},
        {"config": None},
    ],
)
@pytest.mark.sample(44)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, tiny_suite, name, change):
    folder, _ = policy(tmp_path, name, tiny_suite)
    manifest = sealed_folder.read_manifest(folder)
    for key, value in change.items():
        manifest[key] = manifest[key] | value if key == "config" and value else value
    sealed_folder.write_manifest(folder, manifest)
    with pytest.raises(UserError):
        policy_folder.load_policy(folder)


FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def imports(node):
    """Everything that an import statement names, from its first module on."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def executes(call):
    """Whether a call may run what it reads: eval and the like, torch's pickles, numpy's unless it refuses them."""
    if isinstance(call.func, ast.Name):
        return call.func.id in {"eval", "exec", "compile", "__import__"}
    if not isinstance(call.func, ast.Attribute) or not isinstance(call.func.value, ast.Name):
        return False
    place = call.func.value.id, call.func.attr
    if place == ("np", "load"):
        refuses = [word.value for word in call.keywords if word.arg == "allow_pickle"]
        return not (refuses and isinstance(refuses[0], ast.Constant) and refuses[0].value is False)
    return place in {("torch", "load"), ("torch", "save")}


BETWEEN_OWN_PROCESSES = {"trials/workers/pool.py", "trials/workers/worker.py"}
"""Modules that pickle what a process and its own children send each other; nothing of it is a file."""


def test_nothing_in_the_package_can_execute_what_it_loads():
    package = Path(robometa.__file__).parent
    paths = list(package.rglob("*.py"))
    assert len(paths) > 30
    for path in paths:
        own = path.relative_to(package).as_posix() in BETWEEN_OWN_PROCESSES
        forbidden = FORBIDDEN - {"pickle"} if own else FORBIDDEN
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not {name.split(".")[0] for name in imports(node)} & forbidden, path
            assert not imports(node) & {"torch.load", "torch.save", "numpy.load"}, path
            assert not (isinstance(node, ast.Call) and executes(node)), f"{path}:{node.lineno}"


def test_a_suite_that_has_changed_since_is_said(tmp_path):
    suite = suites.load("point-robot")
    folder, _ = policy(tmp_path, "maml-trpo", suite)
    assert policy_folder.load_policy(folder)[1] == suite
    sealed_folder.write_manifest(folder, sealed_folder.read_manifest(folder) | {"suite_hash": "0" * 64})
    with pytest.raises(UserError, match=r"point-robot is no longer the one .*--suite point-robot runs"):
        policy_folder.load_policy(folder)
    policy_folder.load_policy(folder, suite)

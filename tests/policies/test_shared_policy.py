"""A shared policy is whole: its user's suite and robot are inside, and it works wherever it is moved."""

import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest

import robometa
from robometa import suites
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.storage import sealed_folder
from robometa.suites.portable import portable_files
from robometa.training.train import train

ROBOT = """\
<mujoco model="cart">
  <compiler meshdir="parts" texturedir="parts"/>
  <include file="parts/common.xml"/>
  <asset>
    <mesh name="block" file="block.stl"/>
    <texture name="look" type="2d" file="look.png"/>
    <material name="look" texture="look"/>
  </asset>
  <worldbody>
    <body name="cart">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom type="mesh" mesh="block" material="look"/>
    </body>
  </worldbody>
  <actuator><motor name="x" joint="x" gear="2" ctrlrange="-3 3"/><motor name="y" joint="y"/></actuator>
</mujoco>
"""
SUITE = """\
about     = "A cart of a user's own."
robot     = {{ mjcf = "{place}", body = "cart" }}
objective = "goal"
horizon   = 5

[train]
tasks = 4
goal  = {{ disc = 1.0 }}

[test]
tasks = 2
seed  = 1
goal  = {{ disc = 1.0 }}
"""


def block():
    """A cube as binary STL."""
    corners = np.array([[x, y, z] for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.1, 0.1)])
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    rows = [struct.pack("<12fH", 0, 0, 0, *corners[list(face)].ravel(), 0) for face in faces]
    return bytes(80) + struct.pack("<I", len(faces)) + b"".join(rows)


def write_suite(folder, place):
    """A user's suite whose robot consists of four files."""
    from PIL import Image

    model = folder / "suites" / place
    parts = model.parent / "parts"
    parts.mkdir(parents=True)
    (folder / "suites").mkdir(exist_ok=True)
    model.write_text(ROBOT, encoding="utf-8")
    (parts / "common.xml").write_text('<mujoco><option timestep="0.01"/></mujoco>', encoding="utf-8")
    (parts / "block.stl").write_bytes(block())
    Image.new("RGB", (4, 4), "red").save(parts / "look.png")
    suite = folder / "suites" / "cart-goal.toml"
    suite.write_text(SUITE.format(place=place), encoding="utf-8")
    return suite


def trained(suite, folder, learner="maml-trpo"):
    options = {"iterations": 1, "tasks": 2, "worlds": 2} | ({"hidden": (4,)} if learner != "random" else {})
    return train(suite, learner, options=options, folder=folder, threads=1)


@pytest.mark.parametrize("place", ["cart.xml", "robots/cart.xml", "../robots/cart.xml", "{absolute}/robots/cart.xml"])
def test_a_policy_of_a_user_s_suite_works_without_the_originals(tmp_path, place):
    home = tmp_path / "someone"
    suite = write_suite(home, place.format(absolute=home))
    policy = trained(suite, tmp_path / "run")
    hash_before = suites.load(suite).content_hash
    moved = tmp_path / "colleague" / "got-it"
    moved.parent.mkdir()
    policy.rename(moved)
    shutil.rmtree(home)
    report = robometa.evaluate(moved, shots=1, worlds=2, threads=1)
    assert report.suite == "cart-goal"
    assert report.suite_hash == hash_before
    report.save(moved)
    acting = robometa.load(moved)
    assert [one.name for one in acting.spaces.action] == ["x", "y"]
    assert acting.act(np.zeros(len(acting.spaces.observation))).shape == (2,)
    inside = {path.relative_to(moved).as_posix() for path in moved.rglob("*") if path.is_file()}
    below = "suite/robots" if place == "robots/cart.xml" else "suite/model" if place != "cart.xml" else "suite"
    assert {f"{below}/{name}" for name in ("cart.xml", "parts/common.xml", "parts/block.stl")} <= inside
    assert inside - {"manifest.json"} == set(sealed_folder.read_manifest(moved)["files"])
    for path in inside:
        assert str(tmp_path).encode() not in (moved / path).read_bytes(), path
    assert not any(path.is_symlink() for path in moved.rglob("*"))


def in_another_process(tmp_path, script):
    """Runs a script beside a policy that was moved, whose user's files are gone; no cache of this process helps it."""
    home = tmp_path / "someone"
    policy = trained(write_suite(home, "../robots/cart.xml"), tmp_path / "run")
    moved = tmp_path / "got-it"
    policy.rename(moved)
    shutil.rmtree(home)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_moved_policy_is_merged(tmp_path):
    script = "import robometa; robometa.load(robometa.merge('got-it', 'got-it', out='both'))"
    in_another_process(tmp_path, script)
    assert (tmp_path / "both" / "suite" / "model" / "cart.xml").is_file()


@pytest.mark.slow
def test_a_moved_policy_is_recorded(tmp_path):
    in_another_process(
        tmp_path,
        "import robometa; robometa.record('got-it', shots=1, out='film.mp4', width=480, height=240, gif=False)",
    )
    assert (tmp_path / "film.mp4").stat().st_size > 0


def test_a_shipped_suite_adds_nothing(tmp_path):
    policy = trained("point-robot", tmp_path / "run", "random")
    assert not (policy / "suite").exists()
    assert "suite_file" not in sealed_folder.read_manifest(policy)
    assert sealed_folder.read_manifest(policy)["suite"] == "point-robot"


def test_a_user_s_suite_of_a_shipped_robot_brings_its_file_only(tmp_path, tiny_file):
    policy = trained(tiny_file, tmp_path / "run", "random")
    assert [path.name for path in (policy / "suite").rglob("*")] == ["tiny.toml"]


def test_a_suite_that_is_edited_during_the_training_is_kept_as_it_began(tmp_path, tiny_file, monkeypatch):
    content = tiny_file.read_bytes()
    save = policy_folder.save_policy

    def edited_before(*arguments, **words):
        tiny_file.write_text("horizon = 7", encoding="utf-8")
        save(*arguments, **words)

    monkeypatch.setattr(policy_folder, "save_policy", edited_before)
    policy = trained(tiny_file, tmp_path / "run", "random")
    assert (policy / "suite" / "tiny.toml").read_bytes() == content
    policy_folder.load_policy(policy)


def test_an_altered_suite_inside_is_refused(tmp_path, tiny_file):
    policy = trained(tiny_file, tmp_path / "run", "random")
    inside = policy / "suite" / "tiny.toml"
    inside.write_text(inside.read_text().replace("horizon   = 5", "horizon   = 6"))
    with pytest.raises(UserError, match=r"tiny\.toml was altered|no longer the one"):
        policy_folder.load_policy(policy)


@pytest.mark.parametrize("name", ["../outside.toml", "suite/other.toml", 5, ["suite/tiny.toml"]])
def test_a_manifest_that_names_another_suite_file_is_refused(tmp_path, tiny_file, name):
    policy = trained(tiny_file, tmp_path / "run", "random")
    shutil.copy(tiny_file, tmp_path / "run" / "outside.toml")
    sealed_folder.write_manifest(policy, sealed_folder.read_manifest(policy) | {"suite_file": name})
    with pytest.raises(UserError, match=r"manifest.json is damaged"):
        policy_folder.load_policy(policy)


def test_a_policy_that_refers_to_a_suite_by_its_path_still_loads(tmp_path, tiny_file):
    """Policies of version 0.1.0 do."""
    policy = trained(tiny_file, tmp_path / "run", "random")
    manifest = sealed_folder.read_manifest(policy)
    del manifest["suite_file"]
    sealed_folder.write_manifest(policy, manifest | {"suite": str(tiny_file)})
    assert policy_folder.load_policy(policy)[1].name == "tiny"


def test_a_model_with_an_absolute_path_is_refused_before_the_training(tmp_path):
    suite = write_suite(tmp_path / "someone", "cart.xml")
    model = suite.parent / "cart.xml"
    model.write_text(ROBOT.replace('meshdir="parts"', f'meshdir="{model.parent}/parts"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"<compiler> of cart.xml names /.*: name it relative to the model's folder"):
        trained(suite, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_path_that_is_not_written_plainly_is_refused(tmp_path):
    suite = write_suite(tmp_path / "someone", "../robots/cart.xml")
    suite.write_text(suite.read_text().replace("../robots", r"..\u002Frobots"), encoding="utf-8")
    with pytest.raises(UserError, match="without escapes"):
        portable_files(suites.load(suite))


def test_a_report_in_a_policy_has_no_absolute_path(tmp_path):
    policy = trained("point-robot", tmp_path / "run", "random")
    robometa.evaluate(policy, shots=1, worlds=1, threads=1).save(policy)
    assert str(tmp_path) not in (policy / "report.json").read_text()
    assert '"policy": "run/policy"' in (policy / "report.json").read_text()


def test_a_suite_that_leads_out_of_its_policy_is_refused(tmp_path):
    """By the path of its model, by a link in its place, or by no file at all."""
    policy = trained(write_suite(tmp_path, "cart.xml"), tmp_path / "run")
    file, model, outside = policy / "suite" / "cart-goal.toml", policy / "suite" / "cart.xml", tmp_path / "suites"
    text = file.read_text()
    for place in ("../../../suites/cart.xml", str(outside / "cart.xml")):
        file.write_text(text.replace("cart.xml", place))
        with pytest.raises(UserError, match="which is outside of the policy's folder"):
            robometa.load(policy)
    for path, told in ((file, "which is outside of the policy's folder"), (model, "not in the model's folder")):
        path.unlink()
        path.symlink_to(outside / path.name)
        with pytest.raises(UserError, match=told):
            robometa.load(policy)
        path.unlink()
        path.write_text(text)
    manifest = sealed_folder.read_manifest(policy)
    del manifest["suite_file"]
    sealed_folder.write_manifest(policy, manifest | {"suite": "/proc/kmsg"})  # reading it would never end
    with pytest.raises(UserError, match="no suite file '/proc/kmsg'"):
        robometa.load(policy)

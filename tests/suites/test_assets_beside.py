"""A model may use files in its suite's folder, links within it, and nothing outside; a copy works elsewhere."""

import json
import struct
from pathlib import Path

import pytest

from robometa import suites
from robometa.errors import UserError
from robometa.suites.portable import portable_files
from tests.own_robots import compile_here

FACES = ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
CORNERS = ((0, 0, 0), (0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.1))
BODY = (
    '<mujoco><worldbody><body name="torso" pos="0 0 0.3"><freejoint/><geom type="box" size="0.1 0.1 0.05"/>'
    '<body pos="0.1 0 0"><joint name="j" axis="0 1 0"/><geom type="mesh" mesh="leg"/></body></body></worldbody>'
    '<actuator><motor joint="j" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>'
)
SCENE = (
    '<mujoco><compiler meshdir="../meshes"/><asset><mesh name="leg" file="leg.stl"/></asset>'
    '<include file="body.xml"/><worldbody><geom type="plane" size="0 0 1"/></worldbody></mujoco>'
)
TASKS = "".join(f"[{split}]\ntasks = 1\ngravity = {gravity}\n" for split, gravity in (("train", 1.0), ("test", 0.9)))


def stl():
    """A tetrahedron."""
    faces = (
        struct.pack("<3f", 0, 0, 1) + b"".join(struct.pack("<3f", *CORNERS[i]) for i in face) + b"\0\0"
        for face in FACES
    )
    return bytes(80) + struct.pack("<I", 4) + b"".join(faces)


@pytest.fixture(autouse=True)
def _compile_here(monkeypatch):
    compile_here(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    """The layout of ROS packages: mjcf/ and meshes/ side by side."""
    folder = tmp_path / "robot"
    for name, content in (
        ("mjcf/scene.xml", SCENE.encode()),
        ("mjcf/body.xml", BODY.encode()),
        ("meshes/leg.stl", stl()),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write(folder, mjcf):
    path = folder / "suite.toml"
    path.write_text(f'objective = "forward"\nrobot = "{mjcf}"\n{TASKS}', encoding="utf-8")
    return suites.load(path)


def copied(suite, folder):
    """The suite as loaded from a copy of its files."""
    portable_files.cache_clear()
    for place, content in portable_files(suite).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
    return suites.load(folder / suite.path.name)


def test_meshes_beside_the_models_folder_are_found_and_travel(folder, tmp_path):
    suite = write(folder, "mjcf/scene.xml")
    assert suite.robot.body == "torso"
    copy = copied(suite, tmp_path / "copy")
    assert copy.content_hash == suite.content_hash
    assert (tmp_path / "copy" / "meshes" / "leg.stl").read_bytes() == stl()


def test_meshes_outside_of_the_suites_folder_are_named(folder):
    with pytest.raises(UserError) as told:
        write(folder / "mjcf", "scene.xml")
    assert "<mesh file='leg.stl'> of scene.xml names a file that is not in the model's folder" in str(told.value)
    assert "body.xml" not in str(told.value)


def test_a_link_within_the_folder_is_followed_and_travels_as_a_file(folder, tmp_path):
    blobs = folder / "blobs"
    blobs.mkdir()
    for name in ("mjcf/body.xml", "meshes/leg.stl"):
        (folder / name).rename(blobs / Path(name).name)
        (folder / name).symlink_to(f"../blobs/{Path(name).name}")
    suite = write(folder, "mjcf/scene.xml")
    copy = copied(suite, tmp_path / "copy")
    assert not (tmp_path / "copy" / "meshes" / "leg.stl").is_symlink()
    assert copy.content_hash == suite.content_hash


def test_a_link_that_leads_out_is_refused(folder, tmp_path):
    (tmp_path / "secret.stl").write_bytes(stl())
    (folder / "meshes" / "leg.stl").unlink()
    (folder / "meshes" / "leg.stl").symlink_to(tmp_path / "secret.stl")
    with pytest.raises(
        UserError, match=r"<mesh file='leg\.stl'> of scene\.xml names a file that is not in the suite's folder"
    ):
        write(folder, "mjcf/scene.xml")


@pytest.mark.parametrize(
    ("robot", "told"),
    [
        ('{ package = "nothing_of_this_name", mjcf = "a.xml" }', "package 'nothing_of_this_name' is not installed"),
        ('{ package = "os.path", mjcf = "a.xml" }', "package 'os.path' is not installed"),
        ('{ package = "gymnasium", mjcf = "../../a.xml" }', "mjcf must be a path within the package gymnasium"),
        ('{ package = "gymnasium", mjcf = "no.xml" }', "no robot file 'no.xml' in gymnasium"),
        ('{ package = "gymnasium", name = "ant" }', "package is for mjcf"),
    ],
)
def test_a_wrong_package_is_told(tmp_path, robot, told):
    path = tmp_path / "suite.toml"
    path.write_text(f'objective = "forward"\nrobot = {robot}\n{TASKS}', encoding="utf-8")
    with pytest.raises(UserError, match=told):
        suites.load(path)


def test_a_model_of_a_package_is_named_and_not_copied(tmp_path):
    path = tmp_path / "suite.toml"
    table = {"package": "gymnasium", "mjcf": "envs/mujoco/assets/swimmer.xml"}
    robot = "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"
    path.write_text(f'objective = "forward"\nrobot = {robot}\n{TASKS}', encoding="utf-8")
    suite = suites.load(path)
    assert list(portable_files(suite)) == ["suite.toml"]
    assert suite.robot.body == "torso"

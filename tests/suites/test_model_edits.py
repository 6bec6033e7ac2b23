"""Changes to a model before it is compiled: looks are left out, and the physics stay to the last digit."""

import struct

import mujoco
import numpy as np
import pytest

from robometa.sim.locomotion import models
from robometa.suites import model_edits
from tests.own_robots import compile_here, suite_of

SIDE = 60
ROBOT = (
    '<mujoco><compiler autolimits="true" {compiler}/><asset><mesh {name} file="shell.obj" inertia="shell"/>'
    '<texture name="t" type="2d" builtin="flat" width="100" height="100"/><material name="m" texture="t"/></asset>'
    '<worldbody><geom type="plane" size="0 0 1"/><body name="torso" pos="0 0 0.3"><freejoint/>'
    '<geom type="mesh" mesh="shell" {shell} material="m" pos="0.1 0.2 0.3" euler="10 20 30"/>'
    '<geom type="box" size="0.2 0.1 0.05" mass="5"/><body pos="0.1 0 0"><joint name="j" axis="0 1 0"/>'
    '<geom type="mesh" mesh="shell" contype="0" conaffinity="0" mass="0.3"/>'
    '<geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.02"/></body></body></worldbody>'
    '<actuator><motor joint="j" ctrlrange="-1 1"/></actuator><sensor>{sensor}</sensor></mujoco>'
)
SHOWN = 'contype="0" conaffinity="0" density="50"'


@pytest.fixture
def write(tmp_path):
    x, y = np.meshgrid(np.linspace(-0.2, 0.2, SIDE), np.linspace(-0.1, 0.1, SIDE))
    index = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    with (tmp_path / "shell.obj").open("w") as file:
        np.savetxt(file, np.c_[x.ravel(), y.ravel(), 0.05 + 0.02 * np.cos(20 * x).ravel()], "v %.5f %.5f %.5f")
        np.savetxt(file, np.r_[np.c_[a, b, c], np.c_[b, d, c]] + 1, "f %d %d %d")

    def write(shell=SHOWN, name='name="shell"', compiler="", sensor=""):
        text = ROBOT.format(shell=shell, name=name, compiler=compiler, sensor=sensor)
        (tmp_path / "robot.xml").write_text(text, encoding="utf-8")
        return text

    return write


def pair(folder):
    """A model as MuJoCo compiles it, and without its looks."""

    def again():
        spec = mujoco.MjSpec.from_file(str(folder / "robot.xml"))
        model_edits.name_bodies(spec)
        return spec

    whole = again().compile()
    return whole, model_edits.without_looks(whole, again)


@pytest.mark.parametrize("name", ['name="shell"', ""])
@pytest.mark.parametrize("compiler", ["", 'inertiafromgeom="true"', 'balanceinertia="true" boundmass="0.5"'])
def test_a_model_without_looks_moves_the_same(write, tmp_path, name, compiler):
    write(name=name, compiler=compiler)
    whole, lean = pair(tmp_path)
    assert mujoco.mj_sizeModel(lean) < mujoco.mj_sizeModel(whole) / 10
    assert (lean.nmesh, lean.ntex, lean.ngeom) == (0, 0, whole.ngeom)
    paths = []
    for model in (whole, lean):
        data = mujoco.MjData(model)
        data.ctrl[:] = 0.7
        for _ in range(200):
            mujoco.mj_step(model, data)
        paths.append(data.qpos.copy())
    assert paths[0] == pytest.approx(paths[1], abs=1e-9)


@pytest.mark.parametrize(
    ("shell", "sensor", "meshes"),
    [
        ("", "", 1),  # it collides
        ('name="g" contype="0" conaffinity="0"', '<framepos name="s" objtype="geom" objname="g"/>', 1),
    ],
)
def test_a_mesh_that_the_physics_use_stays(write, tmp_path, shell, sensor, meshes):
    write(shell=shell, sensor=sensor)
    assert pair(tmp_path)[1].nmesh == meshes


def test_bodies_without_names_get_their_numbers(write, tmp_path):
    write()
    model = pair(tmp_path)[1]
    assert [model.body(index).name for index in range(3)] == ["world", "torso", "body-2"]


def test_a_model_with_a_skin_is_loaded(tmp_path, monkeypatch):
    compile_here(monkeypatch)
    corners, bone = ((0, 0, 0), (0.1, 0, 0), (0, 0.1, 0)), b"torso".ljust(40, b"\0")
    bone += struct.pack("<3f4fi", 0, 0, 0, 1, 0, 0, 0, 3) + struct.pack("<3i3f", 0, 1, 2, 1, 1, 1)
    skin = struct.pack("<4i", 3, 0, 1, 1) + b"".join(struct.pack("<3f", *corner) for corner in corners)
    (tmp_path / "skin.skn").write_bytes(skin + struct.pack("<3i", 0, 1, 2) + bone)
    xml = (
        '<mujoco><asset><skin name="skin" file="skin.skn"/></asset><worldbody><geom type="plane" size="0 0 1"/>'
        '<body name="torso" pos="0 0 0.3"><freejoint/><geom type="box" size="0.1 0.1 0.05"/><body pos="0.1 0 0">'
        '<joint name="j" axis="0 1 0"/><geom size="0.02"/></body></body></worldbody>'
        '<actuator><motor joint="j"/></actuator></mujoco>'
    )
    assert models.compiled(suite_of(tmp_path, xml).robot)[0].nv == 7

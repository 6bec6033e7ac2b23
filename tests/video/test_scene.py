"""The scene of a user's own model: what only shows is drawn, on the model's own floor."""

import mujoco
import pytest

from robometa.sim.locomotion import models
from robometa.sim.locomotion.ground import has_ground
from robometa.suites.model_edits import FLOOR
from robometa.video import scene
from tests.own_robots import quadruped, suite_of

SHELL = '<geom name="shell" type="sphere" size="0.06" contype="0" conaffinity="0" mass="0.1" material="paint"/>'
BOX = '<geom name="ground" type="box" size="5 5 0.05" pos="0 0 -0.05"/>'
HILLS = '<geom name="ground" type="hfield" hfield="hills"/>'
ASSETS = '<asset><material name="paint" rgba="1 0 0 1"/>{hills}</asset>'
FIELD = '<hfield name="hills" nrow="2" ncol="2" size="5 5 0.05 0.1" elevation="0 1 1 0"/>'


@pytest.mark.parametrize(("floor", "field"), [(BOX, ""), (HILLS, FIELD)])
def test_a_model_that_discards_its_looks_is_drawn_with_them_on_its_own_floor(tmp_path, floor, field):
    xml = quadruped(floor=floor).replace('mass="6"/>', f'mass="6"/>{SHELL}', 1)
    xml = xml.replace("<worldbody>", ASSETS.format(hills=field) + "<worldbody>")
    xml = xml.replace('autolimits="true"', 'autolimits="true" discardvisual="true"')
    task = "joint_offset = 0.1\ngeom_friction = { uniform = [0.5, 1.0] }"
    suite = suite_of(tmp_path, xml, task=task)
    physics, shown = models.varied(suite.train[0]), scene.dressed(suite.train[0])
    names = [[model.geom(index).name for index in range(model.ngeom)] for model in (physics, shown)]
    assert ["shell" in of for of in names] == [False, True]
    assert shown.nq == physics.nq
    assert shown.qpos0.tolist() == physics.qpos0.tolist()
    assert has_ground(shown)
    assert shown.material(FLOOR).id >= 0


def test_a_floor_that_is_added_is_checkered(tmp_path):
    shown = scene.dressed(suite_of(tmp_path, quadruped(floor=""), "floor = true").train[0])
    floor = shown.geom(FLOOR)
    assert floor.type == mujoco.mjtGeom.mjGEOM_PLANE
    assert shown.material(int(floor.matid[0])).name == FLOOR


def test_a_model_without_a_light_has_the_house_s_and_any_other_keeps_its_own(tmp_path):
    lamp = '<light pos="0 0 3" dir="0 0 -1" diffuse="0.1 0.2 0.3"/>'
    xml = quadruped(floor="")
    dark = scene.dressed(suite_of(tmp_path, xml, "floor = true").train[0])
    assert dark.nlight == 1
    assert dark.vis.headlight.ambient.min() > 0.4
    lit = scene.dressed(
        suite_of(tmp_path, xml.replace("<worldbody>", f"<worldbody>{lamp}", 1), "floor = true").train[0]
    )
    assert lit.light_diffuse.tolist() == [pytest.approx([0.1, 0.2, 0.3])]
    assert lit.vis.headlight.ambient.max() < 0.4

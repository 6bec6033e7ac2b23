"""Suites from files: every mistake told, tasks drawn once, one's own robot by path, nothing heavy imported."""

import math
import subprocess
import sys
from dataclasses import replace

import mujoco
import pytest
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.locomotion import models
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.distributions import draw, read_distribution
from robometa.suites.robots import ROBOTS
from robometa.suites.task import Task, shortened
from robometa.suites.variations import VARIATIONS

GOOD = {
    "robot": '"half-cheetah"',
    "objective": '"velocity"',
    "horizon": "10",
    "train": "{ tasks = 3, velocity = { uniform = [0, 1] } }",
    "test": "{ tasks = 2, seed = 1, velocity = { uniform = [0, 1] } }",
}


@pytest.fixture
def write(tmp_path):
    """Writes a suite's file: a good one, but for what is asked. Every call writes a file of its own."""
    written = []

    def write(text="", **changes):
        entries = {**GOOD, **changes}
        lines = [f"{key} = {value}" for key, value in entries.items() if value is not None]
        written.append(tmp_path / f"mine-{len(written)}.toml")
        written[-1].write_text("\n".join([*lines, text]))
        return written[-1]

    return write


def mistakes(file):
    with pytest.raises(UserError) as caught:
        suites.load(str(file))
    lines = str(caught.value).split("\n")
    assert all(file.name in line for line in lines), "every mistake names the file"
    return lines


def test_a_good_file_is_loaded(write):
    file = write("learner.pearl.reward_scale = 5")
    suite = suites.load(str(file))
    assert (suite.name, suite.horizon, len(suite.train), len(suite.test)) == ("mine-0", 10, 3, 2)
    assert suite.learner == {"pearl": {"reward_scale": 5}}
    assert dict(suite.train[0].coefficients) == {"control_cost": 0.0, "alive_bonus": 0.0, "tolerance": 0.2}
    assert suite.train[0].describe().startswith("velocity 0.")


def test_a_parameter_with_one_value_for_all_of_its_parts_is_told_once():
    task = replace(suites.load("half-cheetah-velocity").train[0], parameters=(("geom_friction", (0.51,) * 9),))
    assert task.describe() == "geom_friction 0.51 (all 9)"


def test_a_short_description_leaves_numbers_out_and_a_whole_one_none():
    task = suites.load("half-cheetah-velocity").train[0]
    task = replace(task, parameters=(("body_mass", (1, 2, 3, 4, 5, 6, 7)), ("gravity", (0.5,))))
    short, whole = "body_mass 1 2 3 4 5 6 ... (7 numbers), gravity 0.5", "body_mass 1 2 3 4 5 6 7, gravity 0.5"
    assert (task.describe(), task.all_numbers()) == (short, whole)
    assert shortened(short) == short  # as reports of before have it
    assert shortened(f"reach-v3: {whole}") == f"reach-v3: {short}"


def test_all_mistakes_are_told_at_once_with_the_nearest_name(write):
    told = mistakes(
        write(
            robot='"half-cheeta"',
            objective='"velocty"',
            horizon="0",
            colour='"red"',
            finite="3",
            train="{ tasks = 0, seed = -1, velocity = { uniform = [1, 0] } }",
        )
    )
    expected = [
        "unknown key 'colour'",
        "unknown robot 'half-cheeta'",
        "(did you mean 'half-cheetah'?); known: ant, half-cheetah, hopper, humanoid, point, walker2d",
        "horizon must be a whole number from 1 to 100000, not 0",
        "unknown objective 'velocty'",
        "(did you mean 'velocity'?)",
        "finite must be true or false, not 3",
        "seed must be a whole number",
        "tasks must be a whole number",
    ]
    for message in expected:
        assert any(message in line for line in told), (message, told)
    assert len(told) == 7


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"robot": None}, "missing key 'robot'"),
        ({"train": None}, "missing key 'train'"),
        ({"robot": "3"}, "robot must be a name, a path to an .xml file or a table"),
        ({"robot": '{ name = ["ant"] }'}, "unknown robot"),
        ({"robot": '{ name = "ant", mjcf = "a.xml" }'}, "robot must be a name"),
        ({"robot": '"missing.xml"'}, "no robot file 'missing.xml' beside"),
        ({"robot": '{ name = "ant", hight = [0, 1] }'}, "unknown key 'hight' in [robot] of"),
        ({"robot": '{ name = "ant", height = [1, 0] }'}, "height = [1, 0] in [robot] of"),
        ({"robot": '{ name = "ant", height = [nan, 1] }'}, "must be a range [low, high]"),
        ({"robot": '{ name = "ant", frame_skip = 0.5 }'}, "must be a whole number from 1 to 1000"),
        ({"robot": '{ name = "ant", observe = ["sight"] }'}, "unknown term 'sight'"),
        ({"robot": '{ name = "ant", observe = [["sight"]] }'}, "must be a list of joint_positions"),
        ({"robot": '{ name = "ant", reset_noise = -1 }'}, "must not be negative"),
        ({"robot": '{ name = "ant", reset_noise = "much" }'}, "must be a finite number"),
        ({"robot": '{ name = "ant", reset_velocity_normal = 1 }'}, "must be true or false"),
        ({"robot": '{ name = "ant", body = 1 }'}, "must be a text"),
        ({"robot": '{ name = "ant", quantities = { speed = "a" } }'}, "must be a table from a quantity to a sensor"),
        ({"objective": '["velocity"]'}, "unknown objective"),
        ({"coefficients": "3"}, "coefficients must be a table"),
        ({"coefficients": "{ cost = 1 }"}, "unknown coefficient 'cost'"),
        ({"coefficients": '{ control_cost = "a" }'}, "coefficient control_cost = 'a'"),
        ({"coefficients": "{ control_cost = inf }"}, "must be a finite number"),
        ({"learner": "3"}, "learner must hold one table"),
        ({"train": "3"}, "[train] of"),
        ({"train": "{ tasks = 2 }"}, "missing parameter 'velocity' in [train] of"),
        ({"train": "{ tasks = 2, velocity = 1, spped = 1 }"}, "unknown parameter 'spped' in [train] of"),
        ({"train": "{ velocity = { uniform = [0, 1] } }"}, "tasks is missing in [train] of"),
        ({"train": "{ tasks = 3, velocity = { values = [1, 2] } }"}, "2 values for 3 tasks in [train] of"),
        ({"train": "{ tasks = 2, velocity = { unifrom = [0, 1] } }"}, "did you mean 'uniform'"),
        ({"train": "{ tasks = 2, velocity = { disc = 1 } }"}, "disc gives a point of 2 numbers, and this takes 1"),
        ({"train": "{ tasks = 2, velocity = [1, 2] }"}, "1 number needed, not [1, 2]"),
        ({"train": "{ tasks = 2, velocity = 1, body_mass = [1, 2] }"}, "body_mass in [train] of"),
        (
            {"test": "{ tasks = 3, seed = 0, velocity = { uniform = [0, 1] } }"},
            "3 tasks are both in [train] and in [test]",
        ),
    ],
)
def test_each_mistake_is_told(write, changes, told):
    lines = mistakes(write(**changes))
    assert any(told in line for line in lines), lines


def test_what_is_no_toml_is_told(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text("robot = ")
    assert "is not a TOML file" in mistakes(file)[0]


@pytest.mark.parametrize(
    "key", ["about" + ".a" * 16, "x = { a" + " . b" * 16, '"a"' + ".'b'" * 16, "[a" + ".\tb" * 16 + "]\nc"]
)
def test_a_key_of_many_parts_is_refused_before_it_eats_memory(tmp_path, key):
    file = tmp_path / "deep.toml"
    file.write_text(f"{key} = 1")
    assert "more than 16 parts" in mistakes(file)[0]


def test_dots_elsewhere_are_no_key(write):
    assert suites.load(str(write(about='"a.b.c.d.e.f.g. h.i.j.k.l.m.n, 0.1, 0.2, 0.3"'))).about.startswith("a.b")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("half-cheetah-velocty", "did you mean 'half-cheetah-velocity'"),
        ("./nowhere.toml", "no suite file './nowhere.toml'"),
        ("../half-cheetah-velocity", "no suite file"),
        ("x" * 300 + "/y", "no suite file"),
    ],
)
def test_an_unknown_suite_is_told(name, told):
    with pytest.raises(UserError, match=told):
        suites.load(name)


def test_an_unknown_split_is_told():
    with pytest.raises(UserError, match="did you mean 'train'"):
        suites.load("point-robot").tasks("trian")


def test_a_finite_set_may_be_shared(write):
    both = "{ velocity = { values = [1, 2] } }"
    assert suites.load(str(write(train=both, test=both, finite="true"))).finite
    assert "both in [train] and in [test]" in mistakes(write(train=both, test=both))[0]


def test_tasks_in_both_splits_are_told_with_the_other_mistakes(write):
    both = "{ velocity = { values = [1, 2] } }"
    lines = mistakes(write(train=both, test=both, horizon="0", colour='"red"'))
    assert [" ".join(line.split()[:2]) for line in lines] == ["unknown key", "horizon must", "2 tasks"]


def test_a_wrong_distribution_is_told_of_an_unknown_robot_too(write):
    hidden = "{ tasks = 2, velocity = 1, gravity = { unifrm = [1, 2] }, payload = [1, 2], body_mass = { arc = 3 } }"
    lines = mistakes(write(robot='"hoper"', train=hidden))
    assert len(lines) == 2
    assert "gravity in [train]" in lines[1]
    assert "did you mean 'uniform'" in lines[1]


def test_held_out_tasks_are_drawn_with_another_seed_by_default(write):
    for seed in ("", "seed = 0, ", "seed = 1, ", "seed = 5, "):
        train = f"{{ tasks = 3, {seed}velocity = {{ uniform = [0, 1] }} }}"
        suite = suites.load(str(write(train=train, test="{ tasks = 3, velocity = { uniform = [0, 1] } }")))
        assert not {task.parameters for task in suite.train} & {task.parameters for task in suite.test}
    assert suites.load(str(write())).content_hash == suites.load(str(write(test=GOOD["test"]))).content_hash


@pytest.mark.parametrize(
    "test",
    [
        "gravity = 1, velocity = { uniform = [0, 1] }",  # the factor that changes nothing
        "gravity = 0.5, velocity = { uniform = [0, 1] }",  # the same speeds, all the same
        "payload = { uniform = [0, 2] }, velocity = { uniform = [0, 1] }",
        "velocity = { values = [0.1, 0.8444218515250481, 0.3] }",  # a number of the other table
    ],
)
def test_a_held_out_task_that_is_a_training_task_is_refused_whatever_else_the_tables_say(write, test):
    file = write(test=f"{{ tasks = 3, seed = 0, {test} }}")
    train = suites.load(str(write())).train
    count = 1 if "values" in test else 3
    if count == 1:
        file.write_text(file.read_text().replace("0.8444218515250481", repr(train[0].parameters[0][1][0])))
    words = "1 task is" if count == 1 else "3 tasks are"
    assert f"{words} both in [train] and in [test]" in mistakes(file)[0]


@pytest.mark.parametrize(
    "test",
    [
        "{ tasks = 3, gravity = 0.5, velocity = { uniform = [0, 1] } }",
        "{ tasks = 2, gravity = 0.5, velocity = { values = [0.25, 0.5] } }",
        "{ tasks = 2, gravity = { uniform = [0.5, 0.9] }, velocity = 0.5 }",
    ],
)
def test_tasks_that_share_some_numbers_are_held_out(write, test):
    listed = "{ tasks = 2, velocity = { values = [0.25, 0.5] } }"
    assert suites.load(str(write(train=GOOD["train"] if "uniform = [0, 1]" in test else listed, test=test)))


def test_tasks_stay_what_they_were():
    """A change here changes every result on the suite: bump the version and say so in the changelog."""
    suite = suites.load("half-cheetah-velocity")
    drawn = [dict(task.parameters)["velocity"][0] for task in suite.train[:3]]
    assert drawn == [1.038089305855136, 0.7002981087482693, 0.7169015249922261]
    assert [dict(task.parameters)["velocity"][0] for task in suite.test[:1]] == [2.0240875933058855]
    assert suite.content_hash == "1413a9c1e35848f907c2954d36f592e63f3d1ebc91bbed51ac8a4f34eb92f943"


def test_the_hash_is_of_what_results_depend_on(write):
    def hash_of(**changes):
        return suites.load(str(write(**changes))).content_hash

    plain = hash_of()
    assert hash_of() == plain  # the file's name does not count
    assert hash_of(about='"words"') == plain
    assert hash_of(learner="{ pearl = { width = 3 } }") == plain
    assert hash_of(coefficients="{ alive_bonus = 0.0 }") == plain  # the default, said
    others = [
        hash_of(horizon="11"),
        hash_of(coefficients="{ alive_bonus = 1.0 }"),
        hash_of(robot='{ name = "half-cheetah", reset_noise = 0.2 }'),
        hash_of(robot='"hopper"'),
        hash_of(train="{ tasks = 4, velocity = { uniform = [0, 1] } }"),
        hash_of(train="{ tasks = 3, seed = 7, velocity = { uniform = [0, 1] } }"),
    ]
    assert len({plain, *others}) == 7


def test_a_parameter_more_leaves_the_others_alone(write):
    few = suites.load(str(write()))
    more = suites.load(
        str(write(train="{ tasks = 5, gravity = { uniform = [0.5, 1] }, velocity = { uniform = [0, 1] } }"))
    )
    for one, other in zip(few.train, more.train, strict=False):
        assert dict(one.parameters)["velocity"] == dict(other.parameters)["velocity"]


@pytest.mark.parametrize("name", ROBOTS)
def test_the_sizes_of_a_robot_are_its_models(name):
    model, sizes = mujoco.MjModel.from_xml_path(str(ROBOTS[name].mjcf)), ROBOTS[name].sizes
    assert (sizes.bodies, sizes.geoms, sizes.velocities, sizes.actuators) == (
        model.nbody - 1,
        model.ngeom,
        model.nv,
        model.nu,
    )


# The number of numbers that PEARL's and Gymnasium's policies see, contact forces aside.
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("half-cheetah-velocity", 18),
        ("ant-direction", 27),
        ("ant-goal", 29),
        ("walker2d-params", 17),
        ("hopper-params", 11),
        ("humanoid-direction-2d", 48),
        ("point-robot", 2),
    ],
)
def test_what_the_policy_sees(name, size):
    assert CpuEngine(suites.load(name), 1, 1, threads=1).spaces.observation == size


@pytest.mark.parametrize(("name", "step"), [("walker2d-params", 0.016), ("hopper-params", 0.016), ("point-robot", 0.1)])
def test_the_control_step(name, step):
    assert CpuEngine(suites.load(name), 1, 1, threads=1).control_step == pytest.approx(step)


def test_every_kind_of_distribution():
    def numbers(value, size=3, index=1):
        return draw(read_distribution(value, size), f"key/{index}", index)

    assert numbers(2) == (2.0, 2.0, 2.0)
    assert numbers([1, 2, 3]) == (1.0, 2.0, 3.0)
    assert numbers({"values": [[1, 2, 3], 5]}) == (5.0, 5.0, 5.0)
    assert all(4 <= number <= 5 for number in numbers({"uniform": [4, 5]}))
    assert len(set(numbers({"uniform": [4, 5]}))) == 3
    assert len(set(numbers({"uniform": [4, 5], "shared": True}))) == 1
    assert numbers({"uniform": [4, 4]}) == (4.0, 4.0, 4.0)
    assert numbers({"normal": [4, 0]}) == (4.0, 4.0, 4.0)
    many = [number for index in range(2000) for number in numbers({"normal": [1, 2]}, index=index)]
    mean = sum(many) / len(many)
    assert mean == pytest.approx(1, abs=0.1)
    assert math.sqrt(sum((number - mean) ** 2 for number in many) / len(many)) == pytest.approx(2, rel=0.05)
    exponents = [math.log(number, 1.5) for number in numbers({"base": 1.5, "exponent": [-3, 3]}, size=3000)]
    assert -3 <= min(exponents) < -2.9
    assert 2.9 < max(exponents) <= 3
    points = [numbers({"disc": 3}, size=2, index=index) for index in range(2000)]
    radii = [math.hypot(*point) for point in points]
    assert max(radii) <= 3
    assert sum(radius < 1.5 for radius in radii) == pytest.approx(500, abs=75)  # uniform in area: a quarter
    for point in (numbers({"arc": [2, 0, math.pi]}, size=2, index=index) for index in range(50)):
        assert math.hypot(*point) == pytest.approx(2)
        assert point[1] >= 0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("1", "a finite number needed, not '1'"),
        (True, "a finite number needed, not True"),
        (math.nan, "a finite number needed, not nan"),
        ({}, "one distribution of uniform"),
        ({"uniform": [0, 1], "normal": [0, 1]}, "one distribution of"),
        ({"uniform": [1]}, "2 numbers needed"),
        ({"uniform": [0, math.inf]}, "a finite number needed, not inf"),
        ({"uniform": [0, 1], "shred": True}, "did you mean 'shared'"),
        ({"uniform": [0, 1], "shared": 1}, "shared must be true or false"),
        ({"normal": [0, -1]}, "must not be negative"),
        ({"base": -1, "exponent": [0, 1]}, "base must be positive"),
        ({"base": 2}, "2 numbers needed, not None"),
        ({"disc": -1}, "a radius must be positive"),
        ({"arc": [0, 1, 2]}, "a radius must be positive"),
        ({"values": []}, "a list with an entry for each task"),
        ({"values": 3}, "a list with an entry for each task"),
    ],
)
def test_a_wrong_distribution_is_told(value, told):
    with pytest.raises(ValueError, match=told):
        read_distribution(value, 2)


def changed(robot, **parameters):
    """The model of a robot, as drawn and with one variation."""
    values = tuple((name, tuple(value)) for name, value in parameters.items())
    task = Task(ROBOTS[robot], "forward", (), values, 10)
    return models.compiled(ROBOTS[robot])[0], models.varied(task)


def test_mass_and_inertia_change_together_and_what_follows_from_them():
    plain, heavy = changed("hopper", body_mass=[2.0] * 4)
    assert heavy.body_mass[1:] == pytest.approx(2 * plain.body_mass[1:])
    assert heavy.body_inertia[1:] == pytest.approx(2 * plain.body_inertia[1:])
    assert heavy.body_subtreemass[1] == pytest.approx(2 * plain.body_subtreemass[1])
    # What a push along x meets: the whole mass, and the joints' armature, which stays.
    assert heavy.dof_invweight0[0] == pytest.approx(plain.dof_invweight0[0] / 2, rel=0.05)


def test_the_other_variations_change_what_they_say():
    plain, bent = changed("half-cheetah", slope=[0.1])
    assert bent.opt.gravity[0] == pytest.approx(-9.81 * math.sin(0.1))  # uphill ahead: gravity pulls back
    assert bent.opt.gravity[2] == pytest.approx(-9.81 * math.cos(0.1))
    assert changed("half-cheetah", gravity=[0.5])[1].opt.gravity[2] == pytest.approx(-9.81 / 2)
    loaded = changed("half-cheetah", payload=[3.0])[1]
    assert loaded.body("torso").mass[0] == pytest.approx(plain.body("torso").mass[0] + 3)
    weak = changed("half-cheetah", motor_strength=[0, 1, 1, 1, 1, 0.5])[1]
    assert weak.actuator_gainprm[:, 0].tolist() == [0, 1, 1, 1, 1, 0.5]
    slippery = changed("half-cheetah", geom_friction=[0.5] * 27)[1]
    assert slippery.geom_friction[0, 0] == pytest.approx(plain.geom_friction[0, 0] / 2)
    damped = changed("half-cheetah", joint_damping=[3.0] * 9)[1]
    assert damped.dof_damping[3] == pytest.approx(3 * plain.dof_damping[3])


def test_a_joint_offset_turns_the_joint_and_leaves_its_reading():
    """A joint that stands 0.3 rad off its reading stands where another would read 0.3 rad more."""
    plain, offset = changed("half-cheetah", joint_offset=[0.3, 0, 0, 0, 0, 0])
    places = []
    for model, reading in ((plain, 0.4), (offset, 0.1)):
        simulation = mujoco.MjData(model)
        simulation.qpos[:] = models.compiled(ROBOTS["half-cheetah"])[0].qpos0
        simulation.qpos[3] = reading
        mujoco.mj_forward(model, simulation)
        places.append(simulation.body("bfoot").xpos.copy())
    assert places[0] == pytest.approx(places[1])
    assert offset.qpos_spring.tolist() == plain.qpos_spring.tolist()


def test_every_variation_says_its_size():
    sizes = ROBOTS["hopper"].sizes
    for name, variation in VARIATIONS.items():
        model = changed("hopper", **{name: [1.0] * variation.size(sizes)})[1]
        assert model.nq == 6


ARM = """
<mujoco>
  <worldbody>
    <body name="base">
      <geom size="0.1" mass="1"/>
      <body name="arm" pos="0 0 0.2">
        <joint name="shoulder" type="hinge" axis="0 0 1" damping="1"/>
        <geom type="capsule" size="0.03" fromto="0 0 0 0.5 0 0" mass="1"/>
        <body name="hand" pos="0.5 0 0"><geom size="0.05" mass="0.1"/></body>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="shoulder" gear="5"/></actuator>
  <sensor><framelinvel name="swing" objtype="xbody" objname="hand"/></sensor>
</mujoco>
"""
SWING = '{ mjcf = "arm.xml", body = "hand", frame_skip = 4, observe = ["joint_positions", "velocities", "position"]'


def test_a_robot_of_ones_own_by_relative_path(write, tmp_path, monkeypatch):
    (tmp_path / "arm.xml").write_text(ARM)
    monkeypatch.chdir("/")  # the path is relative to the suite's file, not to where one stands
    goals = "{ tasks = 2, goal = { disc = 1 } }"
    suite = suites.load(
        str(write(robot=SWING + "}", objective='"goal"', train=goals, test=goals.replace("{ t", "{ seed = 1, t", 1)))
    )
    assert suite.robot.name == "arm"
    engine = CpuEngine(suite, 2, 3, threads=1)
    obs = engine.reset(Noise(0, ("own",), 2, 3))
    # One joint, its velocity, and the hand's place, which no joint of its own tells: a sensor does.
    assert obs.shape == (2, 3, 4)
    angle = obs[..., 0]
    assert torch.allclose(obs[..., 2:], 0.5 * torch.stack((angle.cos(), angle.sin()), -1), atol=1e-6)
    outcome = engine.step(torch.ones(2, 3, 1))
    goal = torch.tensor([dict(task.parameters)["goal"] for task in suite.train])
    distance = (outcome.obs[..., 2:] - goal[:, None]).norm(dim=-1)
    assert torch.allclose(outcome.reward, -distance, atol=1e-5)


def test_what_was_edited_in_the_same_process_is_read_again(write, tmp_path):
    goals = "{ tasks = 2, goal = { disc = 1 } }"
    parts = {
        "robot": SWING + "}",
        "objective": '"goal"',
        "train": goals,
        "test": goals.replace("{ t", "{ seed = 1, t", 1),
    }
    (tmp_path / "arm.xml").write_text(ARM)
    path = write(**parts)
    first = suites.load(path)
    assert suites.load(path) is first
    path.write_text(path.read_text().replace("horizon = 10", "horizon = 20"))
    longer = suites.load(path)
    assert (first.horizon, longer.horizon) == (10, 20)
    before = CpuEngine(longer, 2, 1, threads=1).model.body_mass[1]
    (tmp_path / "arm.xml").write_text(ARM.replace('mass="1"', 'mass="2"', 1))
    other = suites.load(path)
    assert other.content_hash != longer.content_hash
    assert (before, CpuEngine(other, 2, 1, threads=1).model.body_mass[1]) == (1, 2)


BROKEN = "<mujoco><worldbody><geom type='heart'/></worldbody></mujoco>"
"""Well-formed, and no model."""


def test_a_quantity_from_a_sensor(write, tmp_path):
    (tmp_path / "arm.xml").write_text(ARM)
    suite = suites.load(str(write(robot=SWING + ', quantities = { forward_velocity = "swing" } }')))
    engine = CpuEngine(suite, 1, 4, threads=1)
    engine.reset(Noise(0, ("own",), 1, 4))
    outcome = engine.step(torch.ones(1, 4, 1))
    wanted = dict(suite.train[0].parameters)["velocity"][0]
    assert torch.allclose(outcome.reward[0], -(engine._sensed[:, 0] - wanted).abs().float())


@pytest.mark.parametrize(
    ("robot", "told"),
    [
        ('"arm.xml"', "unknown body 'torso' in arm.xml; known: arm, base, hand; say which one in [robot] body"),
        ('{ mjcf = "arm.xml", body = "hnd" }', "did you mean 'hand'"),
        (SWING + ', quantities = { velocity = "swng" } }', "unknown sensor 'swng' in arm.xml (did you mean 'swing'?)"),
        (SWING + ", height = [0, 1] }", "a height range needs a body that can rise and fall"),
        (SWING + ", pitch = 1 }", "a pitch limit needs a body with a hinge about y"),
        ('"broken.xml"', "broken.xml is not a model that MuJoCo can load"),
        ('"torn.xml"', "torn.xml is not well-formed XML"),
    ],
)
def test_what_a_model_lacks_is_told(write, tmp_path, robot, told):
    (tmp_path / "arm.xml").write_text(ARM)
    (tmp_path / "broken.xml").write_text(BROKEN)
    (tmp_path / "torn.xml").write_text("<mujoco><worldbody></mujoco>")
    with pytest.raises(UserError) as caught:
        CpuEngine(suites.load(str(write(robot=robot))), 1, 1, threads=1)
    assert told in str(caught.value)


def test_a_broken_model_that_must_be_counted_is_told(write, tmp_path):
    (tmp_path / "broken.xml").write_text(BROKEN)
    varied = "{ tasks = 2, velocity = 1, body_mass = { uniform = [1, 2] } }"
    with pytest.raises(UserError, match=r"broken\.xml is not a model that MuJoCo can load"):
        suites.load(str(write(robot='"broken.xml"', train=varied)))


@pytest.mark.parametrize(
    "program",
    [
        "import robometa",
        "from robometa import suites; suites.names(); [suites.load(name) for name in suites.names()]",
        "from robometa import suites\ntry: suites.load('ant-gaol')\nexcept Exception as told: print(end='')",
    ],
)
def test_suites_are_listed_without_torch_or_a_simulator(program):
    check = f"{program}\nimport sys; print(sorted({{'torch', 'mujoco', 'gymnasium', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr

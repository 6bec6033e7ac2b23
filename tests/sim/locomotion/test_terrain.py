"""Uneven ground: drawn from each task's seed, in physics and in the video."""

from contextlib import closing

import numpy as np
import pytest
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.locomotion import models
from robometa.sim.select import engine_of
from robometa.suites.model_edits import TERRAIN
from robometa.video.scene import dressed

SUITE = """
objective = "forward"
horizon = 15
robot = "half-cheetah"
[sim_to_real]
terrain = {terrain}
[train]
tasks = 2
payload = { uniform = [0.0, 1.0] }
[test]
tasks = 1
payload = { uniform = [0.0, 1.0] }
"""

HASH = "75bde616a2fc00816ac70b5095a5627e1b41388cb9f060c1137a7c8d5225ef07"
"""Hash of a suite with another difference, from before there was uneven ground."""


def suite_on(folder, terrain, robot="half-cheetah"):
    path = folder / "uneven.toml"
    path.write_text(SUITE.replace("{terrain}", terrain).replace("half-cheetah", robot))
    return suites.load(path)


def heights(model):
    first = int(model.hfield(TERRAIN).adr[0])
    return model.hfield_data[first:]


def test_each_task_has_a_ground_of_its_own_and_always_the_same(tmp_path):
    suite = suite_on(tmp_path, "{ height = 0.2, cell = 0.5 }")
    first, second = (heights(models.varied(task)) for task in suite.train)
    assert np.ptp(first) > 0.9
    assert not np.array_equal(first, second)
    (tmp_path / "again").mkdir()
    again = suite_on(tmp_path / "again", "{ height = 0.2, cell = 0.5 }")
    assert again.content_hash == suite.content_hash
    assert [task.ground for task in again.train + again.test] == [task.ground for task in suite.train + suite.test]
    assert len({task.ground for task in suite.train + suite.test}) == 3


def test_another_seed_makes_another_suite(tmp_path):
    suite = suite_on(tmp_path, "{ height = 0.2, cell = 0.5 }")
    path = tmp_path / "other.toml"
    path.write_text((tmp_path / "uneven.toml").read_text().replace("[train]", "[train]\nseed = 7"))
    assert suites.load(path).content_hash != suite.content_hash


@pytest.mark.parametrize(
    ("robot", "terrain"),
    [("half-cheetah", '{ height = 0.3, cell = 0.5, kind = "steps" }'), ("ant", "{ height = 0.5, cell = 0.5 }")],
)
def test_robots_stand_on_it(tmp_path, robot, terrain):
    """The ground holds them up: without it, their bodies begin and stay lower."""
    low = []
    for one in (terrain, terrain.replace(terrain[11:14], "0.001", 1)):
        suite = suite_on(tmp_path, one, robot)
        with closing(engine_of(suite, tasks=2, worlds=2, threads=1)) as engine:
            engine.assign(suite.train)
            engine.reset(Noise(0, ("test",), 2, 2))
            for _ in range(suite.horizon - 1):  # the last one would begin anew
                outcome = engine.step(torch.zeros(2, 2, engine.spaces.action))
            assert not outcome.diverged.any()
            state = engine.state().physics
            low.append(float(state[..., 2 if robot == "half-cheetah" else 3].mean()))
    assert low[0] > low[1] + 0.05


def test_steps_are_level_across(tmp_path):
    suite = suite_on(tmp_path, '{ height = 0.2, cell = 1.0, kind = "steps" }')
    rows = heights(models.varied(suite.train[0])).reshape(2, -1, 4)
    assert np.array_equal(rows[0], rows[1])
    assert np.ptp(rows, axis=2).max() == 0


def test_a_video_shows_the_ground_that_the_physics_have(tmp_path):
    suite = suite_on(tmp_path, "{ height = 0.2, cell = 0.5 }")
    for task in suite.train:
        assert np.array_equal(heights(dressed(task)), heights(models.varied(task)))


@pytest.mark.parametrize(
    ("terrain", "fault"),
    [
        ("0.1", "must be a table of height, cell, kind, reach"),
        ("{ cell = 0.1 }", "with a height"),
        ("{ height = -1 }", "must be above 0"),
        ("{ height = 2 }", "height must be at most 1 m"),
        ("{ height = 0.1, cell = 0.001 }", "leave at most 262144 heights"),
        ('{ height = 0.1, kind = "hills" }', "kind must be one of bumps, steps"),
        ("{ height = 0.1, width = 2 }", "width"),
    ],
)
def test_a_wrong_ground_is_told_in_one_line(tmp_path, terrain, fault):
    with pytest.raises(UserError, match=fault) as caught:
        suite_on(tmp_path, terrain)
    assert str(caught.value).count("\n") == 0


def test_even_ground_keeps_the_hash_of_a_suite_with_other_differences(tmp_path):
    path = tmp_path / "even.toml"
    path.write_text(SUITE.replace("terrain = {terrain}", "motor_offset = 0.1"))
    assert suites.load(path).content_hash == HASH

"""A policy in a window: keys change the task, let it adapt, break a joint and begin anew."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
from conftest import SMALL_OPTIONS

from robometa import suites
from robometa.commands.main import main
from robometa.registry.options import resolve
from robometa.trials import make
from robometa.video import live, storyboard
from robometa.video.film import Target
from robometa.video.live_marks import distance_to_see, mark
from torture.trainings import SUITE

POLICY = Path(__file__).parents[2] / "policies/half-cheetah-velocity-rl2"
IN_A_WINDOW = """
import os
import sys
from pathlib import Path
from robometa.policies.policy_folder import load_policy
from robometa.video import live

class Brief(live.Viewer):
    shown = 0
    def show(self, positions):
        super().show(positions)
        Brief.shown += 1
        if Brief.shown == 5:
            self.close()

learner, suite, _ = load_policy(Path(sys.argv[1]))
live.Live(learner, suite, window=Brief).run()
print("shown", Brief.shown, flush=True)
os._exit(0)  # a window that closes while it opens may keep its thread
"""


class Fake:
    """A window that presses keys at given pictures, and closes after the last."""

    def __init__(self, keys, last):
        self.keys, self.last, self.shown, self.closed, self.opened = dict(keys), last, 0, False, 0

    def __call__(self, subject, press):
        """Opens it."""
        self.press, self.opened, self.closed = press, self.opened + 1, False
        return self

    def aim(self, target):
        """Keeps the target."""
        self.target = target

    def show(self, positions):
        """Presses the key of this picture."""
        assert len(positions) == 2
        self.shown += 1
        if self.shown in self.keys:
            self.press(ord(self.keys[self.shown]))

    def is_open(self):
        """Tells if it is open."""
        return not self.closed and self.shown < self.last

    def close(self):
        """Closes it."""
        self.closed = True


def played(suite, learner, keys, last):
    """All that is said while the keys are pressed at their pictures."""
    config = resolve(suite, learner, SMALL_OPTIONS[learner])
    said, window = [], Fake(keys, last)
    trained = make.build(learner, config, suite, seed=0)
    live.Live(trained, suite, window=window, say=said.append, pause=lambda seconds: None).run()
    assert window.closed
    return said


@pytest.mark.parametrize("learner", ["maml-trpo", "rl2"])
def test_keys_change_what_is_shown(tiny_suite, learner):
    said = "\n".join(played(tiny_suite, learner, {8: "7", 20: "8", 24: "6", 28: "9"}, 40))
    order = [
        "test task 0",
        "shot 1: explores",
        "after 1 shots: return",
        "actuator 0 of 2 is broken",
        "motor strength 0 1",
    ]
    places = [said.index(words) for words in [*order, "test task 1"]]
    assert places == sorted(places)
    assert said.count("test task 1") == 2, "forgotten once"


def test_a_broken_joint_is_mended_after_the_last(tiny_suite):
    said = played(tiny_suite, "rl2", {2: "8", 4: "8", 6: "8"}, 10)
    assert [words for words in said[1:] if "is broken" in words or "work" in words] == [
        "actuator 0 of 2 is broken",
        "actuator 1 of 2 is broken",
        "all joints work",
    ]


def test_other_keys_are_the_viewer_s(tiny_suite):
    said = played(tiny_suite, "rl2", {2: "n"}, 6)
    assert sum("task 0" in words for words in said) == 1


def test_without_a_display_it_says_what_to_do(monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["play", str(POLICY)]) == 2
    said = capsys.readouterr().err
    assert "DISPLAY is not set" in said
    assert f"robometa record {POLICY}" in said


def test_a_display_that_is_not_there_is_told(monkeypatch, capsys):
    monkeypatch.setenv("DISPLAY", ":4711")
    assert main(["play", str(POLICY)]) == 2
    assert "gives none with OpenGL" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs Xvfb")
def test_mujoco_s_viewer_shows_a_policy():
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-P", "-c", IN_A_WINDOW, str(POLICY)],
        env=os.environ | {"PYTHONPATH": str(Path(suites.__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "shown 5" in done.stdout, done.stderr


def test_the_camera_is_far_enough_away_to_see_the_goal():
    tangent = 0.41  # of half the viewer's field of view
    for name in ("point-robot", "ant-goal"):
        suite = suites.load(name)
        for task in suite.test[:5]:
            away = max(map(abs, dict(task.parameters)["goal"]))
            assert distance_to_see(storyboard.subject(suite, task).target, 0.1) * tangent > away
    assert distance_to_see(Target("speed", (9.0,), 0.2), 0.1) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("suite", "count"),
    [("point-robot", 2), ("ant-goal", 2), ("half-cheetah-direction", 1), ("ant-direction-2d", 1), ("ml1/reach-v3", 2)],
)
def test_a_target_is_marked_in_the_window(suite, count):
    loaded = suites.load(suite)
    scene = mujoco.MjvScene(mujoco.MjModel.from_xml_string("<mujoco/>"), maxgeom=10)
    for task in loaded.test[:2]:  # the second replaces the first
        mark(scene, storyboard.subject(loaded, task).target, np.zeros(3), 1.0)
        assert scene.ngeom == count
    for index in range(count):
        assert np.isfinite(scene.geoms[index].pos).all()
    mark(scene, Target("speed", (1.0,), 0.2), np.zeros(3), 1.0)
    assert scene.ngeom == 0


def test_a_task_that_changes_is_aimed_at_anew(tmp_path):
    file = tmp_path / "changing.toml"
    file.write_text(SUITE + '[change]\nat = [3]\nredraw = ["goal"]\n', encoding="utf-8")
    suite = suites.load(str(file))
    said = played(suite, "rl2", {}, 5)
    assert [words.partition(" (")[0] for words in said if words.startswith("now")] == ["now goal at", "now goal at"]
    first, second = (words for words in said if words.startswith("now"))
    assert first != second

"""Videos: what is recorded, what is drawn, what is written, and what is refused."""

import contextlib
import dataclasses
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from conftest import record_of

from robometa import suites
from robometa.errors import UserError
from robometa.evaluation.scripted_experts import Scripted
from robometa.policies import policy_folder
from robometa.registry.options import read_config
from robometa.sim.locomotion.models import compiled
from robometa.trials import make
from robometa.video import film, gl_backends, overlay, storyboard
from robometa.video.record import play, record
from robometa.video.targets import targets
from robometa.video.task_words import in_words

HORIZON = 12


@pytest.fixture(scope="session")
def drawing():
    """Fails, saying what to install, where nothing can draw: a video that cannot be tested is not a passed test."""
    try:
        return gl_backends.find()
    except UserError as error:
        pytest.fail(str(error), pytrace=False)


def short(name: str):
    return dataclasses.replace(suites.load(name), horizon=HORIZON)


def untrained(folder: Path, name: str, learner: str) -> Path:
    suite = suites.load(name)
    built = make.build(learner, read_config(learner, {"worlds": 2}), suite, seed=0)
    if learner == "maml-trpo":
        generator = torch.Generator().manual_seed(0)
        built.parameters = built.parameters + 0.3 * torch.randn(built.parameters.shape, generator=generator)
    path = folder / f"{name.replace('/', '-')}-{learner}"
    policy_folder.save_policy(path, built, learner, suite, record_of(learner), "# untrained")
    return path


def frames(path: Path, width: int, height: int) -> np.ndarray:
    """Every frame that ffmpeg decodes. `[frame, height, width, 3]`."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path)]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(decoded, np.uint8).reshape(-1, height, width, 3)


def says(path: Path) -> str:
    """What ffmpeg says of a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_a_half_cheetah_adapts_on_a_video_that_plays_everywhere(tmp_path, drawing):
    suite = short("half-cheetah-velocity")
    policy = untrained(tmp_path, "half-cheetah-velocity", "maml-trpo")
    out = tmp_path / "video.mp4"
    written = record(policy, suite=suite, task=1, shots=2, out=out, width=641, height=241)
    assert written == (out, tmp_path / "video.gif")
    said = says(out)
    for word in ("h264", "yuv420p", "640x240", "20 fps"):  # a control step of 0.05 s, in real time
        assert word in said
    shown = frames(out, 640, 240)
    assert len(shown) == HORIZON + 1 + round(1.5 * 20)
    assert "gif" in says(written[1])
    views = [shown[:, 41:216, left : left + 202].astype(int) for left in (9, 218, 427)]
    assert views[0].std() > 10, "there is nothing to see"
    for view in views[1:]:
        assert np.abs(view[0] - views[0][0]).mean() < 2, "panels start differently"
        assert np.abs(view[HORIZON] - views[0][HORIZON]).mean() > 1, "the adaptation does not show"
    assert np.abs(views[0][0] - views[0][HORIZON]).mean() > 1, "nothing moves"
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["video.gif", "video.mp4"]


def test_a_point_robot_with_one_shot_has_two_panels_and_only_a_gif_if_asked(tmp_path, drawing):
    policy = untrained(tmp_path, "point-robot", "pearl")
    out = tmp_path / "point.gif"
    written = record(policy, suite=short("point-robot"), shots=1, out=out, width=480, height=240)
    assert written == (out,)
    assert "gif" in says(out)
    assert not list(tmp_path.glob("*.mp4"))


def test_panels_start_identically_and_differ_after_adaptation(tmp_path):
    suite = short("half-cheetah-velocity")
    learner, _, _ = policy_folder.load_policy(untrained(tmp_path, suite.name, "maml-trpo"), suite)
    episodes = play(learner, suite, "test", 0, 3, seed=4)
    assert [episode.title for episode in episodes] == [
        "before adaptation",
        "after 1 shot (2 episodes)",
        "after 3 shots (6 episodes)",
    ]
    for episode in episodes:
        assert len(episode.physics) == HORIZON
        np.testing.assert_array_equal(episode.physics[0], episodes[0].physics[0])
    assert not np.array_equal(episodes[0].physics[-1], episodes[1].physics[-1])
    again = play(learner, suite, "test", 0, 3, seed=4)
    np.testing.assert_array_equal(again[2].physics, episodes[2].physics)
    other = play(learner, suite, "test", 0, 3, seed=5)
    assert not np.array_equal(other[0].physics[0], episodes[0].physics[0])


def test_a_policy_that_does_not_adapt_is_shown_in_one_episode(tmp_path):
    suite = short("half-cheetah-velocity")
    learner, _, _ = policy_folder.load_policy(untrained(tmp_path, suite.name, "no-adaptation"), suite)
    (episode,) = play(learner, suite, "test", 0, 2, seed=4)
    assert episode.title == "an episode"
    assert len(episode.physics) == HORIZON


@pytest.mark.usefixtures("meta_world")
def test_an_expert_is_recorded_on_a_held_out_goal(tmp_path, drawing):
    out = tmp_path / "push.gif"
    assert record("scripted", suite=short("ml1/push-v3"), task=3, out=out, width=480, height=240) == (out,)
    assert "gif" in says(out)


@pytest.mark.slow
@pytest.mark.usefixtures("meta_world")
def test_the_arm_adapts_on_a_video(tmp_path, drawing):
    suite = short("ml1/reach-v3")
    policy = untrained(tmp_path, "ml1/reach-v3", "maml-trpo")
    out = tmp_path / "reach.mp4"
    record(policy, suite=suite, task=1, shots=2, out=out, width=640, height=240, gif=False)
    shown = frames(out, 640, 240)
    assert len(shown) == HORIZON / 4 + 1 + round(1.5 * 20)
    views = [shown[:, 41:216, left : left + 202].astype(int) for left in (9, 218, 427)]
    assert views[0].std() > 10, "there is nothing to see"
    for view in views:
        violet = (view[0] * [1, -2, 1]).sum(axis=-1) > 150
        assert 20 < violet.sum() < 3000, "the goal is not drawn"


@pytest.fixture
def meta_world():
    """Skips where Meta-World is not installed."""
    pytest.importorskip("metaworld")


@pytest.fixture
def experts(meta_world):
    """Tells what an expert does in an episode of a task that it solves, as a film has it."""

    def told(name: str):
        suite = suites.load(f"ml1/{name}")
        task = suite.test[0]
        episode = play(Scripted([task]), dataclasses.replace(suite, horizon=160), "test", 0, 0, seed=0)[0]
        assert episode.success.any()
        return suite, task, episode

    return told


@pytest.mark.parametrize("name", ["reach-v3", "push-v3", "door-open-v3", "peg-insert-side-v3", "faucet-open-v3"])
def test_success_is_within_the_drawn_radius_of_what_is_measured(experts, name):
    suite, task, episode = experts(name)
    subject = storyboard.subject(suite, task)
    away = subject.measure(episode.physics, episode.sensors)[1:]
    np.testing.assert_array_equal(away <= subject.target.tolerance, episode.success[:-1])


def test_a_film_of_the_arm_shows_the_goal_the_way_and_the_success(experts):
    suite, task, episode = experts("reach-v3")
    film_ = storyboard.film(suite, task, [episode], where="held-out task 0", learner="", size=(480, 240), gif=False)
    place = ", ".join(f"{value:.2f}" for value in film_.target.values).replace("-", "\N{MINUS SIGN}")
    assert film_.task == f"held-out task 0: reach, goal at ({place}) m"
    assert film_.rate == pytest.approx(20)
    panel = film_.panels[0]
    assert panel.place.shape == (len(film_.times), 3)
    np.testing.assert_allclose(np.linalg.norm(panel.place - film_.target.values, axis=1), panel.measure, atol=1e-12)
    assert panel.reached[-1]
    np.testing.assert_allclose(panel.returns[-1], episode.rewards.sum())
    model = storyboard.subject(suite, task).dressed()
    assert panel.positions.shape == (len(film_.times), model.nq)
    assert (model.site_rgba[:, 3] == 0).all(), "upstream's own marks show"


@pytest.mark.usefixtures("meta_world")
@pytest.mark.parametrize("name", ["door-open-v3", "peg-insert-side-v3", "drawer-close-v3"])
def test_the_model_to_draw_is_the_task_s(name):
    from robometa.sim.metaworld.upstream import template

    suite = suites.load(f"ml1/{name}")
    starts = [template(name, "v2").start(dict(task.parameters)["goal"], {}) for task in suite.test[:2]]
    models = [storyboard.subject(suite, task).dressed() for task in suite.test[:2]]
    assert not np.array_equal(models[0].body_pos, models[1].body_pos)
    for start, model in zip(starts, models, strict=True):
        assert start.edits
        for field, rows, values in start.edits:
            np.testing.assert_array_equal(getattr(model, field)[rows], values)


@pytest.mark.usefixtures("meta_world")
@pytest.mark.parametrize("name", ["reach-v3", "push-v3", "door-open-v3", "drawer-close-v3", "basketball-v3"])
def test_the_camera_sees_hand_object_and_goal(name):
    suite = suites.load(f"ml1/{name}")
    subject = storyboard.subject(suite, suite.test[3])
    camera = subject.camera()
    assert camera == subject.camera()
    start = subject._start.state[None]
    hand, goal = subject.place(start, start)[0], np.array(subject.target.values)
    away = np.linalg.norm(np.stack((hand, goal)) - camera.look_at, axis=1)
    assert away.max() < camera.distance * np.tan(np.radians(45 / 2)), "beyond the picture's edge"


def test_experts_need_a_suite_of_meta_world_s():
    with pytest.raises(UserError, match=r"need a suite, as in .robometa record scripted"):
        record("scripted")
    with pytest.raises(UserError, match="suite ant-goal has others"):
        record("scripted", suite=suites.load("ant-goal"))


def test_each_world_of_pearl_is_a_trial_of_its_own(tmp_path):
    suite = short("point-robot")
    learner, _, _ = policy_folder.load_policy(untrained(tmp_path, suite.name, "pearl"), suite)
    episodes = play(learner, suite, "test", 0, 2, seed=0)
    assert [episode.title for episode in episodes][1:] == ["after 1 shot (1 episode)", "after 2 shots (2 episodes)"]
    (only,) = play(learner, suite, "test", 0, 0, seed=0)
    np.testing.assert_array_equal(only.physics, episodes[0].physics)


def film_of(name: str, episode: storyboard.Episode, task: int = 0) -> film.Film:
    suite = short(name)
    return storyboard.film(suite, suite.test[task], [episode], where="", learner="", size=(480, 240), gif=False)


def made_up(name: str, length: int, early: bool) -> storyboard.Episode:
    """An episode that moves along x at 2 m/s and is paid 1 a step."""
    robot = suites.load(name).robot
    model, _ = compiled(robot)
    physics = np.zeros((length, 1 + model.nq + model.nv))
    physics[:, 1] = 2.0 * robot.frame_skip * model.opt.timestep * np.arange(length)
    return storyboard.Episode(
        "", physics, np.zeros((length, model.nsensordata)), np.ones(length), np.zeros(length), early
    )


def test_a_film_runs_in_real_time_and_stands_still_after_an_early_end():
    shown = film_of("half-cheetah-velocity", made_up("half-cheetah-velocity", 5, early=True))
    panel = shown.panels[0]
    np.testing.assert_allclose(shown.times, 0.05 * np.arange(6))
    np.testing.assert_allclose(panel.measure, [0, 2, 2, 2, 2, 2])
    np.testing.assert_allclose(panel.returns, [0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(panel.over, [False] * 5 + [True])
    np.testing.assert_array_equal(panel.positions[4], panel.positions[5])
    assert shown.duration == pytest.approx(HORIZON * 0.05)
    assert shown.planar
    assert shown.span[1] >= 3


def test_short_control_steps_are_thinned_to_about_thirty_frames_a_second():
    shown = film_of("walker2d-params", made_up("walker2d-params", HORIZON, early=False))
    assert 25 <= shown.rate <= 35
    np.testing.assert_allclose(np.diff(shown.times), 1 / shown.rate)
    assert not shown.panels[0].over.any()


def test_distance_to_a_goal_is_in_the_objective_s_norm():
    shown = film_of("ant-goal", made_up("ant-goal", 2, early=False))
    goal = np.array(shown.target.values)
    np.testing.assert_allclose(shown.panels[0].measure[0], np.abs(goal).sum())
    assert len(shown.target.others) == len(suites.load("ant-goal").test) - 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("half-cheetah-velocity", "target speed 2.02 m/s"),
        ("half-cheetah-direction", "run backward"),
        ("ant-crippled", "motor strength 1 1 1 1 1 1 0 0"),
    ],
)
def test_a_task_in_words(name, words):
    assert in_words(suites.load(name).test[0]) == words


def test_a_number_that_all_parts_share_is_said_once():
    task = suites.load("walker2d-params").test[0]
    values = dict(task.parameters)
    values["geom_friction"] = (1.5,) * len(values["geom_friction"])
    assert "geom friction 1.5," in in_words(dataclasses.replace(task, parameters=tuple(values.items())))


def test_every_suite_s_task_has_words():
    for name in suites.names():
        assert in_words(suites.load(name).test[0])


def test_a_film_on_disk_is_the_film(tmp_path):
    shown = film_of("ant-goal", made_up("ant-goal", 3, early=False))
    film.write(shown, tmp_path)
    back = film.read(tmp_path)
    np.testing.assert_array_equal(back.panels[0].positions, shown.panels[0].positions)
    assert back.target.kind == shown.target.kind
    assert back.target.others[0] == pytest.approx(shown.target.others[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": 30}, "its tasks are 0 to 29"),
        ({"task": -1}, "no task -1"),
        ({"shots": -1}, "shots must be from 0"),
        ({"split": "validation"}, "unknown split"),
        ({"out": "nowhere/video.mp4"}, "no folder nowhere to write"),
        ({"out": "video.avi"}, "a video is a .mp4 or a .gif file"),
        ({"width": 10}, "width must be from"),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(tmp_path, monkeypatch, changes, message):
    policy = untrained(tmp_path / "policies", "half-cheetah-velocity", "maml-trpo")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        record(policy, **changes)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]


def test_without_egl_and_osmesa_the_packages_are_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(gl_backends, "works", lambda backend: False)
    monkeypatch.chdir(tmp_path)
    policy = untrained(tmp_path / "policies", "point-robot", "pearl")
    with pytest.raises(UserError, match=r"libegl1 libgl1-mesa-dri.*libosmesa6") as error:
        record(policy)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]


def test_osmesa_is_taken_where_egl_does_not_work(monkeypatch):
    monkeypatch.setattr(gl_backends, "works", lambda backend: backend == "osmesa")
    assert gl_backends.find() == "osmesa"


def test_nothing_half_written_is_left_when_drawing_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(gl_backends, "works", lambda backend: True)
    monkeypatch.setattr(film, "write", lambda drawn, folder: None)  # the drawing process finds nothing to draw
    policy = untrained(tmp_path / "policies", "point-robot", "pearl")
    with pytest.raises(RuntimeError, match="drawing the video failed"):
        record(policy, suite=short("point-robot"), out=tmp_path / "video.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_a_full_disk_is_no_bug_and_leaves_no_part_of_a_video(tmp_path, monkeypatch, name):
    def write(drawn, folder):
        (folder / name).symlink_to("/dev/full")
        written(drawn, folder)

    written, started = film.write, subprocess.Popen
    monkeypatch.setattr(film, "write", write)
    policy = untrained(tmp_path / "policies", "point-robot", "pearl")
    with (
        Path("/dev/full").open("wb") as full,
        monkeypatch.context() as patched,
    ):  # where the process tells its errors, too
        patched.setattr(subprocess, "Popen", lambda command, **options: started(command, **options | {"stderr": full}))
        with pytest.raises(OSError, match="ffmpeg cannot write, with "):
            record(policy, suite=short("point-robot"), out=tmp_path / "video.mp4", width=480, height=240)
    assert [path.name for path in tmp_path.iterdir()] == ["policies"]


def test_a_model_on_a_full_disk_is_an_error(tmp_path):
    (tmp_path / "model.mjb").symlink_to("/dev/full")
    suite = suites.load("point-robot")
    with pytest.raises(OSError, match="No space left"):
        film.write_model(storyboard.subject(suite, suite.test[0]).dressed(), tmp_path)


def test_a_run_s_policy_goes_by_the_run_s_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert targets(Path("runs/first/policy"), 3, None, True) == (
        Path("videos/first-task3.mp4"),
        Path("videos/first-task3.gif"),
    )


def test_no_child_imports_from_the_current_folder(tmp_path, monkeypatch):
    """A stranger's folder may hold a file that is called as a package is."""
    ran = tmp_path / "ran"
    for name in ("mujoco.py", "numpy.py", "json.py"):
        (tmp_path / name).write_text(f"open({str(ran)!r}, 'w')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    gl_backends.works.cache_clear()
    gl_backends.works("egl")
    (tmp_path / "film").mkdir()
    with contextlib.suppress(RuntimeError):  # there is no film in it
        gl_backends.draw(tmp_path / "film", "egl", lambda: None)
    gl_backends.works.cache_clear()
    assert not ran.exists()


CHANGING = """
robot = "half-cheetah"
objective = "velocity"
horizon = 12
[train]
tasks = 2
velocity = { uniform = [0, 1] }
[test]
velocity = { values = [7.0, 8.0] }
[change]
at = [5, 16]
before = { velocity = 2.5 }
"""


def changing(folder: Path, text: str = CHANGING):
    file = folder / "changing.toml"
    file.write_text(text, encoding="utf-8")
    return suites.load(str(file))


def test_the_target_of_a_task_that_changes_is_shown_as_it_is(tmp_path):
    suite = changing(tmp_path)
    learner = make.build("rl2", read_config("rl2", {"memory_size": 4, "hidden": (4,)}), suite, seed=0)
    first, second = play(learner, suite, "test", 1, 1, 0)
    assert [dict(task.parameters)["velocity"] for task in first.tasks] == [(2.5,)] * 5 + [(8.0,)] * 7
    assert {dict(task.parameters)["velocity"] for task in second.tasks} == {(8.0,)}
    options = {"where": "task 1", "learner": "", "size": (480, 240), "gif": False}
    shown = storyboard.film(suite, suite.test[1], [first, second], **options)
    film.write(shown, tmp_path)
    shown = film.read(tmp_path)
    assert shown.task == "task 1, which changes"
    assert shown.span[1] >= 8
    panel, still = shown.panels
    np.testing.assert_allclose(panel.changed, [0.25])
    assert panel.news[0] == "now target speed 2.50 m/s"
    assert panel.news[5] == "now target speed 8.00 m/s"
    assert not still.changed.size
    assert [shown.target_of(panel, frame).values for frame in (4, 5)] == [(2.5,), (8.0,)]
    page, picture = overlay.Page(shown), [np.zeros((40, 40, 3), dtype=np.uint8)] * 2
    before, after = (page.compose(picture, frame) for frame in (4, 5))
    assert (before != after).any()
    purple = (before == np.array(overlay.CHANGE)).all(axis=-1)
    bars = [purple[where.top + where.height + 1, where.left : where.left + where.width] for where in page.places]
    assert [bar.any() for bar in bars] == [True, False]  # a moment on the bar of the episode that has one


def test_a_task_that_stays_says_nothing_new():
    shown = film_of("half-cheetah-velocity", made_up("half-cheetah-velocity", 5, early=True))
    panel = shown.panels[0]
    assert panel.asked.size == panel.news.size == panel.changed.size == 0
    assert shown.target_of(panel, 0) == shown.target

"""Gymnasium environments as their users take them: pictures, copies, seeds, masks, modes, wrong shapes."""

import copy
import os
import pickle
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from robometa import suites
from robometa.errors import UserError
from robometa.sim.gym.env import checked_action
from robometa.sim.gym.vector_env import SuiteVectorEnv
from robometa.video import gl_backends, gym_env

POINT, CHEETAH = "robometa/point-robot-v0", "robometa/half-cheetah-velocity-v0"
WIRED = """
objective = { track_velocity = 1.0, smoothness = -0.1 }
horizon = 6
command = { velocity = { uniform = [0.5, 1.0] }, resample = 0.1 }
[robot]
name = "ant"
observe = ["projected_gravity", { term = "joint_positions", noise = 0.1, history = 2 }, "last_action", "command"]
[sim_to_real]
action_delay = [0.0, 0.05]
gain_error = 0.1
pushes = { every = 0.1, speed = 0.5 }
[train]
tasks = 4
gravity = { uniform = [0.8, 1.2] }
[test]
tasks = 2
gravity = { uniform = [0.8, 1.2] }
"""


@pytest.fixture
def wired(tmp_path):
    """The file of a suite with memory between policy and robot."""
    path = tmp_path / "wired.toml"
    path.write_text(WIRED)
    return str(path)


def sampled(env, count, seed=0):
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(count)]


def test_a_suite_of_a_file_by_the_general_name(wired):
    env = gymnasium.make("robometa/suite-v0", suite=wired, task=3)
    assert env.unwrapped.task == env.unwrapped.suite.train[3]
    assert env.spec.max_episode_steps == 6
    assert gymnasium.make(env.spec).spec.max_episode_steps == 6
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("name", "horizon"), [(POINT, 20), (CHEETAH, 200)])
def test_specifications_have_the_horizon(name, horizon):
    assert gymnasium.make(name).spec.max_episode_steps == horizon
    assert gymnasium.make_vec(name, num_envs=2).spec.max_episode_steps == horizon


@pytest.mark.parametrize("again", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"])
def test_a_copy_continues_exactly_and_on_its_own(wired, again):
    env = gymnasium.make("robometa/suite-v0", suite=wired, task=1)
    env.reset(seed=3)
    actions = sampled(env, 12)
    for action in actions[:2]:
        env.step(action)
    other = again(env)
    for action in actions[2:]:
        for one, same in zip(env.step(action)[:4], other.step(action)[:4], strict=True):
            assert np.array_equal(one, same)
    assert np.array_equal(env.reset()[0], other.reset()[0])
    assert np.array_equal(again(gymnasium.make(POINT)).reset(seed=1)[0], gymnasium.make(POINT).reset(seed=1)[0])


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros(12), np.zeros((1, 6)), 0.0])
def test_an_action_of_another_shape_is_told(wrong):
    env = gymnasium.make(CHEETAH).unwrapped
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"actions of half-cheetah-velocity have the shape \(6,\), not \("):
        env.step(wrong)
    with pytest.raises(UserError, match="must be an array of numbers"):
        env.step("left")
    envs = gymnasium.make_vec(CHEETAH, num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(UserError, match=r"have the shape \(2, 6\), not"):
        envs.step(wrong)


def test_a_step_needs_a_reset():
    for env, action in ((gym_env.FilmedEnv("point-robot"), np.zeros(2)), (gymnasium.make_vec(POINT), np.zeros((1, 2)))):
        with pytest.raises(UserError, match="step needs a reset before it"):
            env.step(action)


def test_a_read_only_action_is_taken_without_a_warning():
    env = gymnasium.make(CHEETAH).unwrapped
    env.reset(seed=0)
    action = np.zeros(6, np.float32)
    action.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.step(action)


def test_an_unknown_option_is_told():
    for env in (gymnasium.make(POINT), gymnasium.make_vec(POINT, num_envs=2)):
        with pytest.raises(UserError, match=r"unknown option 'tsk'.*did you mean 'task'"):
            env.reset(options={"tsk": 1})
        with pytest.raises(UserError, match=r"options must be a dictionary, such as \{'task': 5\}, not 5"):
            env.reset(options=5)


def test_a_closed_environment_says_so():
    for env in (gymnasium.make(POINT), gymnasium.make_vec(POINT, num_envs=2)):
        env.reset(seed=0)
        env.close()
        for call in (env.reset, lambda env=env: env.step(env.action_space.sample())):
            with pytest.raises(UserError, match="the environment is closed"):
                call()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_of_a_closed_environment_is_closed(again):
    env = gymnasium.make(POINT).unwrapped
    env.reset(seed=0)
    env.close()
    with pytest.raises(UserError, match="the environment is closed"):
        again(env).reset()


def test_a_closed_environment_is_not_drawn():
    env = gymnasium.make(POINT, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    env.close()
    with pytest.raises(UserError, match="the environment is closed"):
        env.render()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_our_vector_is_gymnasium_s_of_single_environments(wired, mode):
    """The same seeds give the same numbers in the first episode, and ends are told in the same way."""
    ours = gymnasium.make_vec(
        "robometa/suite-v0", num_envs=3, suite=wired, task=[0, 2, 1], autoreset_mode=mode, threads=1
    )
    made = [lambda task=task: gymnasium.make("robometa/suite-v0", suite=wired, task=task) for task in (0, 2, 1)]
    theirs = SyncVectorEnv(made, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] is mode
    for seed in (7, [4, 2, 9]):
        assert np.array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
        for step, actions in enumerate(sampled(ours, 8)):
            mine, other = ours.step(actions), theirs.step(actions)
            for part in range(4):
                if step < 5 or part in (2, 3) or (step == 6 and part == 1 and mode is AutoresetMode.NEXT_STEP):
                    assert np.allclose(mine[part], other[part], atol=1e-6), (step, part)
            assert (mine[0] == mine[0].astype(np.float32)).all()
            if step == 5 and mode is AutoresetMode.NEXT_STEP:
                assert np.allclose(mine[0], other[0], atol=1e-6)
            if step == 5 and mode is AutoresetMode.SAME_STEP:
                for world in range(3):
                    assert np.allclose(mine[4]["final_obs"][world], other[4]["final_obs"][world], atol=1e-6)


def test_a_mask_resets_some_worlds_only(wired):
    envs = gymnasium.make_vec("robometa/suite-v0", num_envs=3, suite=wired, threads=1)
    same = gymnasium.make_vec("robometa/suite-v0", num_envs=3, suite=wired, threads=1)
    mask = np.array([False, True, False])
    with pytest.raises(UserError, match="the first reset is of all"):
        envs.reset(options={"reset_mask": mask})
    envs.reset(seed=0)
    same.reset(seed=0)
    actions = sampled(envs, 5)
    for one in actions[:2]:
        before, other = envs.step(one)[0], same.step(one)[0]
    obs, _ = envs.reset(seed=[None, 5, None], options={"reset_mask": mask, "task": [0, 3, 0]})
    assert np.array_equal(obs[~mask], before[~mask])
    alone = gymnasium.make("robometa/suite-v0", suite=wired, task=3)
    assert np.array_equal(obs[1], alone.reset(seed=5)[0])
    for one in actions[2:]:
        obs, other = envs.step(one)[0], same.step(one)[0]
        assert np.array_equal(obs[~mask], other[~mask])
        assert np.array_equal(obs[1], alone.step(one[1])[0])


@pytest.mark.parametrize("mask", [[True, False], np.array([1, 0]), np.array([False, False]), np.array([True])])
def test_a_wrong_mask_is_told(mask):
    envs = gymnasium.make_vec(POINT, num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(UserError, match="reset_mask must be an array of 2 bools"):
        envs.reset(options={"reset_mask": mask})


def test_a_disabled_reset_waits_for_the_user():
    envs = gymnasium.make_vec(POINT, num_envs=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    actions = np.zeros((2, 2), np.float32)
    for _ in range(20):
        obs, _, _, truncated, told = envs.step(actions)
    assert truncated.all()
    assert "final_obs" not in told
    with pytest.raises(UserError, match="the episodes of worlds 0, 1 are over"):
        envs.step(actions)
    again, _ = envs.reset(options={"reset_mask": np.array([True, True])})
    assert not np.array_equal(again, obs)
    envs.step(actions)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"autoreset_mode": "Never"}, "autoreset_mode must be NextStep, SameStep, Disabled, not 'Never'"),
        ({"task": [0]}, "one for each of 2 worlds"),
        ({"num_envs": 0}, "num_envs must be a whole number from 1"),
    ],
)
def test_a_wrong_vector_is_told(wrong, told):
    with pytest.raises(UserError, match=told):
        gymnasium.make_vec(POINT, **{"num_envs": 2, **wrong})
    with pytest.raises(UserError, match="one for each of 2 worlds, not 3"):
        gymnasium.make_vec(POINT, num_envs=2).reset(seed=[1, 2, 3])


@pytest.fixture
def drawing():
    """Skips where nothing can draw."""
    try:
        gl_backends.find()
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("drawing")
def test_pictures():
    env = gymnasium.make(CHEETAH, render_mode="rgb_array", width=96, height=64)
    with pytest.raises(UserError, match="render needs a reset"):
        env.unwrapped.render()
    env.reset(seed=0)
    first = env.render()
    assert first.shape == (64, 96, 3)
    assert first.dtype == np.uint8
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 20  # robot, floor and sky
    for action in sampled(env, 5):
        env.step(action)
    assert not np.array_equal(env.render(), first)
    assert env.metadata["render_fps"] == 20
    copied = copy.deepcopy(env)
    assert np.array_equal(copied.render(), env.render())
    for one in (env, copied):
        one.close()


def test_render_modes_are_told():
    env = gymnasium.make(POINT)
    env.reset(seed=0)
    with pytest.raises(UserError, match="render needs render_mode=rgb_array or human"):
        env.unwrapped.render()
    with pytest.raises(UserError, match="unknown render_mode 'ansi'"):
        gym_env.FilmedEnv("point-robot", render_mode="ansi")


def test_a_window_shows_every_step(monkeypatch):
    shown = []

    class Viewer:
        def __init__(self, subject, press):
            self.open = True

        def is_open(self):
            return self.open

        def show(self, positions):
            shown.append(positions.copy())

        def close(self):
            shown.append(None)

    monkeypatch.setattr(gl_backends, "require_window", lambda policy: None)
    monkeypatch.setattr("robometa.video.live.Viewer", Viewer)
    env = gymnasium.make(POINT, render_mode="human")
    env.reset(seed=0)
    env.step(np.ones(2, np.float32))
    assert len(shown) == 2
    assert not np.array_equal(shown[0], shown[1])
    env.close()
    assert shown[-1] is None


@pytest.mark.skipif(bool(os.environ.get("DISPLAY")), reason="there is a display")
def test_without_a_display_a_window_is_refused():
    env = gymnasium.make(POINT, render_mode="human")
    with pytest.raises(UserError, match=r"render_mode='human' opens a window.*rgb_array"):
        env.reset(seed=0)


@pytest.mark.slow
@pytest.mark.usefixtures("drawing")
def test_gymnasium_records_a_video(tmp_path):
    pytest.importorskip("moviepy", reason="Gymnasium's RecordVideo needs moviepy")
    env = gymnasium.make(POINT, render_mode="rgb_array")
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path))
    env.reset(seed=0)
    over = False
    while not over:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
    env.close()
    assert list(tmp_path.glob("*.mp4"))


@pytest.mark.slow
def test_stable_baselines_steps_them_in_processes(wired):
    """Each starts two processes, which load torch."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    made = [lambda task=task: gymnasium.make("robometa:robometa/suite-v0", suite=wired, task=task) for task in (0, 1)]
    envs = SubprocVecEnv(made, start_method="spawn")
    envs.seed(0)
    first = envs.reset()
    alone = gymnasium.make("robometa/suite-v0", suite=wired, task=1)
    assert np.array_equal(first[1], alone.reset(seed=1)[0])
    action = envs.action_space.sample()
    obs, *_ = envs.step([action, action])
    assert np.array_equal(obs[1], alone.step(action)[0])
    envs.close()


@pytest.mark.slow
def test_torchrl_wraps_them():
    envs = pytest.importorskip("torchrl.envs", reason="torchrl is not installed")
    env = envs.GymEnv(CHEETAH)
    rollout = env.rollout(5)
    assert rollout["observation"].shape == (5, 18)
    env.close()


def test_a_picture_shows_the_target_as_it_is(tmp_path, monkeypatch):
    file = tmp_path / "turning.toml"
    turn = "direction = { values = [1, -1] }\n"
    file.write_text(
        f'robot = "half-cheetah"\nobjective = "direction"\nfinite = true\n[train]\n{turn}[test]\n{turn}'
        "[change]\nat = [2]\nbefore = { direction = -1 }\n"
    )
    drawn = []

    class Fake(gym_env.Drawer):
        def __init__(self, suite, task, size):
            self._subject = gym_env.storyboard.subject(suite, task)

        def draw(self, physics, sensors):
            drawn.append((id(self), self._subject.target.values))

        def close(self):
            drawn.append("closed")

    monkeypatch.setattr(gym_env, "Drawer", Fake)
    env = gymnasium.make("robometa/suite-v0", suite=str(file), render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    for _ in range(3):
        env.render()
        env.step(np.zeros(6))
    assert [one if one == "closed" else one[1] for one in drawn] == [(-1.0,), (-1.0,), "closed", (1.0,)]
    assert drawn[0] == drawn[1]
    env.close()


@pytest.mark.parametrize("action", [[1j, 0], ["1", "1"], [10**400, 0], np.array(["1", "1"], object)])
def test_an_action_that_is_no_number_is_refused(action):
    with pytest.raises(UserError, match="an action must be an array of numbers"):
        checked_action(action, (2,), suites.load("point-robot"))


@pytest.mark.parametrize("number", [0, 1.5, True, "2", 10**30])
def test_a_number_of_worlds_that_no_vector_can_have_is_refused(number):
    with pytest.raises(UserError, match="num_envs must be a whole number from 1"):
        SuiteVectorEnv("point-robot", num_envs=number)


@pytest.mark.parametrize(("make", "others"), [(gymnasium.make, "render_mode"), (gymnasium.make_vec, "threads")])
def test_a_misspelt_argument_is_answered_by_those_that_there_are(make, others):
    with pytest.raises(
        UserError, match=rf"^unknown argument 'tsk' in gymnasium.make \(.*'task'\?\); known: .*{others}"
    ):
        make(POINT, tsk=1)

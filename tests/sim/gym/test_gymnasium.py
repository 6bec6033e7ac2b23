"""Suites as Gymnasium environments: made by name, checked by Gymnasium and Stable-Baselines3, learned on by PPO."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from robometa import suites
from robometa.errors import UserError
from robometa.sim.gym.env import SuiteEnv
from robometa.sim.gym.registration import suite_names
from robometa.sim.metaworld import upstream


def check_for_stable_baselines(env):
    """Stable-Baselines3's own check; it takes a second to load."""
    from stable_baselines3.common.env_checker import check_env

    check_env(env)


VELOCITY = "robometa/half-cheetah-velocity-v0"


@pytest.mark.parametrize("name", suites.names())
def test_passes_both_checks_without_a_warning(name):
    env = gymnasium.make(f"robometa/{name}-v0", split="test", task=0)
    check_env(env.unwrapped, skip_render_check=True)  # warnings are errors in this project's tests
    check_for_stable_baselines(env.unwrapped)
    env.close()


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ({"id": "robometa/suite-v0", "suite": "ml1/push-v3", "split": "test", "task": 3}, "ml1/push-v3"),
        ({"id": "robometa/suite-v0", "suite": "ml1/reach-v3/v1"}, "ml1/reach-v3/v1"),
        ({"id": "robometa/ml10-v0", "split": "test", "task": 120}, "ml10"),
        ({"id": "robometa/mt10-v0", "task": 60}, "mt10"),
    ],
)
def test_meta_world_s_tasks_pass_both_checks_without_a_warning(made, name):
    pytest.importorskip("metaworld")
    env = gymnasium.make(**made)
    inner = env.unwrapped
    assert inner.suite.name == name
    assert inner.task == inner.suite.tasks(made.get("split", "train"))[made.get("task", 0)]
    check_env(inner, skip_render_check=True)
    check_for_stable_baselines(inner)
    env.close()


def test_an_episode_of_meta_world_ends_at_its_horizon_and_tells_of_success():
    pytest.importorskip("metaworld")
    env = gymnasium.make("robometa/suite-v0", suite="ml1/reach-v3", split="test", task=3)
    first, _ = env.reset(seed=0)
    assert first.shape == (39,)
    for step in range(1, 501):
        obs, _, terminated, truncated, told = env.step(np.array([0.1, 0.0, -0.1, 1.0], dtype=np.float32))
        assert truncated == (step == 500)
        assert not terminated
        assert set(told) == {"success", "diverged"}
    assert not np.array_equal(obs, first)
    assert np.array_equal(env.reset(seed=1)[0], first)  # upstream's episodes of a task all begin alike


@pytest.mark.parametrize("mode", [None, "sync"])
def test_vectors_of_meta_world_s_tasks(mode):
    pytest.importorskip("metaworld")
    envs = gymnasium.make_vec("robometa/ml10-v0", num_envs=3, vectorization_mode=mode, split="test", task=7)
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    assert obs.shape == (3, 39)
    envs.action_space.seed(0)
    obs, reward, *_ = envs.step(envs.action_space.sample())
    assert reward.shape == (3,)
    assert len(np.unique(obs, axis=0)) == 3
    envs.close()


def test_a_vector_steps_tasks_of_several_names():
    pytest.importorskip("metaworld")
    tasks = [0, 55, 110]
    envs = gymnasium.make_vec("robometa/ml10-v0", num_envs=3, task=tasks, threads=1)
    envs.reset(seed=0)
    action = np.tile(np.array([0.3, -0.2, -0.5, 0.5], dtype=np.float32), (3, 1))
    obs, reward, *_ = envs.step(action)
    for world, task in enumerate(tasks):
        env = gymnasium.make("robometa/ml10-v0", task=task)
        env.reset(seed=0)
        alone, paid, *_ = env.step(action[world])
        assert np.array_equal(alone, obs[world])
        assert paid == reward[world]
        env.close()
    envs.close()


def test_without_the_extra_one_line_says_so_on_make_and_not_before(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(upstream, "version", absent)
    assert "robometa/ml10-v0" in gymnasium.registry
    for make in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(UserError, match=r"pip install 'robometa\[metaworld\]'") as error:
            make("robometa/ml10-v0")
        assert "\n" not in str(error.value)


def test_the_task_is_the_one_asked_for():
    env = gymnasium.make(VELOCITY, split="test", task=3)
    assert env.unwrapped.task == suites.load("half-cheetah-velocity").test[3]
    env.reset(seed=0)
    action = np.zeros(6, dtype=np.float32)
    reward = env.step(action)[1]
    other = gymnasium.make(VELOCITY, split="test", task=4)
    other.reset(seed=0)
    assert other.step(action)[1] != reward
    other.reset(seed=0, options={"task": 3})
    assert other.step(action)[1] == reward


def test_truncates_at_the_horizon_and_shows_the_last_observation():
    env = gymnasium.make("robometa/point-robot-v0")
    env.reset(seed=0)
    action = np.array([0.0, 1.0], dtype=np.float32)
    for step in range(1, 21):
        obs, _, terminated, truncated, _ = env.step(action)
        assert truncated == (step == 20)
        assert not terminated
    assert obs[1] == pytest.approx(2.0, abs=0.11)  # 20 steps of a tenth of a metre, from a start within 0.1 m of 0


def test_a_seed_gives_the_same_episodes_and_episodes_differ():
    env = gymnasium.make(VELOCITY)
    first, second = env.reset(seed=5)[0], env.reset()[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(first, env.reset(seed=5)[0])
    assert np.array_equal(second, env.reset()[0])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"split": "tset"}, r"unknown split 'tset' \(did you mean 'test'\?\); known: test, train"),
        ({"split": "test", "task": 30}, "no task 30 among the test tasks of half-cheetah-velocity: 0 to 29"),
        ({"task": -1}, "no task -1 among the train tasks of half-cheetah-velocity: 0 to 99"),
        ({"task": 1.0}, r"no task 1\.0 among"),
        ({"suite": "half-cheetah-velocty"}, "did you mean 'half-cheetah-velocity'"),
    ],
)
def test_a_wrong_split_task_or_suite_is_told(wrong, told):
    for make in (gymnasium.make, gymnasium.make_vec):
        if make is gymnasium.make_vec and wrong.get("task") == 1.0:
            continue  # a float is no sequence of indices either
        with pytest.raises(UserError, match=told):
            make(VELOCITY, **wrong)
    env = SuiteEnv("half-cheetah-velocity")
    with pytest.raises(UserError, match="0 to 99"):
        env.reset(options={"task": 100})


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'robot = "point"\nobjective = "goal"\nhorizon = 5\n'
        "[train]\ngoal = { values = [[1, 0], [0, 1]] }\n[test]\ngoal = { values = [[-1, 0]] }\n"
    )
    env = gymnasium.make("robometa/suite-v0", suite=str(file), task=1)
    assert env.unwrapped.task.parameters == (("goal", (0.0, 1.0)),)


@pytest.mark.parametrize("mode", [None, "sync", "async"])
def test_vectors_of_worlds(mode):
    envs = gymnasium.make_vec(VELOCITY, num_envs=3, vectorization_mode=mode, split="test", task=3)
    obs, _ = envs.reset(seed=0)
    assert obs in envs.observation_space
    assert len(np.unique(obs, axis=0)) == 3
    envs.action_space.seed(0)
    obs, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert reward.dtype == np.float64
    envs.close()


def test_our_vector_steps_as_single_worlds_do():
    """The same task from the same state under the same action is paid the same."""
    envs, env = gymnasium.make_vec(VELOCITY, num_envs=4), gymnasium.make(VELOCITY, task=2)
    envs.reset(seed=0)
    env.reset(seed=0)
    many, one = envs.unwrapped._engine, env.unwrapped._engine
    assert many.assigned[2] == env.unwrapped.task  # tasks in turn
    one._before[0] = many._before[2]
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    obs, reward, *_ = envs.step(actions)
    alone, alone_reward, *_ = env.step(actions[2])
    assert np.array_equal(obs[2], alone)
    assert reward[2] == alone_reward


def test_our_vector_begins_anew_in_the_same_step():
    envs = gymnasium.make_vec("robometa/point-robot-v0", num_envs=3)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    actions = np.tile(np.array([0.0, 1.0], dtype=np.float32), (3, 1))
    for _ in range(19):
        _, _, _, truncated, told = envs.step(actions)
        assert not truncated.any()
        assert "final_obs" not in told
    obs, _, _, truncated, told = envs.step(actions)
    assert truncated.all()
    assert np.abs(obs).max() <= 0.1  # the next episode's first observation
    assert all(final[1] > 1.8 for final in told["final_obs"])  # the last one's last
    assert told["_final_obs"].all()
    assert told["final_info"]["success"].shape == (3,)
    again = gymnasium.make_vec("robometa/point-robot-v0", num_envs=3)
    assert np.array_equal(again.reset(seed=0)[0], envs.reset(seed=0)[0])


@pytest.mark.parametrize(
    "program",
    [
        "import robometa, gymnasium",
        "import gymnasium, robometa",
        "import gymnasium; gymnasium.make('robometa:robometa/point-robot-v0')",
        "import robometa, gymnasium.vector",
    ],
)
def test_found_by_name_in_whichever_order_they_are_imported(program):
    check = f"{program}; print(sum(name.startswith('robometa/') for name in gymnasium.registry))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", check], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(len(suite_names()))], done.stderr


@pytest.fixture
def one_thread():
    """Torch on one thread: networks this small only wait for each other on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_ppo_of_stable_baselines_learns():
    """Towards a goal on the unit half circle: standing still earns -20 x 1, going straight there about -5."""

    def mean_return(model, episodes=10):
        env = gymnasium.make("robometa/point-robot-v0", task=0)
        total = 0.0
        for episode in range(episodes):
            obs, over = env.reset(seed=1000 + episode)[0], False
            while not over:
                obs, reward, terminated, truncated, _ = env.step(model.predict(obs, deterministic=True)[0])
                total, over = total + reward, terminated or truncated
        return total / episodes

    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    envs = DummyVecEnv([lambda: gymnasium.make("robometa/point-robot-v0", task=0)] * 8)
    model = PPO("MlpPolicy", envs, n_steps=40, batch_size=80, learning_rate=1e-3, gamma=0.9, seed=0, device="cpu")
    before = mean_return(model)
    model.learn(12_800)
    after = mean_return(model)
    assert before < -15
    assert after > -8


def test_a_task_that_changes_tells_the_numbers_in_force(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'robot = "point"\nobjective = "goal"\nhorizon = 6\n'
        "[train]\ntasks = 2\ngoal = { uniform = [0, 1] }\n[test]\ntasks = 1\ngoal = { uniform = [0, 1] }\n"
        '[change]\nat = [2]\nredraw = ["goal"]\n'
    )
    env = SuiteEnv(str(file))
    begun = env.task
    env.reset(seed=0)
    assert env.task.parameters == begun.parameters
    for _ in range(3):
        env.step(np.zeros(env.action_space.shape, np.float32))
    assert env.task.parameters != begun.parameters
    again = SuiteEnv(str(file))
    again.reset(seed=0)
    assert again.task.parameters == begun.parameters


@pytest.mark.parametrize("make", [gymnasium.make, lambda name: gymnasium.make_vec(name, num_envs=2)])
def test_a_suite_that_is_not_named_is_told(make):
    with pytest.raises(UserError, match="needs a suite"):
        make("robometa/suite-v0")

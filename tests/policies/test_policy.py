"""A policy in a user's own loop: numpy in and out, the actions of an evaluation, mistakes told in a sentence."""

import copy
import csv
import importlib.util
import itertools
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS, TINY_SUITE, same_tensors

import robometa
from robometa import registry, suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.policies import policy_folder
from robometa.policies.experience import Experience, Transition
from robometa.policies.latency import latency
from robometa.policies.policy import Policy
from robometa.registry.options import read_config
from robometa.reports.statistics import interquartile_mean
from robometa.sim.gym.vector_env import SuiteVectorEnv
from robometa.storage import sealed_folder
from robometa.training.train import train
from robometa.trials import make
from robometa.trials.trial import collect

ROOT = Path(__file__).parents[2]
PLANNERS = {"grbal", "cadm", "pets"}
NEED_TO_ACT = {"rl2", "varibad", "hypernetwork", "grbal", "cadm", "amago", "dpt", "ad"}
NEED_NOTHING = {"no-adaptation", "oracle", "random", "pets", "rma", "rma-concurrent"}


def example(name):
    """A module of examples/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(TINY_SUITE, encoding="utf-8")
    return suites.load(path)


def made(name, suite, **settings):
    """A policy of an untrained learner."""
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), suite, seed=3)
    if name in PLANNERS:
        learner.updates += 9  # they act at random before
    return Policy(learner, suite, name, **settings)


def begun(policy, **settings):
    """The policy after a reset; an oracle is shown its task."""
    hidden = {"parameters": {"goal": (0.5, 0.5)}} if policy.learner.sees_parameters else {}
    policy.reset(**settings, **hidden)
    return policy


@pytest.mark.parametrize("name", registry.LEARNERS)
@pytest.mark.parametrize("worlds", [None, 3])
def test_every_learner_acts_and_adapts(suite, name, worlds):
    policy = begun(made(name, suite), worlds=worlds)
    shape = () if worlds is None else (worlds,)
    outputs = []
    for _ in range(2):
        begun(policy, worlds=worlds, seed=1)
        draws = np.random.default_rng(0)
        reward = done = None
        for step in range(10):
            obs = draws.normal(size=(*shape, 2))
            action = policy.act(obs, reward, done, sample=True)
            assert isinstance(action, np.ndarray)
            assert action.dtype == np.float32
            assert action.shape == (*shape, 2)
            assert np.abs(action).max() <= 1
            reward, done = draws.normal(size=shape), np.full(shape, step % 5 == 4)
        policy.adapt(draws.normal(size=(*shape, 2)), reward, done)
        outputs.append(policy.act(obs, sample=True))
    np.testing.assert_array_equal(*outputs)


@pytest.mark.parametrize("name", registry.LEARNERS)
def test_it_acts_as_in_an_evaluation(suite, name):
    """Two rollouts and an adaptation between, from the same start: the same actions to the bit."""
    task = suite.test[0]
    policy = begun(made(name, suite), worlds=3)
    if policy.learner.sees_parameters:
        policy.reset(worlds=3, parameters=dict(task.parameters))
    learner, noise = policy.learner, Noise(0, ("test",), 1, 3)
    engine = make.engine_for(learner, suite, 1, 3)
    engine.assign([task])
    adaptation = learner.begin(1, 3, Noise(0, ("policy",), 1, 3).fork("begin"))
    obs = engine.reset(noise.fork("reset"))
    rollout, adaptation = collect(engine, learner, adaptation, noise, explore=False)
    engine.assign([task])
    obs, reward, done = engine.reset(noise.fork("reset")), None, None
    for step in range(suite.horizon):
        seen = obs[0, :, :2].numpy()
        acted = policy.act(seen, reward, done)
        wanted = rollout.action[0, :, step].clamp(-1, 1).numpy()
        np.testing.assert_array_equal(acted, wanted)
        outcome = engine.step(torch.from_numpy(acted)[None])
        obs, reward, done = outcome.obs, outcome.reward[0].numpy(), (outcome.terminated | outcome.truncated)[0].numpy()
    engine.close()


def test_the_learner_is_shown_its_action_as_it_emitted_it(suite):
    """Not as it was clipped, nor in other units: a memory that is fed these loses."""
    policy = made("rl2", suite)
    shown = []
    act = policy.learner.act

    def spied(adaptation, step, noise):
        shown.append(step.last_action)
        action, adaptation = act(adaptation, step, noise)
        return action + 5.0, adaptation

    policy.learner.act = spied
    assert policy.act([0.0, 0.0]).tolist() == [1.0, 1.0]
    policy.act([0.0, 0.0], 0.5)
    assert float(shown[1].min()) > 4.0


@pytest.mark.parametrize("name", registry.LEARNERS)
def test_rewards_are_asked_for_by_those_that_need_them_only(suite, name):
    policy = begun(made(name, suite))
    policy.act([0.1, 0.2], sample=True)
    if name in NEED_TO_ACT:
        with pytest.raises(UserError, match=rf"{name} needs the reward of every action to act: .*docs/deployment\.md"):
            policy.act([0.1, 0.2])
        policy.act([0.1, 0.2], 0.0)  # nothing was lost
        return
    for _ in range(3):
        policy.act([0.1, 0.3], sample=True)
    if name in NEED_NOTHING:
        policy.adapt()
        return
    with pytest.raises(UserError, match=f"{name} needs the reward of every action to adapt"):
        policy.adapt()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.0],), r"obs must have the shape \(2,\), not \(1,\)"),
        (([[0.0, 0.0]] * 3,), r"obs must have the shape \(2,\), not \(3, 2\); reset\(worlds=3\)"),
        (([0.0, float("nan")],), r"obs\[1\] \(qpos/.+\) is nan"),
        ((["a", "b"],), "obs must be an array of numbers"),
        (([0.0, 0.0], [1.0, 2.0]), r"reward must have the shape \(\), not \(2,\)"),
        (([0.0, 0.0], float("inf")), "reward must be finite, not inf"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(suite, arguments, words):
    policy, other = made("rl2", suite), made("rl2", suite)
    for one in (policy, other):
        one.act([0.1, 0.1])
    with pytest.raises(UserError, match=words):
        policy.act(*arguments)
    np.testing.assert_array_equal(policy.act([0.2, 0.1], 1.0), other.act([0.2, 0.1], 1.0))


def test_other_mistakes_are_told(suite):
    policy = made("maml-trpo", suite)
    with pytest.raises(UserError, match="nothing to learn from"):
        policy.adapt()
    with pytest.raises(UserError, match=r"reward 1\.0 belongs to no action"):
        policy.act([0.0, 0.0], 1.0)
    with pytest.raises(UserError, match="worlds must be a whole number from 1"):
        policy.reset(worlds=0)
    with pytest.raises(UserError, match="maml-trpo is no oracle"):
        policy.reset(parameters={"goal": (0, 0)})
    with pytest.raises(UserError, match="unknown units 'metric'"):
        made("random", suite, units="metric")
    policy.act([0.0, 0.0])
    with pytest.warns(UserWarning, match=r"maml-trpo compares actions.*sample=True"):
        policy.adapt([0.0, 0.1], 1.0)


def test_it_is_for_one_thread_at_a_time(suite):
    policy, obs = made("rl2", suite), [0.1, 0.2]
    acts, failures = policy.learner.act, []

    def call(method, *words):
        try:
            method(*words)
        except RuntimeError as error:
            failures.append(str(error))

    def act(*words):
        """Acts while other threads use the policy, too, and a copy of it."""
        policy.learner.act = acts
        others = [threading.Thread(target=call, args=words) for words in used]
        for other in others:
            other.start()
        for other in others:
            other.join()
        return acts(*words)

    copied = copy.deepcopy(policy)
    used = (policy.act, obs), (policy.adapt,), (policy.reset,), (copied.act, obs)
    policy.learner.act = act
    policy.act(obs)
    assert failures == ["the policy is in use already: load one for each thread"] * 3
    policy.act(obs, 1.0)
    with pytest.raises(UserError):
        policy.act([0.1])
    pickle.loads(pickle.dumps(policy)).act(obs, 1.0)  # a mistake leaves it free


def test_an_oracle_asks_for_what_the_task_hides(suite):
    policy = made("oracle", suite)
    with pytest.raises(UserError, match=r"reset\(parameters=\{...\}\), which needs goal 0, goal 1"):
        policy.act([0.0, 0.0])
    with pytest.raises(UserError, match="unknown parameter 'gaol'"):
        policy.reset(parameters={"gaol": (1, 2)})
    with pytest.raises(UserError, match="parameter goal has 2 numbers, not 1"):
        policy.reset(parameters={"goal": 1})
    with pytest.raises(UserError, match="missing parameter 'goal'"):
        policy.reset(parameters={})
    policy.reset(parameters={"goal": (1.0, 0.0)})
    first = policy.act([0.0, 0.0])
    policy.reset(parameters={"goal": (-1.0, 0.0)})
    assert not np.array_equal(first, policy.act([0.0, 0.0]))


def test_actions_are_in_the_units_that_were_asked_for():
    """The humanoid's controls are within 0.4 on either side."""
    suite = suites.load("humanoid-direction-2d")
    actions = []
    for units in ("actuator", "normalized"):
        learner = make.build("random", read_config("random", {}), suite, seed=0)
        policy = Policy(learner, suite, "random", units=units)
        actions.append(policy.act(np.zeros(48), sample=True))
    np.testing.assert_allclose(actions[0], 0.4 * actions[1], rtol=1e-6)
    assert policy.spaces.action[0].high == pytest.approx(0.4)


def test_a_mean_action_is_the_default_and_a_seed_repeats_a_sample(suite):
    policy = made("no-adaptation", suite)
    assert np.array_equal(policy.act([0, 0]), policy.act([0, 0]))
    sampled = []
    for seed in (1, 1, 2):
        policy.reset(seed=seed)
        sampled.append(policy.act([0, 0], sample=True).tolist())
    assert sampled[0] == sampled[1] != sampled[2]


def transition(step, done, worlds=1):
    flag = torch.full((worlds,), done)
    value = torch.full((worlds, 2), float(step))
    return Transition(value, value, value[:, 0], value, flag, True)


def test_episodes_lie_side_by_side_for_who_pools_worlds():
    experience = Experience(worlds=2, horizon=3)
    for step in range(6):
        experience.add(transition(step, step % 3 == 2, worlds=2))
    rollout = experience.rollout(side_by_side=True)
    assert rollout.reward.tolist() == [[[0, 1, 2], [3, 4, 5]] * 2]
    assert rollout.truncated[..., -1].all()
    assert not rollout.terminated.any()
    assert experience.rollout(side_by_side=False).reward.shape == (1, 2, 6)
    experience.add(transition(6, True, worlds=2))
    rollout = experience.rollout(side_by_side=True)  # of unequal length
    assert rollout.reward.shape == (1, 2, 7)
    assert rollout.terminated[0, 0].tolist() == [False] * 6 + [True]  # before the horizon
    experience.clear()
    assert len(experience) == 0


def test_the_last_observation_of_an_episode_may_be_passed(suite):
    policy = made("maml-trpo", suite)
    policy.reset(worlds=2)
    policy.act(np.zeros((2, 2)), sample=True)
    final = np.array([None, np.array([7.0, 7.0])], dtype=object)
    policy.act(np.ones((2, 2)), [0.1, 0.2], [False, True], final_obs=final, sample=True)
    assert policy._experience.rollout(False).next_obs[0, :, 0].tolist() == [[1.0, 1.0], [7.0, 7.0]]


def test_a_policy_drives_the_suite_s_own_environments():
    policy = robometa.load(ROOT / "policies" / "half-cheetah-velocity-rl2", units="normalized")
    env = SuiteVectorEnv("half-cheetah-velocity", num_envs=2, split="test", task=3)
    obs, _ = env.reset(seed=0)
    policy.reset(worlds=2)
    reward = None
    for _ in range(5):
        obs, reward, *_ = env.step(policy.act(obs, reward))
    assert np.isfinite(reward).all()
    env.close()


def test_a_run_is_loaded_from_its_policy_or_a_newer_checkpoint(suite, tmp_path, monkeypatch):
    run = tmp_path / "run"
    policy = train(suite, "rl2", options=SMALL_OPTIONS["rl2"] | {"iterations": 2}, folder=run, threads=1)
    finished = policy_folder.state_of(robometa.load(run).learner)
    assert same_tensors(finished, sealed_folder.load(policy, "policy")[0])
    manifest = sealed_folder.read_manifest(policy)
    manifest["training"]["iterations"] = 1
    sealed_folder.write_manifest(policy, manifest)
    with monkeypatch.context() as patched:
        patched.setattr(policy_folder, "load_policy", lambda *_, **__: pytest.fail("the policy is older"))
        assert same_tensors(policy_folder.state_of(robometa.load(run).learner), finished)
    shutil.rmtree(policy)
    loaded = robometa.load(run)
    assert same_tensors(policy_folder.state_of(loaded.learner), finished)
    assert loaded.learner_name == "rl2"
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="has neither a policy nor a checkpoint yet"):
        robometa.load(run)


def test_a_learner_of_one_s_own_is_loaded_from_its_file(suite, tmp_path):
    reference = f"{ROOT / 'robometa' / 'conformance' / 'template.py'}:MyLearner"
    policy = train(suite, reference, options={"iterations": 1, "tasks": 2, "worlds": 2}, folder=tmp_path / "run")
    with pytest.raises(UserError, match=r"--learner PATH/template\.py:MyLearner"):
        robometa.load(policy)
    with pytest.raises(UserError, match=r"not run unasked; if that file is yours: learner='.*:MyLearner'"):
        robometa.load(policy.parent)
    for folder in (policy, policy.parent):
        loaded = robometa.load(folder, learner=reference)
        assert loaded.learner_name == "MyLearner"
        loaded.act([0.0, 0.0], sample=True)
        loaded.adapt([0.1, 0.0], 0.5)


def test_neither_policy_nor_checkpoint_is_told(tmp_path, suite):
    with pytest.raises(UserError, match="is not a policy"):
        robometa.load(tmp_path)


def test_latency_is_measured(suite):
    found = latency(begun(made("oracle", suite)), steps=20)
    assert 0 < found.median_ms <= found.p99_ms


def test_latency_by_another_clock(suite):
    ticks = itertools.count()
    found = latency(begun(made("oracle", suite)), steps=5, clock=lambda: next(ticks) / 500)
    assert found.median_ms == pytest.approx(2.0)


def published(task):
    """Returns of the published report, mean actions before any adaptation."""
    with (ROOT / "policies" / "half-cheetah-velocity-rl2" / "tasks.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if (row["acting"], row["shot"]) == ("mean action", "0")]
    return np.array([float(row["return"]) for row in rows if row["task"] == str(task)])


def check_speeds(tasks, worlds):
    """Drives Gymnasium's HalfCheetah-v5 at held-out speeds; returns must be those of the published report."""
    policy = robometa.load(ROOT / "policies" / "half-cheetah-velocity-rl2")
    run = example("half_cheetah_speed").run
    returns = []
    for task in tasks:
        speed = dict(policy.suite.test[task].parameters)["velocity"][0]
        found, known = np.array([run(policy, speed, seed) for seed in range(worlds)]), published(task)
        error = known.std(ddof=1) * np.sqrt(1 / len(known) + 1 / worlds)
        assert abs(found.mean() - known.mean()) < 4 * error, f"{speed} m/s: {found.mean()}, not {known.mean()}"
        returns.append(found)
    return returns


def test_gymnasium_s_half_cheetah_runs_at_the_speeds_that_are_asked_for():
    check_speeds((0, 9, 21), worlds=1)


@pytest.mark.slow
def test_gymnasium_s_half_cheetah_runs_as_well_as_the_published_report_says():
    returns = check_speeds(range(30), worlds=4)
    middle, low, high = interquartile_mean(returns)
    assert low < -20.68
    assert high > -21.43
    assert middle == pytest.approx(-21.04, abs=1.0)


def test_maml_adapts_to_episodes_of_gymnasium_s_half_cheetah():
    policy = robometa.load(ROOT / "policies" / "half-cheetah-direction-maml-trpo")
    before, after = example("half_cheetah_adapts").run(policy, direction=-1.0)
    assert before < 150
    assert after > 400

"""Meta-World's tasks step for step beside upstream: observation and success to the bit, reward to 1e-9."""

import dataclasses
import importlib.util

import numpy as np
import pytest
import torch

from robometa import suites
from robometa.noise import Noise
from robometa.suites import metaworld as benchmarks

if importlib.util.find_spec("metaworld") is None:  # which takes a second to load
    pytest.skip("the extra metaworld is not installed", allow_module_level=True)

from robometa.sim.metaworld.engine import ManipulationEngine

TASKS = benchmarks.task_names(suites.folder())
pytestmark = [
    pytest.mark.filterwarnings("ignore:Constant.s. may be too high"),  # of upstream's experts
    pytest.mark.usefixtures("upstream_models_compiled_once"),
]

TOLERANCE = 1e-9
"""Of rewards, where upstream's function is given the action in double precision."""
ROUNDING = 2e-6
"""Of the rewards that upstream's step returns: where the gripper's effort enters, it goes on in single precision."""


def upstream_env(name, goal, reward="v2"):
    """One of upstream's own environments at a goal."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    env = ALL_V3_ENVIRONMENTS[name](reward_function_version=reward)
    env._set_task_called = env._freeze_rand_vec = True
    env._last_rand_vec = np.array(goal)
    return env


def expert(name):
    """Upstream's scripted expert."""
    from metaworld.policies import ENV_POLICY_MAP

    return ENV_POLICY_MAP[name]().get_action


def at_random(seed):
    """Random actions that go somewhere: a direction is kept for a while."""
    source = np.random.default_rng(seed)
    kept = []

    def act(seen):
        if not kept:
            kept.extend([source.uniform(-1.5, 1.5, 4)] * 20)
        return kept.pop()

    return act


def compare(name, goals, steps, make_policy, reward="v2"):
    """Runs our engine and upstream side by side, and returns at how many steps each goal was reached."""
    suite = suites.load(f"ml1/{name}/{reward}")
    engine = ManipulationEngine(dataclasses.replace(suite, horizon=10 * steps), len(goals), 1, threads=1)
    engine.assign([suite.train[goal] for goal in goals])
    engine.reset(Noise(0, ("parity",), len(goals), 1))
    envs = [upstream_env(name, dict(suite.train[goal].parameters)["goal"], reward) for goal in goals]
    theirs = np.stack([env.reset()[0] for env in envs])
    np.testing.assert_array_equal(engine.seen, theirs)
    policies = [make_policy() for _ in goals]
    reached = np.zeros(len(goals), dtype=int)
    for step in range(steps):
        shown = [np.append(seen[:36], env._target_pos) for env, seen in zip(envs, theirs, strict=True)]  # with the goal
        actions = np.stack([act(seen) for act, seen in zip(policies, shown, strict=True)])
        actions = np.clip(actions, -1, 1).astype(np.float32)
        outcome = engine.step(torch.from_numpy(actions)[:, None])
        told = [env.step(action) for env, action in zip(envs, actions, strict=True)]
        theirs = np.stack([entry[0] for entry in told])
        where = f"{name}, step {step}"
        np.testing.assert_array_equal(engine.seen, theirs, err_msg=where)
        rounded = np.array([entry[1] for entry in told], dtype=np.float64)
        np.testing.assert_allclose(engine.rewards, rounded, rtol=0, atol=ROUNDING, err_msg=where)
        if reward == "v2":
            judged = [env.evaluate_state(*pair) for env, *pair in zip(envs, theirs, actions.astype(float), strict=True)]
            paid = np.array([entry[0] for entry in judged], dtype=np.float64)
            np.testing.assert_allclose(engine.rewards, paid, rtol=0, atol=TOLERANCE, err_msg=where)
        success = np.array([entry[4]["success"] > 0 for entry in told])
        np.testing.assert_array_equal(outcome.success[:, 0].numpy(), success, err_msg=where)
        reached += success
    engine.close()
    return reached


KINDS = {
    "the expert's": (0, 150, expert),
    "random": (1, 60, lambda name: at_random(0)),
}
"""Actions, by kind: of which goal, for how many steps, and who takes them."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.sample(16)
def test_actions_are_rewarded_as_upstream(name, kind):
    goal, steps, policy = KINDS[kind]
    assert compare(name, [goal], steps, lambda: policy(name)).shape == (1,)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_whole_episodes_of_three_goals_are_as_upstream(name):
    compare(name, [0, 1, 2], 500, lambda: expert(name))
    compare(name, [0, 1, 2], 500, lambda: at_random(0))


@pytest.mark.parametrize("name", ["reach-v3", "pick-place-v3", "bin-picking-v3"])
def test_the_first_version_of_rewards_is_upstreams_own(name):
    compare(name, [0, 1], 40, lambda: expert(name), reward="v1")

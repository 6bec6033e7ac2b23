"""The engine of Meta-World's tasks: states that go on exactly, worlds that do not see each other, ends of episodes."""

import dataclasses

import numpy as np
import pytest
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise

metaworld = pytest.importorskip("metaworld")

from robometa.sim.metaworld import upstream  # noqa: E402
from robometa.sim.metaworld.group import Group  # noqa: E402
from robometa.sim.metaworld.upstream import template  # noqa: E402
from robometa.sim.select import engine_of  # noqa: E402

NAMES = ("push-v3", "drawer-close-v3", "hammer-v3")
"""Of which the first asks for contacts, and no two have equally long states."""
HORIZON = 30


def some_tasks(*names, goals=1):
    """Tasks of these names, the first goals of each."""
    return [task for name in names for task in suites.load(f"ml1/{name}").train[:goals]]


def started(tasks, worlds=1, threads=1, reward="v2", horizon=HORIZON):
    """An engine in which an episode of each of the tasks begins."""
    suite = suites.load(f"ml1/{tasks[0].objective}/{reward}")
    engine = engine_of(dataclasses.replace(suite, horizon=horizon), len(tasks), worlds, threads)
    engine.assign(tasks)
    engine.reset(Noise(0, (), len(tasks), worlds))
    return engine


def actions(steps, tasks, worlds=1, seed=0):
    """Random actions that go somewhere: down, and each to a side of its own. `[time, task, world, 4]`."""
    source = np.random.default_rng(seed)
    kept = source.uniform(-1, 1, (1, tasks, worlds, 4)) * [1, 1, 0.3, 1] - [0, 0, 0.6, 0]
    return torch.from_numpy(kept + 0.3 * source.normal(size=(steps, tasks, worlds, 4))).float()


def run(engine, taken):
    """What the engine shows and pays, in double precision. `[time, world, 40]`."""
    shown = []
    for action in taken:
        outcome = engine.step(action)
        assert not outcome.diverged.any()
        shown.append(np.column_stack((engine.seen, engine.rewards, outcome.success.numpy().flatten())))
    return np.stack(shown)


@pytest.mark.parametrize("reward", ["v2", "v1"])
def test_a_restored_state_goes_on_exactly(reward):
    tasks, taken = some_tasks(*NAMES), actions(24, 3, 2)
    engine = started(tasks, 2, reward=reward)
    run(engine, taken[:8])
    state = engine.state()
    expected = run(engine, taken[8:])
    engine.restore(state)
    np.testing.assert_array_equal(run(engine, taken[8:]), expected)
    other = started(tasks, 2, reward=reward)
    other.restore(state)
    np.testing.assert_array_equal(run(other, taken[8:]), expected)


def test_a_state_begins_with_time_and_positions():
    engine = started(some_tasks("push-v3"))
    before = engine.state().physics[0, 0]
    run(engine, actions(2, 1))
    after = engine.state().physics[0, 0]
    assert after[0] - before[0] == pytest.approx(2 * 0.0125)
    assert np.abs(after[1:8] - before[1:8]).max() > 1e-4


def test_results_do_not_depend_on_threads():
    tasks, taken = some_tasks(*NAMES, goals=2), actions(20, 6, 6)
    expected = run(started(tasks, 6, threads=1), taken)
    for threads in (2, 5):
        np.testing.assert_array_equal(run(started(tasks, 6, threads), taken), expected)


def test_a_world_is_alone_whatever_stands_beside_it():
    tasks, taken = some_tasks(*NAMES, goals=2), actions(20, 6)
    together = run(started(tasks), taken)
    for index, task in enumerate(tasks):
        alone = run(started([task]), taken[:, index : index + 1])
        np.testing.assert_array_equal(together[:, index], alone[:, 0], err_msg=task.objective)
    backwards = run(started(tasks[::-1]), taken.flip(1))
    np.testing.assert_array_equal(backwards[:, ::-1], together)


def test_many_worlds_of_a_task_are_each_alone():
    """So many that they are stepped in several pieces."""
    task, taken = some_tasks("push-v3"), actions(6, 1, 70)
    many = run(started(task, 70), taken)
    for world in (0, 33, 69):
        np.testing.assert_array_equal(run(started(task), taken[:, :, world : world + 1])[:, 0], many[:, world])


@pytest.mark.parametrize("name", ["push-v3", "drawer-close-v3", "peg-insert-side-v3", "door-lock-v3", "stick-pull-v3"])
def test_an_episode_begins_as_upstream_s_does(name):
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    for task in some_tasks(name, goals=2):
        env = ALL_V3_ENVIRONMENTS[name]()
        env._set_task_called = env._freeze_rand_vec = True
        env._last_rand_vec = np.array(dict(task.parameters)["goal"])
        seen, _ = env.reset()
        engine = started([task])
        np.testing.assert_array_equal(engine.seen[0], seen)
        state = upstream.state_of(env.model, env.data)
        np.testing.assert_array_equal(engine.state().physics[0, 0], state)


def test_a_time_limit_truncates_and_the_next_episode_begins_alike():
    engine = started(some_tasks(*NAMES), 2, horizon=5)
    first = engine.state()
    for step in range(1, 11):
        outcome = engine.step(actions(1, 3, 2)[0])
        assert outcome.truncated.all() == (step % 5 == 0)
        assert not outcome.terminated.any()
        same = outcome.obs == outcome.next_obs
        assert bool(same.all()) == (step % 5 != 0)
    np.testing.assert_array_equal(outcome.obs, first.obs)
    last = engine.state()
    np.testing.assert_array_equal(last.physics, first.physics)
    assert (last.episodes == 3).all()
    assert (last.steps == 0).all()


@pytest.mark.parametrize("reward", ["v2", "v1"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_an_action_that_is_no_number_ends_the_episode_unpaid(tmp_path, monkeypatch, wrong, reward):
    monkeypatch.chdir(tmp_path)
    tasks, taken = some_tasks(*NAMES), actions(12, 3)
    engine, undisturbed = (started(tasks, reward=reward) for _ in range(2))
    run(engine, taken[:4]), run(undisturbed, taken[:4])
    broken = taken[4].clone()
    broken[1, 0, 2] = wrong
    outcome, expected = engine.step(broken), undisturbed.step(taken[4])
    assert outcome.diverged.flatten().tolist() == outcome.terminated.flatten().tolist() == [False, True, False]
    assert not outcome.truncated.any()
    assert engine.divergences == 1
    assert outcome.reward[1, 0] == 0.0
    assert outcome.next_obs.isfinite().all()
    assert torch.equal(outcome.obs[::2], expected.obs[::2])  # the others go on
    assert torch.equal(outcome.obs[1, 0], started(tasks[1:2], reward=reward).state().obs[0, 0])
    after, beside = run(engine, taken[5:]), run(undisturbed, taken[5:])
    np.testing.assert_array_equal(after[:, ::2], beside[:, ::2])
    fresh = run(started(tasks[1:2], reward=reward), taken[5:, 1:2])
    np.testing.assert_array_equal(after[:, 1], fresh[:, 0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e12])
@pytest.mark.parametrize("part", ["positions", "velocities"])
def test_a_state_that_blows_up_ends_the_episode_unpaid(tmp_path, monkeypatch, value, part):
    monkeypatch.chdir(tmp_path)
    tasks, taken = some_tasks(*NAMES), actions(12, 3)
    engine = started(tasks, threads=2)
    run(engine, taken[:4])
    state = engine.state()
    engine.restore(state)
    expected = run(engine, taken[4:])
    model = upstream.template(tasks[2].objective, "v2").model
    state.physics[2, 0, 1 + (2 if part == "positions" else model.nq + 2)] = value
    engine.restore(state)
    outcome = engine.step(taken[4])
    assert outcome.diverged.flatten().tolist() == outcome.terminated.flatten().tolist() == [False, False, True]
    assert outcome.reward[2, 0] == 0.0
    assert not outcome.success[2, 0]
    assert outcome.next_obs.isfinite().all()
    assert engine.divergences == 1
    after = run(engine, taken[5:])
    np.testing.assert_array_equal(after[:, :2], expected[1:, :2])
    np.testing.assert_array_equal(after[:, 2], run(started(tasks[2:]), taken[5:, 2:])[:, 0])
    assert not list(tmp_path.iterdir()), "MuJoCo wrote its log"


def simulations(engine):
    """How many simulations of each task name an engine keeps, by what keeps them."""
    kept = {}
    for name, groups in engine._groups.by_name.items():
        kept[name] = [data for group in groups for data in (*group.datas, *group._spare)]
    return kept


def test_other_tasks_reuse_simulations_and_are_not_touched_by_those_before():
    first, second = some_tasks("push-v3", "hammer-v3"), some_tasks("drawer-close-v3", "push-v3", goals=2)[1:3]
    taken = actions(10, 2, 2)
    engine = started(first, 2)
    run(engine, taken)
    kept = simulations(engine)["push-v3"]
    for tasks in (second, first, second):
        engine.assign(tasks)
        engine.reset(Noise(0, (), 2, 2))
        np.testing.assert_array_equal(run(engine, taken), run(started(tasks, 2), taken))
    assert {id(data) for data in simulations(engine)["push-v3"]} == {id(data) for data in kept}
    everything = suites.load("mt10").train[::50]
    for index in range(0, 10, 2):
        engine.assign(everything[index : index + 2])
        assert sum(map(len, simulations(engine).values())) <= 3 * 2 * 2


def test_the_goal_is_shown_in_multi_task_suites_only():
    suite = suites.load("mt10")
    shown = engine_of(suite, 2, 1, 1)
    shown.assign([suite.train[0], suite.train[50]])
    shown.reset(Noise(0, (), 2, 1))
    hidden = started([suite.train[0]])
    goal = upstream.template("reach-v3", "v2").start(dict(suite.train[0].parameters)["goal"], {}).constants["goal"]
    for engine, expected in ((shown, goal), (hidden, np.zeros(3))):
        np.testing.assert_array_equal(engine.seen[0, 36:], expected)
        engine.step(torch.zeros(engine.tasks, 1, 4))
        np.testing.assert_array_equal(engine.seen[0, 36:], expected)


def test_an_oracle_s_engine_tells_the_goal_in_single_task_suites():
    suite = suites.load("ml1/reach-v3")
    engine = engine_of(suite, 2, 1, 1, reveal=True)
    engine.assign(suite.test[:2])
    seen = engine.reset(Noise(0, (), 2, 1))
    assert seen.shape[-1] > 39
    assert not torch.equal(seen[0, 0, 39:], seen[1, 0, 39:])


def test_sizes_that_make_no_sense_are_told():
    suite = suites.load("ml1/reach-v3")
    with pytest.raises(UserError, match="at least one task and one world, not 0 and 1"):
        engine_of(suite, 0, 1)
    with pytest.raises(UserError, match="steps 1 tasks at once, not 2"):
        engine_of(suite, 1, 1, 1).assign(suite.train[:2])


@pytest.mark.slow
def test_five_hundred_worlds_of_ml45_fit_into_four_gigabytes():
    import subprocess
    import sys

    program = """
import resource, torch
from robometa import suites
from robometa.noise import Noise
from robometa.sim.select import engine_of
suite = suites.load("ml45")
engine = engine_of(suite, 250, 2)
engine.assign([suite.train[index * len(suite.train) // 250] for index in range(250)])
assert len({task.objective for task in engine.assigned}) == 45
engine.reset(Noise(0, (), 250, 2))
for _ in range(3):
    engine.step(torch.rand(250, 2, 4) * 2 - 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert float(done.stdout) < 4.0, done.stderr


def test_a_model_keeps_nothing_of_the_task_before():
    """Tasks that change different rows: what only the one before changed is as it was loaded, also after new worlds."""
    found = template("drawer-open-v3", "v2")
    start = found.start(dict(suites.load("ml1/drawer-open-v3").train[0].parameters)["goal"], {})
    row = np.array([1])
    edit = ("body_pos", row, found.model.body_pos[row] + 1.0)
    other = dataclasses.replace(start, edits=(edit,), loaded=(("body_pos", row, found._loaded["body_pos"][row]),))
    group = Group(found, contacts=False)
    for begins in (other, start):
        group.hold([begins], np.zeros(1, dtype=np.int64))
        group.begin(0)
        group.advance()
    np.testing.assert_array_equal(group.model.body_pos[row], found._loaded["body_pos"][row])
    for field, rows, values in start.edits:
        np.testing.assert_array_equal(getattr(group.model, field)[rows], values)

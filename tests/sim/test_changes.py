"""Changes along a trial: the right step, the right numbers, the same bytes for whoever computes them."""

from dataclasses import replace
from itertools import islice

import gymnasium
import numpy as np
import pytest
import torch

from robometa import suites
from robometa.noise import Noise
from robometa.sim.changes import course, moments
from robometa.sim.engine import TrialPlace
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.postmortem import repeat_step
from robometa.sim.select import engine_of

HORIZON, TASKS, WORLDS = 10, 2, 3
SPEED = """
robot = "half-cheetah"
objective = "velocity"
horizon = 10
[train]
tasks = 2
velocity = { uniform = [0, 3] }
payload = { uniform = [0.5, 1.0] }
[test]
tasks = 2
velocity = { uniform = [0, 3] }
payload = { uniform = [0.5, 1.0] }
"""
BROKEN = """
robot = "half-cheetah"
objective = "forward"
horizon = 10
[train]
motor_strength = { values = [[0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]] }
[test]
motor_strength = { values = [[1, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 1]] }
[change]
at = [4]
before = { motor_strength = 1 }
"""
WIRED = """
objective = "forward"
horizon = 10
[robot]
name = "ant"
observe = ["projected_gravity", "joint_positions", "joint_velocities"]
[sim_to_real]
gain_error = 0.1
[train]
tasks = 2
slope = { uniform = [-0.3, 0.3] }
[test]
tasks = 2
slope = { uniform = [-0.3, 0.3] }
[change]
every = [2, 4]
redraw = ["slope"]
"""


@pytest.fixture
def load(tmp_path):
    """Loads a suite of this text; every call writes a file of its own."""
    count = iter(range(1000))

    def load(text):
        file = tmp_path / f"mine-{next(count)}.toml"
        file.write_text(text)
        return suites.load(str(file))

    return load


def noise(tasks=TASKS, seed=0):
    return Noise(seed, ("test",), tasks, WORLDS)


def place(shot=0, tasks=TASKS):
    return TrialPlace(noise(tasks).fork("change"), shot)


def actions(steps=2 * HORIZON, tasks=TASKS, size=6):
    return 2 * torch.rand(steps, tasks, WORLDS, size, generator=torch.Generator().manual_seed(0)) - 1


def outcomes(engine, steps, where=None, acts=None):
    """All that a rollout gives, and the tasks in force before each step."""
    seen, force = [engine.reset(noise(engine.tasks), where)], []
    for action in (actions(size=engine.spaces.action) if acts is None else acts)[:steps]:
        force.append(engine.in_force)
        outcome = engine.step(action)
        seen += list(outcome)
    return seen, force


def same(one, other):
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def numbers(task, name):
    return dict(task.parameters)[name]


def test_a_course_has_given_steps_random_ones_and_those_between_episodes(load):
    text = '[change]\nat = [3, 8]\nevery = [4, 6]\nbetween_episodes = true\nredraw = ["velocity"]'
    task = load(SPEED + text).train[0]
    steps = [step for step, _ in islice(course(task, noise(), 0, HORIZON), 12)]
    assert steps[0] == 0
    assert {3, 8, 10, 20} <= set(steps)
    others = sorted(set(steps) - {3, 8} - set(range(0, 100, 10)))
    assert all(4 <= later - before <= 12 for before, later in zip(others, others[1:], strict=False))
    assert len({numbers(one, "velocity") for _, one in islice(course(task, noise(), 0, HORIZON), 12)}) == 12
    assert all(one.change is None for _, one in islice(course(task, noise(), 0, HORIZON), 12))
    for shot in range(2):
        found = moments(place(shot), [task], HORIZON)
        assert found == [[step - 10 * shot for step in steps_of(task) if 10 * shot <= step < 10 * shot + 10 and step]]


def steps_of(task):
    return [step for step, _ in islice(course(task, place().noise, 0, HORIZON), 30)]


def test_a_course_depends_on_the_trial_and_the_task_and_not_on_who_computes_it(load):
    suite = load(SPEED + '[change]\nevery = [2, 9]\nredraw = ["velocity"]')
    whole = [list(islice(course(suite.train[0], noise(4), index, HORIZON), 9)) for index in range(4)]
    part = noise(4).part(2, 2)
    assert [list(islice(course(suite.train[0], part, index, HORIZON), 9)) for index in range(2)] == whole[2:]
    assert len({str(one) for one in whole}) == 4
    assert list(islice(course(suite.train[0], noise(4, seed=1), 0, HORIZON), 9)) != whole[0]
    fewer = replace(noise(4), worlds=1)
    assert list(islice(course(suite.train[0], fewer, 0, HORIZON), 9)) == whole[0]


def test_numbers_drift_wander_and_stay_within_their_limits(load):
    drift = "[change]\nevery = 2\ndrift = { payload = { uniform = [0.1, 0.2] } }\nlimits = { payload = [0, 1.5] }"
    task = load(SPEED + drift).train[0]
    path = [numbers(one, "payload")[0] for _, one in islice(course(task, noise(), 0, HORIZON), 30)]
    steps = np.diff(path)
    assert steps[0] == pytest.approx(steps[1])  # the same at every change of a trial
    assert 0.1 <= steps[0] <= 0.2
    assert path[-1] == 1.5
    task = load(SPEED + drift.replace("drift", "wander")).train[0]
    steps = np.diff([numbers(one, "payload")[0] for _, one in islice(course(task, noise(), 0, HORIZON), 4)])
    assert len(set(steps.round(9))) == 3
    listed = load(BROKEN + 'redraw = ["motor_strength"]').train[0]
    listed = replace(listed, change=replace(listed.change, at=tuple(range(4, 20))))
    found = {numbers(one, "motor_strength") for _, one in islice(course(listed, noise(), 0, HORIZON), 17)}
    assert found == {(1.0,) * 6, (0.0, 1, 1, 1, 1, 1), (1.0, 1, 0, 1, 1, 1)}


def test_another_objective_pays_from_the_right_step_on(load):
    suite = load(SPEED + '[change]\nat = [4]\nredraw = ["velocity"]')
    task = suite.train[0]
    (_, before), (_, after) = course(task, place(tasks=1).noise, 0, HORIZON)
    paid = []
    for one in (task, before, after):
        engine = CpuEngine(suite, 1, WORLDS, threads=1)
        engine.assign([one])
        engine.reset(noise(1), place(tasks=1))
        paid.append([engine.step(action[:1]).reward for action in actions(9)])
    changing, first, second = paid
    assert same(changing[:4], first[:4])
    assert same(changing[4:], second[4:])
    assert not torch.equal(first[4], second[4])


def test_a_joint_breaks_before_the_right_step_for_good(load):
    suite = load(BROKEN)
    engine, whole, broken = (CpuEngine(suite, TASKS, WORLDS, threads=1) for _ in range(3))
    whole.assign([replace(task, parameters=suite.train[0].change.before, change=None) for task in suite.train])
    broken.assign([replace(task, change=None) for task in suite.train])
    outcomes(engine, 4)
    outcomes(whole, 4)
    assert np.array_equal(engine.state().physics, whole.state().physics)
    broken.reset(noise())
    broken.restore(engine.state())
    for action in actions()[4:9]:
        assert same(engine.step(action), broken.step(action))
    assert [numbers(task, "motor_strength") for task in engine.in_force] == [
        numbers(task, "motor_strength") for task in suite.train
    ]
    engine.reset(noise(), place(0))
    assert {numbers(task, "motor_strength") for task in engine.in_force} == {(1.0,) * 6}
    engine.reset(noise(), place(1))
    assert engine.in_force == broken.in_force


@pytest.mark.parametrize("text", [SPEED + '[change]\nevery = [2, 4]\nredraw = ["velocity", "payload"]', WIRED])
def test_a_restored_state_goes_on_exactly(load, text):
    suite = load(text)
    engine, other = (CpuEngine(suite, TASKS, WORLDS, threads=1) for _ in range(2))
    size = engine.spaces.action
    outcomes(engine, 5, place(1))
    state = engine.state()
    later = [engine.step(action) for action in actions(size=size)[5:15]]
    for one in (engine, other):
        one.reset(noise(seed=9))
        one.restore(state)
        assert all(same(one.step(action), step) for action, step in zip(actions(size=size)[5:15], later, strict=True))


def test_tasks_change_whatever_the_policy_does_and_whoever_computes_them(load):
    suite = load(SPEED + '[change]\nevery = [2, 4]\nredraw = ["velocity", "payload"]')
    whole = CpuEngine(suite, TASKS, WORLDS, threads=1)
    seen, force = outcomes(whole, HORIZON, place(1))
    assert len(set(force)) > 2
    assert outcomes(whole, HORIZON, place(1), torch.zeros(HORIZON, TASKS, WORLDS, 6))[1] == force
    part = CpuEngine(suite, 1, WORLDS, threads=1)
    part.assign(suite.train[1:2])
    alone = [part.reset(noise().part(1, 1), TrialPlace(place().noise.part(1, 1), 1))]
    for action in actions()[:HORIZON]:
        alone += list(part.step(action[1:]))
    assert same([one[1:] for one in seen], alone)


def test_sensors_and_motors_with_errors_follow_a_change(load):
    suite = load(WIRED)
    engine = CpuEngine(suite, TASKS, WORLDS, threads=1)
    engine.reset(noise(), place())
    before = engine.in_force
    gravity, gains = engine._wires.gravity.clone(), engine._models[0].actuator_gainprm[0, 0]
    for action in actions(size=8)[:HORIZON]:
        engine.step(action)
        if engine.in_force[0] != before[0]:
            break
    assert not torch.equal(engine._wires.gravity[0], gravity[0])
    assert engine._models[0].actuator_gainprm[0, 0] == gains  # the error of the episode is still there
    assert gains != engine.model.actuator_gainprm[0, 0]


def test_an_oracle_sees_what_is_in_force(load):
    suite = load(SPEED.replace("payload = { uniform = [0.5, 1.0] }", "payload = 0.5") + DRIFT)
    engine = engine_of(suite, TASKS, WORLDS, threads=1, reveal=True)
    assert engine.spaces.revealed == ("payload", "velocity")  # though all training tasks begin with one payload
    obs = engine.reset(noise(), place())
    for action in actions()[:HORIZON]:
        shown = torch.tensor([[numbers(task, name)[0] for name in engine.spaces.revealed] for task in engine.in_force])
        torch.testing.assert_close(obs[:, 0, -2:], shown)
        obs = engine.step(action).obs
    assert (shown[:, 0] > 0.5).all()


DRIFT = "[change]\nevery = 2\ndrift = { payload = 0.1 }\nlimits = { payload = [0, 1.5] }"


def test_a_divergence_tells_the_task_as_it_was(load):
    suite = load(BROKEN)
    engine = CpuEngine(suite, TASKS, WORLDS, threads=1)
    told = []
    engine.on_divergence = told.append
    outcomes(engine, 6)
    action = actions()[6].clone()
    action[0, 0, 0] = float("nan")
    engine.step(action)
    assert told[0].task == suite.train[0]
    assert told[0].in_force == replace(suite.train[0], change=None)
    assert repeat_step(suite, replace(told[0], task=told[0].in_force)).again


def test_an_environment_goes_on_along_a_trial_until_it_has_a_seed(load):
    suite = load(BROKEN)
    env = gymnasium.make("robometa/suite-v0", suite=str(suite.path)).unwrapped
    force = []
    for seed in (3, None, 3):
        env.reset(seed=seed)
        force.append(numbers(env._engine.in_force[0], "motor_strength"))
    assert force == [(1.0,) * 6, numbers(suite.train[0], "motor_strength"), (1.0,) * 6]
    env.close()


def test_environments_side_by_side_change_as_one_by_itself(load):
    suite = load(SPEED + '[change]\nevery = [2, 4]\nredraw = ["velocity"]')
    env = gymnasium.make("robometa/suite-v0", suite=str(suite.path)).unwrapped
    several = gymnasium.make_vec("robometa/suite-v0", num_envs=2, suite=str(suite.path), task=0)
    env.reset(seed=4)
    several.reset(seed=[1, 4])
    for action in actions(6)[:, 0, :1].numpy():
        _, alone, *_ = env.step(action[0])
        _, paid, *_ = several.step(np.repeat(action, 2, axis=0))
        assert paid[1] == alone
    several.reset(seed=[8, None], options={"reset_mask": np.array([True, False])})
    for action in actions(8)[6:, 0, :1].numpy():
        _, alone, *_ = env.step(action[0])
        _, paid, *_ = several.step(np.repeat(action, 2, axis=0))
        assert paid[1] == alone
    env.close()
    several.close()

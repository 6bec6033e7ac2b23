"""The oracle's engine: delegates everything, and appends the hidden parameters to observations."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.oracle import HiddenNumbers, RevealingEngine
from robometa.sim.select import engine_of

SUITE = suites.load("half-cheetah-velocity")
TASKS, WORLDS = 2, 3


def noise():
    return Noise(0, ("test",), TASKS, WORLDS)


@pytest.fixture
def engine():
    made = engine_of(SUITE, TASKS, WORLDS, threads=1, reveal=True)
    yield made
    made.close()


def speeds(tasks):
    return torch.tensor([dict(task.parameters)["velocity"][0] for task in tasks])


def test_it_is_a_wrapper_with_the_engine_s_sizes(engine):
    assert isinstance(engine, RevealingEngine)
    assert (engine.tasks, engine.worlds, engine.horizon, engine.threads) == (TASKS, WORLDS, SUITE.horizon, 1)
    assert engine.device == torch.device("cpu")
    assert engine.spaces.revealed == ("velocity",)


def test_before_any_assignment_it_reveals_the_tasks_that_the_engine_begins_with(engine):
    obs = engine.reset(noise())
    torch.testing.assert_close(obs[:, 0, -1], speeds(SUITE.train[:TASKS]))


def test_an_assignment_changes_what_it_reveals(engine):
    tasks = SUITE.test[3:5]
    engine.assign(tasks)
    torch.testing.assert_close(engine.reset(noise())[:, 0, -1], speeds(tasks))


def test_a_restored_state_goes_on_exactly(engine):
    action = torch.full((TASKS, WORLDS, engine.spaces.action), 0.5)
    engine.reset(noise())
    engine.step(action)
    state = engine.state()
    first = engine.step(action)
    engine.restore(state)
    again = engine.step(action)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_a_divergence_is_reported_to_who_asked_the_wrapper(engine):
    reports = []
    assert engine.on_divergence is None
    engine.on_divergence = reports.append
    engine.reset(noise())
    action = torch.zeros(TASKS, WORLDS, engine.spaces.action)
    action[1, 2] = np.inf
    assert engine.step(action).diverged.sum() == 1
    assert [(report.task, report.world) for report in reports] == [(SUITE.train[1], 2)]
    assert engine.on_divergence == reports.append


def test_a_suite_that_hides_no_numbers_has_no_oracle():
    with pytest.raises(UserError, match="which task it is"):
        engine_of(suites.load("mt10"), 1, 1, reveal=True)


def one_friction(friction):
    def with_value(task):
        return replace(task, parameters=(("geom_friction", friction(task)), *task.parameters))

    return replace(SUITE, train=tuple(map(with_value, SUITE.train)), test=tuple(map(with_value, SUITE.test)))


def test_a_parameter_with_one_value_for_all_of_its_parts_is_one_number():
    suite = one_friction(lambda task: (task.parameters[0][1][0],) * 3)
    hidden = HiddenNumbers(suite)
    assert hidden.names == ("geom_friction", "velocity")
    speed = suite.test[0].parameters[1][1][0]
    assert hidden(suite.test[0]).tolist() == pytest.approx([speed, speed])


def test_parts_with_values_of_their_own_stay_apart():
    hidden = HiddenNumbers(one_friction(lambda task: (task.parameters[0][1][0], 1.0, 2.0)))
    assert hidden.names == ("geom_friction 0", "velocity")


def test_a_task_with_several_values_where_training_had_one_is_refused():
    suite = one_friction(lambda task: (task.parameters[0][1][0],) * 3)
    task = replace(suite.test[0], parameters=(("geom_friction", (1.0, 1.0, 2.0)), ("velocity", (1.0,))))
    with pytest.raises(UserError, match="several values of geom_friction"):
        HiddenNumbers(suite)(task)


def test_parts_that_only_held_out_tasks_change_are_left_out_as_ever():
    suite = one_friction(lambda task: (1.0,) * 3)
    held_out = replace(suite.test[0], parameters=(("geom_friction", (1.0, 0.0, 1.0)), ("velocity", (1.5,))))
    hidden = HiddenNumbers(suite)
    assert hidden.names == ("velocity",)
    assert hidden(held_out).tolist() == [1.5]

"""The trial loop: the order of events, what each shot holds, and what the next rollout still sees."""

from contextlib import closing
from itertools import islice

import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout

from robometa import suites
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.trials.make import build, engine_for
from robometa.trials.trial import Shot, collect, run_trial, trial_loop

NOISE = Noise(7, ("test",), 2, 3)
OBSERVATION, ACTION, HORIZON = 4, 2, 5


class Diary:
    """A learner that writes down its calls; its adaptation is a list of what it has been through."""

    def __init__(self):
        self.events = []
        self.device = torch.device("cpu")

    def begin(self, tasks, worlds, noise):
        """Knows nothing."""
        self.events.append(("begin", (tasks, worlds), noise))
        return ["begun"]

    def act(self, adaptation, step, noise):
        """Explores by the noise alone, and remembers that it acted."""
        self.events.append(("act", adaptation, step))
        return noise, [*adaptation, "acted"]

    def adapt(self, adaptation, rollout, noise):
        """Remembers that it adapted."""
        self.events.append(("adapt", adaptation, rollout, noise))
        return [*adaptation, "adapted"]


def rollout(seed, worlds=3):
    """Experience that no simulator made."""
    return fake_rollout(2, worlds, HORIZON, OBSERVATION, ACTION, seed)


def test_the_learner_begins_before_the_first_shot_and_adapts_between_shots():
    learner = Diary()
    order = []
    for shot in trial_loop(learner, NOISE, 2):
        order += [event[0] for event in learner.events] + [shot.number]
        learner.events.clear()
        shot.complete(rollout(shot.number), shot.adaptation)
    assert order == ["begin", 0, "adapt", 1, "adapt", 2]
    assert not learner.events  # nothing is adapted to after the last rollout


def test_a_shot_holds_the_adaptation_and_the_rollout_before():
    learner, given = Diary(), [rollout(seed) for seed in range(3)]
    shots = []
    for shot in trial_loop(learner, NOISE, 2):
        shots.append(shot)
        shot.complete(given[shot.number], [*shot.adaptation, "acted"])
    assert [shot.adaptation for shot in shots] == [
        ["begun"],
        ["begun", "acted", "adapted"],
        ["begun", "acted", "adapted", "acted", "adapted"],
    ]
    assert shots[0].previous is None
    assert shots[1].previous is given[0]
    assert shots[2].previous is given[1]
    adapted = [event[1:3] for event in learner.events[1:]]
    assert [one[0] for one in adapted] == [["begun", "acted"], ["begun", "acted", "adapted", "acted"]]
    assert [one[1] for one in adapted] == [given[0], given[1]]


def test_random_numbers_are_addressed_by_their_purpose_and_shot():
    learner = Diary()
    rollouts = []
    for shot in trial_loop(learner, NOISE, 2):
        rollouts.append(shot.noise)
        shot.complete(rollout(shot.number), shot.adaptation)
    assert rollouts == [Noise(7, ("test", "rollout", number), 2, 3) for number in range(3)]
    assert learner.events[0] == ("begin", (2, 3), Noise(7, ("test", "begin"), 2, 3))
    assert [event[3] for event in learner.events[1:]] == [
        Noise(7, ("test", "adapt", number), 2, 3) for number in range(2)
    ]


def test_rollouts_put_side_by_side_are_adapted_to_as_so_many_worlds():
    learner = Diary()
    shots = trial_loop(learner, NOISE, 1)
    next(shots).complete(rollout(0, worlds=6), ["begun"])
    next(shots)
    assert learner.events[-1][3] == Noise(7, ("test", "adapt", 0), 2, 6)


def test_the_last_shot_needs_no_rollout_and_any_other_does():
    assert [shot.number for shot in trial_loop(Diary(), NOISE, 0)] == [0]
    shots = trial_loop(Diary(), NOISE, 1)
    next(shots)
    with pytest.raises(RuntimeError, match="shot 0 has no rollout"):
        next(shots)


def test_an_adaptation_of_nothing_is_a_rollout_too():
    """A learner without an adaptation hands None on."""
    learner = Diary()
    learner.adapt = lambda adaptation, rollout, noise: None
    for shot in trial_loop(learner, NOISE, 2):
        shot.complete(rollout(shot.number), None)
    assert shot.number == 2
    assert shot.adaptation is None


def test_a_trial_without_a_number_of_shots_goes_on_as_long_as_the_caller_does():
    numbers = []
    for shot in islice(trial_loop(Diary(), NOISE, None), 20):
        numbers.append(shot.number)
        shot.complete(rollout(0), shot.adaptation)
    assert numbers == list(range(20))


def test_the_first_step_of_a_rollout_shows_the_last_of_the_one_before(tiny_suite):
    learner = Diary()
    engine = engine_for(None, tiny_suite, 2, 3, Hardware(threads=1))
    trial = run_trial(engine, learner, tiny_suite.train, [4, 1], 2, NOISE)
    steps = [event[2] for event in learner.events if event[0] == "act"]
    assert len(steps) == 3 * HORIZON
    first = steps[0]
    assert not first.last_action.any()
    assert not first.last_reward.any()
    assert not first.last_done.any()
    for shot in (1, 2):
        step, before = steps[shot * HORIZON], trial.rollouts[shot - 1]
        assert torch.equal(step.obs, trial.rollouts[shot].obs[:, :, 0])
        assert torch.equal(step.last_action, before.action[:, :, -1])
        assert torch.equal(step.last_reward, before.reward[:, :, -1])
        assert torch.equal(step.last_done, before.done[:, :, -1])
        assert step.last_done.all()


def test_a_trial_to_train_on_holds_every_rollout_and_the_adaptation_goes_through_all(tiny_suite):
    learner = Diary()
    engine = engine_for(None, tiny_suite, 2, 3, Hardware(threads=1))
    trial = run_trial(engine, learner, tiny_suite.train, [4, 1], 2, NOISE)
    assert trial.tasks.tolist() == [4, 1]
    assert trial.noise == NOISE.fork("update")
    assert len(trial.rollouts) == 3
    assert [event[2] for event in learner.events if event[0] == "adapt"] == list(trial.rollouts[:2])
    acting = [event[1] for event in learner.events if event[0] == "act"]
    assert acting[-1] == ["begun", *(["acted"] * HORIZON + ["adapted"]) * 2, *["acted"] * (HORIZON - 1)]
    for number, collected in enumerate(trial.rollouts):  # explores by the noise of its shot
        draws = NOISE.fork("rollout", number, "action").normal(HORIZON, ACTION)
        assert torch.equal(collected.action, draws)


@pytest.mark.parametrize("name", ["maml-trpo", "rl2"])
def test_scoring_between_shots_changes_nothing_of_the_trial(tiny_suite, name):
    learner = build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, 0)
    engine = engine_for(learner, tiny_suite, 2, 3, Hardware(threads=1))
    plain = run_trial(engine, learner, tiny_suite.train, [4, 1], 2, NOISE)
    for shot in trial_loop(learner, NOISE, 2):
        collect(engine, learner, shot.adaptation, NOISE.fork("quiet"), explore=False, previous=shot.previous)
        collected, adaptation = collect(engine, learner, shot.adaptation, shot.noise, previous=shot.previous)
        shot.complete(collected, adaptation)
        for field, tensor in vars(collected).items():
            assert torch.equal(tensor, vars(plain.rollouts[shot.number])[field]), field


def test_a_rollout_may_be_collected_elsewhere(tiny_suite):
    """A shot is all that it takes: another engine, given the tasks and the shot, collects the same."""
    learner = build("rl2", read_config("rl2", SMALL_OPTIONS["rl2"]), tiny_suite, 0)
    engine = engine_for(learner, tiny_suite, 2, 3, Hardware(threads=1))
    plain = run_trial(engine, learner, tiny_suite.train, [4, 1], 1, NOISE)

    def collected_elsewhere(shot: Shot):
        other = engine_for(learner, tiny_suite, 2, 3, Hardware(threads=1))
        other.assign([tiny_suite.train[4], tiny_suite.train[1]])
        return collect(other, learner, shot.adaptation, shot.noise, previous=shot.previous)

    for shot in trial_loop(learner, NOISE, 1):
        collected, adaptation = collected_elsewhere(shot)
        shot.complete(collected, adaptation)
        assert torch.equal(collected.reward, plain.rollouts[shot.number].reward)
        assert torch.equal(collected.action, plain.rollouts[shot.number].action)


@pytest.mark.parametrize("cost", [1e36, 1e60])
def test_rewards_without_a_finite_sum_are_a_mistake_in_the_suite(tmp_path, cost):
    shipped = suites.load("half-cheetah-velocity")
    text = shipped.path.read_text(encoding="utf-8").replace("control_cost = 0.05", f"control_cost = {cost}")
    (tmp_path / "dear.toml").write_text(text.replace("horizon   = 200", "horizon = 3"), encoding="utf-8")
    suite = suites.load(tmp_path / "dear.toml")
    learner = build("random", read_config("random", {}), suite, 0)
    with closing(engine_for(learner, suite, 2, 3)) as engine:
        engine.assign(suite.train[:2])
        with pytest.raises(UserError, match="pays a reward beyond 1e\\+30 or none"):
            collect(engine, learner, learner.begin(2, 3, NOISE), NOISE)

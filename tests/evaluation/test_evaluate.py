"""Evaluation against known answers: a fixed quota of episodes for every task, and honest intervals."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS, copied, same_tensors

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.data import Spaces
from robometa.errors import UserError
from robometa.evaluation import evaluate
from robometa.evaluation.by_shot import episodes_seen
from robometa.evaluation.evaluate import measure
from robometa.learners.random import Config as RandomConfig
from robometa.learners.random import Random
from robometa.registry.options import read_config
from robometa.reports.scores import Scores
from robometa.reports.statistics import interquartile_mean
from robometa.sim.engine import Outcome
from robometa.trials import make

RATES = (0.0, 0.25, 0.5, 1.0)
HORIZON = 6


class KnownTask:
    """A task whose first episodes succeed in a known share of the worlds."""

    change = None

    def __init__(self, rate):
        self.rate = rate

    def describe(self):
        """The share."""
        return f"rate {self.rate}"

    all_numbers = describe


class KnownEngine:
    """A simulator of known answers.

    In the worlds that succeed the episode lasts to the end, where it succeeds, and pays 1 a step. In the others the
    first episode fails at once, and all that begin later succeed and pay 100 a step: none of them may count.
    """

    made = ()

    def __init__(self, suite, tasks, worlds, **options):
        self.tasks, self.worlds, self.horizon, self.spaces = tasks, worlds, HORIZON, Spaces(1, 1)
        self.worst_reward = torch.full((tasks,), -1.0)
        KnownEngine.made = (*KnownEngine.made, self)

    def assign(self, tasks):
        """Draws which worlds succeed."""
        assert len(tasks) == self.tasks
        share = torch.tensor([task.rate for task in tasks]) * self.worlds
        self.good = torch.arange(self.worlds) < share.unsqueeze(-1)

    def reset(self, noise, place=None):
        """The first observation."""
        self.time = 0
        return torch.zeros(self.tasks, self.worlds, 1)

    def close(self):
        """Nothing to give back."""

    def step(self, action):
        """What the time says."""
        first, last = self.time == 0, self.time == HORIZON - 1
        self.time += 1
        obs = torch.zeros(self.tasks, self.worlds, 1)
        none = torch.zeros_like(self.good)
        reward = torch.where(self.good, 1.0, 0.0 if first else 100.0)
        success = torch.where(self.good, torch.tensor(last), torch.tensor(not first))
        truncated = self.good if last else none
        return Outcome(obs, obs, reward, ~self.good, truncated, success, none)


@pytest.fixture
def known(monkeypatch, tiny_suite, changed):
    """Measures known tasks in a given order with a number of worlds."""
    monkeypatch.setattr(make, "engine_for", lambda learner, *sizes, **options: KnownEngine(*sizes, **options))
    monkeypatch.setattr(make, "spaces_of", lambda suite: Spaces(1, 1))
    KnownEngine.made = ()

    def measured(rates=RATES, **asked):
        suite = changed(tiny_suite, test=tuple(KnownTask(rate) for rate in rates), horizon=HORIZON)
        return measure(Random(RandomConfig(), Spaces(1, 1), 0), suite, **asked)

    return measured


@pytest.mark.parametrize("worlds", [4, 8, 20, 100])
@pytest.mark.parametrize("rates", [RATES, RATES[::-1], (0.5, 0.0, 1.0, 0.25), RATES * 3])
@pytest.mark.sample(8)
def test_known_answers_come_out_whatever_the_width_and_order(known, worlds, rates):
    report = known(rates, worlds=worlds, shots=1)
    for scores in (report.mean_action, report.exploring):
        assert scores.success.shape == scores.returns.shape == (2, len(rates), worlds)
        np.testing.assert_array_equal(scores.success.mean(axis=2), [rates, rates])
        np.testing.assert_array_equal(scores.returns.mean(axis=2), HORIZON * np.array([rates, rates]))
    np.testing.assert_array_equal(report.random.success.mean(axis=2), [rates])
    assert report.tasks == tuple(f"rate {rate}" for rate in rates)
    assert report.summary()[0]["mean_action"]["success"] == pytest.approx(np.mean(rates))


def test_pieces_of_tasks_come_together_in_order(known, monkeypatch):
    monkeypatch.setattr(evaluate, "WORLDS_AT_ONCE", 12)
    report = known(RATES * 2, worlds=4)
    assert [engine.tasks for engine in KnownEngine.made] == [3, 3, 2]
    np.testing.assert_array_equal(report.exploring.success.mean(axis=2), [RATES * 2] * 3)
    # more worlds than are stepped together: a task at a time
    assert known(RATES, worlds=20).exploring.returns.shape == (3, 4, 20)


def test_one_episode_of_every_task_in_every_world_at_every_shot(tiny_suite):
    options = SMALL_OPTIONS["maml-trpo"]
    learner = make.build("maml-trpo", read_config("maml-trpo", options), tiny_suite, seed=0)
    report = measure(learner, tiny_suite, shots=3, worlds=7)
    assert report.exploring.returns.shape == report.mean_action.returns.shape == (4, 3, 7)
    assert report.random.returns.shape == (1, 3, 7)
    assert np.isfinite(report.exploring.returns).all()
    # every world is an episode of its own
    assert len(np.unique(report.exploring.returns)) == 4 * 3 * 7


def built(name, suite):
    return make.build(name, read_config(name, SMALL_OPTIONS[name]), suite, seed=0)


def test_experience_counts_pooled_worlds_together_and_others_apart(tiny_suite):
    pooled = measure(built("maml-trpo", tiny_suite), tiny_suite, shots=2, worlds=20)
    assert pooled.episodes_seen == (0, 20, 40)
    assert pooled.steps_seen == (0, 100, 200)
    apart = measure(built("pearl", tiny_suite), tiny_suite, shots=2, worlds=20)
    assert apart.episodes_seen == (0, 1, 2)
    assert apart.steps_seen == (0, 5, 10)


def test_a_learner_that_pools_is_given_the_worlds_it_was_trained_with(tiny_suite):
    assert measure(built("maml-trpo", tiny_suite), tiny_suite, shots=1).episodes_seen == (0, 4)
    assert measure(built("pearl", tiny_suite), tiny_suite, shots=0).exploring.returns.shape == (1, 3, 20)


@pytest.mark.parametrize("name", list(registry.LEARNERS))
@pytest.mark.sample(8)
def test_evaluating_leaves_the_learner_unchanged(tiny_suite, name):
    learner = built(name, tiny_suite)
    before = copied(learner.state_dict())
    first = measure(learner, tiny_suite, shots=2, worlds=3)
    assert same_tensors(learner.state_dict(), before)
    # and so the next evaluation finds the same
    again = measure(learner, tiny_suite, shots=2, worlds=3)
    np.testing.assert_array_equal(first.exploring.returns, again.exploring.returns)
    np.testing.assert_array_equal(first.mean_action.returns, again.mean_action.returns)


def test_seed_and_threads(tiny_suite):
    learner = built("pearl", tiny_suite)
    returns = [
        measure(learner, tiny_suite, worlds=3, seed=0, hardware=Hardware(threads=count)).exploring.returns
        for count in (1, 3)
    ]
    np.testing.assert_array_equal(*returns)
    assert not np.array_equal(measure(learner, tiny_suite, worlds=3, seed=1).exploring.returns, returns[0])


def test_scoring_a_shot_does_not_spend_it(tiny_suite):
    """Episodes without noise are not learned from: what an adaptation learns from does not depend on them."""
    learner = built("maml-trpo", tiny_suite)
    learned = []
    adapt = learner.adapt

    def watched(adaptation, rollout, noise):
        learned.append(rollout)
        return adapt(adaptation, rollout, noise)

    learner.adapt = watched
    report = measure(learner, tiny_suite, shots=2, worlds=3)
    assert len(learned) == 2
    for shot, rollout in enumerate(learned):
        np.testing.assert_allclose(rollout.episode_return().numpy(), report.exploring.returns[shot], rtol=1e-6)


def test_the_training_tasks_can_be_measured_too(tiny_suite):
    report = measure(built("random", tiny_suite), tiny_suite, split="train", shots=0, worlds=2)
    assert report.tasks == tuple(task.all_numbers() for task in tiny_suite.train)


@pytest.mark.parametrize("asked", [{"shots": -1}, {"worlds": 0}, {"split": "tset"}, {"shots": 10**6}])
def test_what_cannot_be_measured_is_refused(tiny_suite, asked):
    with pytest.raises(UserError):
        measure(built("random", tiny_suite), tiny_suite, **asked)


def test_the_interquartile_mean_is_that_of_the_middle_half():
    # sorted: 0 1 2 3 4 5 6 100; the middle half is 2 3 4 5
    values = np.array([[100.0, 0, 3, 5], [6, 1, 2, 4]])
    assert interquartile_mean(values)[0] == pytest.approx(3.5)


def test_the_interval_is_that_of_a_stratified_bootstrap():
    generator = np.random.default_rng(7)
    values = generator.normal(size=(12, 10)) * 3 + generator.normal(size=(12, 1)) * 20
    middle, low, high = interquartile_mean(values)
    draws = []
    for _ in range(4000):
        places = generator.integers(10, size=(12, 10))
        resampled = np.sort(np.take_along_axis(values, places, axis=1).ravel())
        draws.append(resampled[30:90].mean())
    assert middle == pytest.approx(np.sort(values.ravel())[30:90].mean())
    width = high - low
    assert low == pytest.approx(np.quantile(draws, 0.025), abs=0.1 * width)
    assert high == pytest.approx(np.quantile(draws, 0.975), abs=0.1 * width)


def test_the_interval_is_of_worlds_within_tasks_not_of_tasks():
    # tasks far apart, worlds of a task alike: resampling tasks would give an interval of tens
    values = 100.0 * np.arange(8)[:, None] + np.linspace(-0.5, 0.5, 5)
    _, low, high = interquartile_mean(values)
    assert 0 < high - low < 1


def test_where_there_is_nothing_to_resample():
    assert interquartile_mean(np.array([[1.0, 1.0], [3.0, 3.0]])) == (2.0, 2.0, 2.0)
    middle, low, high = interquartile_mean(np.array([[1.0], [3.0]]))
    assert middle == 2.0
    assert np.isnan(low)
    assert np.isnan(high)


def test_the_report_on_disk_is_what_was_measured(known, tmp_path):
    report = known(worlds=4, shots=1)
    report.save(tmp_path / "report")
    described = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [row["mean_action"]["success"] for row in described["shots"]] == [np.mean(RATES)] * 2
    seen = report.exploring.episodes[0].mean()
    assert seen > 1  # the stub's worlds end early
    assert [row["episodes_seen"] for row in described["shots"]] == [0, seen]
    with (tmp_path / "report" / "tasks.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 4 * 4  # acting, shot, task, world
    for task, rate in enumerate(RATES):
        won = [int(row["success"]) for row in rows if row["task"] == str(task)]
        assert np.mean(won) == rate


def test_the_report_of_one_world_is_still_json(known, tmp_path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    known((0.0, 1.0), worlds=1, shots=0).save(tmp_path)
    json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)


def test_scores_are_of_one_shot_at_a_time():
    returns = np.stack([np.zeros((2, 3)), np.ones((2, 3))])
    scores = Scores(
        returns=returns,
        success=returns,
        success_any_step=returns,
        episodes=np.ones_like(returns),
        spoilt=np.zeros_like(returns),
        diverged=0,
    )
    assert scores.interquartile_mean(0)[0] == 0.0
    assert scores.interquartile_mean(1)[0] == 1.0


def test_experience_counts_the_episodes_that_really_were() -> None:
    episodes = np.array([[[1.0, 3.0], [2.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]], [[9.0, 9.0], [9.0, 9.0]]])
    # Pooled: (1 + 3 + 2 + 2) / 2 tasks = 4, then 4 + (2 + 2) / 2 = 6. Apart: 8 / 4 = 2, then 2 + 4 / 4 = 3.
    assert episodes_seen(episodes, pooled=True) == (0, 4, 6)
    assert episodes_seen(episodes, pooled=False) == (0, 2, 3)

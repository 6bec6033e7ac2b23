"""Few-shot evaluation by protocol, scripted experts, and our learners in upstream's own evaluation."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout

from robometa import suites
from robometa.commands.main import main
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.evaluation import by_protocol, protocols
from robometa.evaluation.evaluate import chosen_protocol
from robometa.evaluation.protocols import PROTOCOLS
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.reports.report import Report
from robometa.reports.scores import Scores, scores_of
from robometa.reports.statistics import mean
from robometa.reports.terminal import print_report
from robometa.trials import make as making

OFFICIAL = PROTOCOLS["metaworld-few-shot-v1"]
pytestmark = pytest.mark.filterwarnings("ignore:Constant.s. may be too high")  # of upstream's experts


class Watched:
    """A learner whose noise is a function of what it sees, and who remembers what it was shown and taught."""

    def __init__(self, learner):
        self.learner, self.config, self.device = learner, learner.config, learner.device
        self.pools_worlds = learner.pools_worlds
        self.sees_parameters = learner.sees_parameters
        self.adapts_within_episode = learner.adapts_within_episode
        self.steps, self.starts, self.taught, self.learned = [], [], [], []

    def begin(self, tasks, worlds, noise):
        """The same whatever the noise."""
        return self.learner.begin(tasks, worlds, Noise(0, ("fixed",), tasks, worlds))

    def act(self, adaptation, step, noise):
        """Explores by what it sees."""
        self.starts.append(adaptation)
        self.steps.append(step)
        return self.learner.act(adaptation, step, torch.sin(100 * step.obs[..., :4]))

    def adapt(self, adaptation, rollout, noise):
        """The same whatever the noise."""
        self.taught.append(rollout)
        fixed = Noise(0, ("fixed", len(self.taught)), *rollout.reward.shape[:2])
        self.learned.append(self.learner.adapt(adaptation, rollout, fixed))
        return self.learned[-1]


def flat(value):
    """All tensors of an adaptation in a row."""
    return torch.utils._pytree.tree_leaves(value)


def built(name, suite):
    return making.build(name, read_config(name, SMALL_OPTIONS[name]), suite, seed=0)


# The protocol


@pytest.mark.parametrize("name", ["rl2", "pearl", "varibad", "maml-trpo"])
def test_ten_episodes_are_learned_from_and_every_scored_one_goes_out_from_there(tiny_suite, name):
    learner = Watched(built(name, tiny_suite))
    worlds = by_protocol.worlds(OFFICIAL, learner)
    make = lambda worlds: making.engine_for(learner, tiny_suite, 2, worlds, Hardware(threads=1))  # noqa: E731
    advanced = []
    noise = Noise(0, ("test",), 2, worlds)
    scores = by_protocol.follow(OFFICIAL, learner, make, tiny_suite.test[:2], noise, lambda: advanced.append(1))
    assert [part.returns.shape for part in scores] == [(2, 2, 3)] * 2  # before and after, task, episode
    assert [rollout.reward.shape for rollout in learner.taught] == ([(2, 10, 5)] if worlds == 10 else [(2, 1, 5)] * 10)
    assert len(advanced) == by_protocol.rollouts(OFFICIAL, learner, False) - OFFICIAL.evaluation
    # The first act of each rollout: those of the adaptation, then those scored, quiet ones first.
    firsts = learner.starts[:: tiny_suite.horizon]
    scored = firsts[OFFICIAL.adaptation // worlds :]
    before, after = learner.begin(2, worlds, None), learner.learned[-1]
    half = len(scored) // 4
    for place, start in enumerate(scored):
        expected = before if place // half in (0, 2) else after
        assert all(map(torch.equal, flat(start), flat(expected))), place


def test_the_three_exploring_episodes_are_three_different_ones(tiny_suite):
    for name in ("rl2", "maml-trpo"):
        learner = built(name, tiny_suite)
        worlds = by_protocol.worlds(OFFICIAL, learner)
        make = lambda worlds, learner=learner: making.engine_for(learner, tiny_suite, 2, worlds, Hardware(threads=1))  # noqa: E731
        _, exploring = by_protocol.follow(OFFICIAL, learner, make, tiny_suite.test[:2], Noise(0, ("test",), 2, worlds))
        assert len(np.unique(exploring.returns)) == exploring.returns.size == 12


def test_the_protocol_takes_the_first_forty_goals_of_each_held_out_task():
    suite = suites.load("ml10")
    assert protocols.default(suite) is OFFICIAL
    chosen = suite.family.first(suite.test, OFFICIAL.goals)
    names = list(dict.fromkeys(task.objective for task in suite.test))
    assert [task.objective for task in chosen] == [name for name in names for _ in range(40)]
    assert chosen[40:80] == suite.test[50:90]
    with pytest.raises(UserError, match="from 1 to 50, not 51"):
        suite.family.first(suite.test, 51)


def test_a_part_of_a_protocol_does_not_go_by_its_name():
    assert OFFICIAL.label() == OFFICIAL.label(40) == "metaworld-few-shot-v1"
    assert OFFICIAL.label(5) == "metaworld-few-shot-v1 (first 5 of 40 goals)"


def test_whose_protocol_is_the_default():
    reach, cheetah = suites.load("ml1/reach-v3"), suites.load("half-cheetah-velocity")
    assert chosen_protocol(reach, None, None, None) is OFFICIAL
    assert chosen_protocol(reach, None, 2, None) is None
    assert chosen_protocol(reach, None, None, 4) is None
    assert chosen_protocol(reach, "none", None, None) is None
    assert chosen_protocol(suites.load("mt10"), None, None, None) is None  # holds nothing out
    assert chosen_protocol(cheetah, None, None, None) is None
    for suite, name, shots, match in (
        (reach, "metaworld", None, "unknown protocol"),
        (cheetah, OFFICIAL.name, None, "for Meta-World's suites"),
        (reach, OFFICIAL.name, 2, "leave out shots"),
    ):
        with pytest.raises(UserError, match=match):
            chosen_protocol(suite, name, shots, None)


# The report


def test_success_at_the_end_is_that_of_the_first_episodes_last_step():
    rollout = fake_rollout(1, 4, 6, 3, 2, seed=0)
    terminated, success = torch.zeros(1, 4, 6, dtype=torch.bool), torch.zeros(1, 4, 6, dtype=torch.bool)
    terminated[0, 1:3, 2] = True
    truncated = torch.zeros_like(terminated)
    truncated[..., -1] = True
    success[0, 0, 3] = True  # held once, and no more at the end
    success[0, 1, 2] = True  # at the end of an episode that ends early
    success[0, 2, 5] = True  # in a second episode, which does not count
    success[0, 3, 5] = True
    scores = scores_of([dataclasses.replace(rollout, terminated=terminated, truncated=truncated, success=success)])
    np.testing.assert_array_equal(scores.success_any_step, [[[1, 1, 0, 1]]])
    np.testing.assert_array_equal(scores.success, [[[0, 1, 0, 1]]])


def report_of(success, names):
    """A report of known successes. `[shot, task, episode]`."""
    success = np.array(success, dtype=float)
    ones = np.ones_like(success)
    none = success * 0
    scores = Scores(success * 10, success, none, ones, spoilt=none, diverged=0)
    chance = Scores(success[:1] * 10, success[:1], none[:1], ones[:1], spoilt=none[:1], diverged=0)
    return Report(
        suite="ml10",
        suite_hash="0",
        split="test",
        learner="somebody",
        policy="",
        seed=0,
        tasks=tuple(f"{name}: goal {index}" for index, name in enumerate(names)),
        episodes_seen=(0.0, 10.0),
        steps_seen=(0, 5000),
        mean_action=scores,
        exploring=scores,
        random=chance,
        has_success=True,
        names=tuple(names),
        protocol=OFFICIAL.label(4),
    )


NAMES = ["reach-v3"] * 4 + ["push-v3"] * 4
SUCCESS = [[[0, 0, 0]] * 8, [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]]


def test_a_quarter_of_successes_is_a_quarter():
    row = report_of(SUCCESS, NAMES).summary()[1]["mean_action"]
    assert row["success"] == pytest.approx((3 + 2 + 1) / 24)
    assert 0 <= row["success_low"] < row["success"] < row["success_high"] < 1
    assert row["success_any_step"] == 0
    # goals are resampled within each task: where all goals of a task are alike there is nothing to resample
    assert mean([np.array([1.0, 1.0]), np.array([0.0, 0.0])]) == (0.5, 0.5, 0.5)


def test_results_of_tasks_and_goals_are_beside_the_report(tmp_path, capsys):
    report = report_of(SUCCESS, NAMES)
    print_report(report)
    shown = capsys.readouterr().out
    assert "metaworld-few-shot-v1 (first 4 of 40 goals)" in " ".join(shown.split())
    written = report.save(tmp_path)
    assert [path.name for path in written] == ["report.json", "tasks.csv", "goals.csv", "names.csv"]
    described = json.loads((tmp_path / "report.json").read_text())
    assert described["protocol"] == OFFICIAL.label(4)
    assert [row["shots"][1]["exploring"]["success"] for row in described["by_name"]] == [0.25, 0.25]
    with (tmp_path / "goals.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["shot"] == "1" and row["acting"] == "exploring"]
    assert [(row["name"], row["goal"], float(row["success"])) for row in rows[3:6]] == [
        ("reach-v3", "3", 0),
        ("push-v3", "0", pytest.approx(2 / 3)),
        ("push-v3", "1", pytest.approx(1 / 3)),
    ]
    with (tmp_path / "names.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["reach-v3"] * 4 + ["push-v3"] * 4  # shot, acting
    assert {row["goals"] for row in rows} == {"4"}
    with (tmp_path / "tasks.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 8 * 3


def test_suites_are_listed_and_shown(capsys):
    assert main(["suites"]) == 0
    listed = capsys.readouterr().out
    for line in ("ml1/TASK 50/50", "ml10 500/250", "ml25 1200/250", "ml45 2250/250", "mt50 2500/2500 (same)"):
        assert line in " ".join(listed.split())
    assert main(["suites", "ml10"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "test: 5 tasks, 250 goals drawer-open-v3 50, door-close-v3 50" in shown
    assert "metaworld-few-shot-v1: 10 episodes to adapt, then 3 scored" in shown
    assert main(["suites", "mt10"]) == 0
    assert "protocol none of its own" in " ".join(capsys.readouterr().out.split())


def test_experts_are_for_meta_worlds_tasks(capsys):
    assert main(["baseline", "scripted", "point-robot"]) == 2
    assert "the scripted experts know Meta-World's tasks" in capsys.readouterr().err
    assert main(["baseline", "scripted"]) == 2
    assert "missing SUITE" in capsys.readouterr().err

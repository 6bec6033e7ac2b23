"""Stable-Baselines3 from scratch: scored like a learner, with the steps asked for, and the same every time."""

import random
import tempfile

import gymnasium
import numpy as np
import pytest
import torch
from conftest import TINY_SUITE

from robometa import evaluate_from_scratch, suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.evaluation import evaluate
from robometa.evaluation.evaluate import measure
from robometa.evaluation.stable_baselines3 import ALGORITHMS, PPO_ROLLOUT, FromScratch, _model, _trained
from robometa.registry.options import read_config
from robometa.trials.make import build

STEPS = {"sb3-ppo": 100, "sb3-sac": 120, "sb3-td3": 120}
"""Enough for every algorithm to have learned something: off-policy ones begin after 100."""


def tiny_model(name, steps=200):
    return _model(name, gymnasium.make("robometa/point-robot-v0"), steps, seed=1)


@pytest.mark.parametrize("name", list(ALGORITHMS))
@pytest.mark.sample(1)
def test_it_is_scored_as_learners_are(tiny_suite, name):
    report = evaluate_from_scratch(name, tiny_suite, steps=STEPS[name], tasks=2, worlds=4, seed=3)
    learner = measure(build("random", read_config("random", {}), tiny_suite, 0), tiny_suite, shots=1, worlds=4, seed=3)
    assert (report.learner, report.suite, report.split) == (name, "tiny", "test")
    assert report.tasks == learner.tasks[:2]
    assert report.mean_action.returns.shape == report.exploring.returns.shape == (2, 2, 4)
    assert report.steps_seen == (0, STEPS[name])
    assert report.episodes_seen == (0, STEPS[name] / 5)
    assert [row.keys() for row in report.summary()] == [row.keys() for row in learner.summary()]
    # the same episodes: random actions are paid the same to the last bit
    np.testing.assert_array_equal(report.random.returns, learner.random.returns[:, :2])
    assert not np.array_equal(report.mean_action.returns[0], report.mean_action.returns[1])
    assert not np.array_equal(report.mean_action.returns, report.exploring.returns)


def test_the_same_seed_gives_the_same_and_leaves_the_global_generators_alone(tiny_suite):
    def returns(seed):
        return evaluate_from_scratch("sb3-td3", tiny_suite, steps=110, tasks=1, worlds=3, seed=seed).exploring.returns

    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    first = returns(0)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before  # noqa: NPY002
    torch.manual_seed(6)
    np.testing.assert_array_equal(returns(0), first)
    assert not np.array_equal(returns(1), first)


def test_it_leaves_nothing_among_temporary_files(tiny_suite, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for name, steps in STEPS.items():
        evaluate_from_scratch(name, tiny_suite, steps=steps, tasks=1, worlds=2)
    assert not list(temporary.iterdir())


def test_every_task_has_a_policy_of_its_own_wherever_tasks_are_cut(tiny_suite, monkeypatch):
    whole = evaluate_from_scratch("sb3-ppo", tiny_suite, steps=50, worlds=3)
    first = evaluate_from_scratch("sb3-ppo", tiny_suite, steps=50, worlds=3, tasks=2)
    np.testing.assert_array_equal(first.mean_action.returns, whole.mean_action.returns[:, :2])
    acted = []
    act = FromScratch.act

    def watched(self, adaptation, step, noise):
        acted.append(tuple(policies[1] for policies in self._policies))
        return act(self, adaptation, step, noise)

    monkeypatch.setattr(FromScratch, "act", watched)
    monkeypatch.setattr(evaluate, "WORLDS_AT_ONCE", 6)
    evaluate_from_scratch("sb3-ppo", tiny_suite, steps=50, worlds=3)
    pieces = list(dict.fromkeys(acted))
    assert [len(piece) for piece in pieces] == [2, 1]
    assert len({policy for piece in pieces for policy in piece}) == 3


@pytest.mark.slow
def test_it_is_trained_on_the_task_that_it_is_scored_on(tmp_path):
    """Of two goals on opposite sides, each policy goes to its own."""
    path = tmp_path / "sides.toml"
    text = TINY_SUITE.replace("horizon   = 5", "horizon   = 10").replace("tasks = 3", "tasks = 2")
    start = text.index("[test]")
    goals = text[start:].replace("{ arc = [1.0, 0.0, 3.141592653589793] }", "{ values = [[1.0, 0.0], [-1.0, 0.0]] }")
    path.write_text(text[:start] + goals, encoding="utf-8")
    suite = suites.load(path)
    policies = [_trained("sb3-td3", suite, "test", index, [200], 0, lambda: None)[0] for index in range(2)]
    obs = torch.zeros(1, 2)
    with torch.no_grad():
        right, left = (ALGORITHMS["sb3-td3"](after, obs, torch.zeros(1, 2))[0, 0] for _, after in policies)
    assert right > 0.5
    assert left < -0.5


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_without_noise_it_does_what_stable_baselines_predicts(name):
    model, _ = tiny_model(name)
    obs = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = ALGORITHMS[name](model.policy, obs, torch.zeros(7, 2))
        louder = ALGORITHMS[name](model.policy, obs, torch.ones(7, 2))
    np.testing.assert_allclose(ours.clamp(-1, 1), model.predict(obs.numpy(), deterministic=True)[0], atol=1e-6)
    assert (louder > ours).all()


@pytest.mark.parametrize(
    ("steps", "length", "taken"), [(400, 400, 400), (2048, 2048, 2048), (5000, 1666, 4998), (3, 3, 3)]
)
def test_ppo_never_takes_more_steps_than_it_is_given(steps, length, taken):
    model, exact = tiny_model("sb3-ppo", steps)
    assert (model.n_steps, exact) == (length, taken)
    assert length <= PPO_ROLLOUT


def test_several_numbers_of_steps_are_trainings_of_their_own(tiny_suite):
    both = evaluate_from_scratch("sb3-ppo", tiny_suite, steps=[20, 60], tasks=1, worlds=3)
    alone = evaluate_from_scratch("sb3-ppo", tiny_suite, steps=60, tasks=1, worlds=3)
    assert both.steps_seen == (0, 20, 60)
    policies, taken = _trained("sb3-ppo", tiny_suite, "test", 0, [20, 60], 0, lambda: None)
    again, _ = _trained("sb3-ppo", tiny_suite, "test", 0, [60], 0, lambda: None)
    assert taken == [20, 60]
    np.testing.assert_array_equal(both.mean_action.returns[0], alone.mean_action.returns[0])
    for mine, other in zip(policies[2].parameters(), again[1].parameters(), strict=True):
        assert torch.equal(mine, other)


def test_by_default_it_gets_the_steps_of_two_episodes(tiny_suite):
    assert evaluate_from_scratch("sb3-ppo", tiny_suite, tasks=1, worlds=2).steps_seen == (0, 10)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"algorithm": "sb3-pop"}, "unknown algorithm 'sb3-pop'.*sb3-ppo"),
        ({"steps": 1}, "steps must be from 2 to 1000000000, not 1"),
        ({"steps": [10, 0]}, "steps must be from 2 .*not 0"),
        ({"tasks": 4}, "tasks must be from 1 to 3, not 4"),
        ({"split": "tset"}, "unknown split 'tset'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(tiny_suite, asked, told):
    with pytest.raises(UserError, match=told) as raised:
        evaluate_from_scratch(**{"algorithm": "sb3-ppo", "suite": tiny_suite} | asked)
    assert "\n" not in str(raised.value)


def test_on_the_command_line(tiny_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["baseline", "sb3-ppo", str(tiny_file), "--tasks", "2", "--worlds", "2"]
    assert main([*words, "--steps", "10", "30"]) == 0
    printed = capsys.readouterr().out
    assert "sb3-ppo on tiny (test), 2 tasks, 2 episodes each" in " ".join(printed.split())
    assert (tmp_path / "runs" / "tiny-sb3-ppo-0" / "report.json").is_file()
    for words, told in (
        (["baseline", "sb3-ppo"], "missing SUITE"),
        (["baseline", "sb3-ppo", str(tiny_file), "--steps", "1"], "steps must be from 2"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err

"""The probe: which moments of a trial it reads, what it refuses, and its file."""

import json
import shutil

import numpy as np
import pytest
import torch

from robometa import UserError, probe, registry, suites
from robometa.commands.main import main
from robometa.evaluation.probe import BUCKETS, drawn_tasks, features_of, looks_of, measure_probe
from robometa.policies.policy_folder import load_policy
from robometa.reports import probed
from robometa.training.held_out import held_out_tasks
from robometa.trials.make import build
from tests.conftest import SMALL_OPTIONS

SMALL = {"tasks": 12, "worlds": 2, "shots": 1}


def untrained(name, suite):
    entry = registry.find(name)
    return build(name, entry.load().configuration(**SMALL_OPTIONS[name]), suite, seed=0)


@pytest.mark.parametrize(
    ("name", "steps", "trials"),
    [("rl2", (0, 1, 2, 4), 2), ("pearl", (0, 5), 2), ("maml-trpo", (0, 10), 1)],
)
def test_the_adaptation_is_read_along_the_trial(tiny_suite, name, steps, trials):
    found = measure_probe(untrained(name, tiny_suite), tiny_suite, name=name, **SMALL)
    assert found.steps == steps
    assert (found.tasks, found.worlds, found.names) == (12, trials, ("goal 0", "goal 1"))
    for _, readings in found.kinds():
        assert {*readings} == {probed.RIDGE, probed.NETWORK}
        for values in readings.values():
            assert values.shape == (len(steps), 2, 3)
            assert np.isfinite(values).all()
    if name != "pearl":  # which begins with a sample of its prior
        np.testing.assert_allclose(found.trained[probed.RIDGE][0, :, 0], 0, atol=0.3)


class Told:
    """Walks to the right, then up, and keeps the rewards: on the point robot they tell where the goal is."""

    configuration = registry.find("rl2").load().configuration
    pools_worlds, sees_parameters, trains_on_parameters, adapts_within_episode = False, False, False, True

    def __init__(self, config, spaces, seed, device="cpu"):
        self.config, self.device, self.keeps, self.time = config, torch.device("cpu"), False, 0

    def begin(self, tasks, worlds, noise):
        """Nothing kept yet."""
        return torch.zeros(tasks, worlds, 16)

    def act(self, adaptation, step, noise):
        """Moves along one axis, then the other."""
        self.time += 1
        action = torch.zeros_like(noise)
        action[..., int(self.time > 8)] = 1.0
        kept = torch.cat((adaptation, step.last_reward.unsqueeze(-1)), dim=-1)[..., -16:]
        return action, kept if self.keeps else adaptation

    def adapt(self, adaptation, rollout, noise):
        """Changes nothing."""
        return adaptation


def test_what_is_kept_is_read_and_what_is_forgotten_is_not():
    suite = suites.load("point-robot")
    learner = Told(Told.configuration(), None, 0)
    learner.keeps = True
    found = measure_probe(learner, suite, name="told", tasks=60, worlds=1, shots=1)
    place = found.steps.index(10)
    assert found.trained[probed.NETWORK][place, :, 0].min() > 0.5
    np.testing.assert_allclose(found.untrained[probed.NETWORK][:, :, 0], 0, atol=1e-9)


def test_no_task_that_a_policy_may_have_been_trained_on_is_read(tiny_suite):
    trained = {tiny_suite.drawn(seed, index) for seed in range(4) for index in range(20)}
    scored = {*held_out_tasks(tiny_suite)}
    read = [{*drawn_tasks(tiny_suite, 20, seed)} for seed in range(4)]
    assert not set.union(*read) & {*tiny_suite.train, *tiny_suite.test, *trained, *scored}
    assert len(set.union(*read)) == 80


def test_a_large_adaptation_keeps_its_products():
    rows = torch.randn(1, 6, 40_000, generator=torch.Generator().manual_seed(0))
    found = features_of((rows, torch.zeros(3)), 1, 6, pooled=False)
    assert found.shape == (6, BUCKETS)
    before = (rows[0].double() @ rows[0].double().T).numpy()
    np.testing.assert_allclose(found @ found.T / before[0, 0], before / before[0, 0], atol=0.15)


@pytest.mark.parametrize("adaptation", [None, torch.zeros(3, 4, 0), {"count": torch.zeros(3, 4, 2, dtype=torch.int64)}])
def test_an_adaptation_without_numbers_has_no_features(adaptation):
    assert features_of(adaptation, 3, 4, pooled=False) is None


def test_looks_grow_with_the_steps():
    assert looks_of(200) == (0, 1, 2, 5, 10, 20, 50, 100, 199)
    assert looks_of(1) == (0,)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("oracle", {}, "oracle is shown what its task hides"),
        ("no-adaptation", {}, "no-adaptation keeps nothing of a task"),
        ("rl2", {"tasks": 9}, "tasks must be from 10 to 10000, not 9"),
        ("rl2", {"worlds": 1001}, "worlds must be from 1 to 1000, not 1001"),
    ],
)
def test_what_cannot_be_read_is_said(tiny_suite, name, change, words):
    with pytest.raises(UserError, match=words):
        measure_probe(untrained(name, tiny_suite), tiny_suite, name=name, **SMALL | change)


@pytest.fixture
def policy(straight, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return shutil.copytree(straight("rl2") / "policy", tmp_path / "policy")


def test_the_command_writes_beside_the_policy_and_the_report_draws_it(policy, capsys):
    assert main(["probe", "policy", "--tasks", "12", "--worlds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "untrained, network" in printed
    assert max(map(len, printed.splitlines()[:-1])) <= 80
    assert "written: policy/probe.json" in printed
    load_policy(policy)
    assert "warning" not in capsys.readouterr().err  # the manifest lists the new file
    found = probed.read(policy)
    same = probe(policy, tasks=12, worlds=2)
    np.testing.assert_allclose(found.trained[probed.RIDGE], same.trained[probed.RIDGE], atol=1e-4)
    assert same.to_frame().shape == (len(same.steps) * 2 * 2 * 2, 7)
    assert main(["report", "policy", "--out", "page.html"]) == 0
    assert "What the adaptation knows" in (policy.parent / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": []}, "names must be a list"),
        ({"steps": ["0"]}, "steps must be a list"),
        ({"steps": [10**400]}, "steps must be a list"),
        ({"steps": [-1]}, "steps must be a list"),
        ({"trained": {"ridge": [[["<b>"]]]}}, "ridge must hold 1 x 1 x 3 numbers"),
        ({"trained": {"ridge": [[[float("nan")] * 3]]}}, "ridge must hold 1 x 1 x 3 numbers"),
        ({"untrained": 3}, "untrained must be a table"),
        ({"tasks": -1}, "tasks must be a whole number"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, words):
    values = {"ridge": [[[0.5, 0.4, 0.6]]], "network": [[[0.5, 0.4, 0.6]]]}
    whole = {"suite": "a", "suite_hash": "b", "learner": "c", "seed": 0, "tasks": 12, "worlds": 1}
    whole |= {"names": ["speed"], "steps": [0], "trained": values, "untrained": values}
    (tmp_path / probed.FILE).write_text(json.dumps(whole), encoding="utf-8")
    assert probed.read(tmp_path).names == ("speed",)
    (tmp_path / probed.FILE).write_text(json.dumps(whole | change), encoding="utf-8")
    with pytest.raises(UserError, match=words):
        probed.read(tmp_path)


def test_tasks_alike_are_one_task_which_no_fold_splits(tiny_suite, monkeypatch):
    seen = []
    monkeypatch.setattr("robometa.evaluation.probe.readable", lambda *given: seen.append(given) or {})
    few = tuple(tiny_suite.drawn(0, index) for index in range(10))
    monkeypatch.setattr("robometa.evaluation.probe.drawn_tasks", lambda suite, count, seed: few * 2)
    found = measure_probe(untrained("rl2", tiny_suite), tiny_suite, name="rl2", tasks=20, worlds=2, shots=0)
    *_, groups = seen[0]
    assert found.tasks == 10
    assert len(groups) == 40
    assert groups.tolist() == [index for index in range(10) for _ in range(2)] * 2
    monkeypatch.setattr("robometa.evaluation.probe.drawn_tasks", lambda suite, count, seed: few[:5] * 4)
    with pytest.raises(UserError, match="are 5 different ones"):
        measure_probe(untrained("rl2", tiny_suite), tiny_suite, name="rl2", tasks=20, worlds=2, shots=0)

"""Rewards since a change, from rollouts: the right steps, and reports with and without changes."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout, record_of
from test_train import assert_same_run, trained

from robometa import UserError, registry, suites
from robometa.commands.main import main
from robometa.evaluation.evaluate import measure
from robometa.evaluation.probe import measure_probe
from robometa.evaluation.readaptation import since_change_of
from robometa.noise import Noise
from robometa.policies import card
from robometa.sim.engine import TrialPlace
from robometa.sim.locomotion import models
from robometa.training.train import resume
from robometa.trials.make import build, engine_for
from robometa.trials.trial import run_trial
from torture.trainings import SUITE

CHANGE = '\n[change]\nat = [2, 7]\nredraw = ["goal"]\n'


@pytest.fixture
def changing_file(tmp_path):
    """The file of a suite whose tasks change twice in a trial of two rollouts."""
    path = tmp_path / "changing.toml"
    path.write_text(SUITE + CHANGE, encoding="utf-8")
    return path


@pytest.fixture
def changing(changing_file):
    return suites.load(str(changing_file))


def learner_of(name, suite):
    config = registry.find(name).load().configuration(**SMALL_OPTIONS[name])
    return build(name, config, suite, seed=0)


def test_rewards_are_put_by_the_time_since_the_change(changing):
    model, _ = models.compiled(changing.robot)
    step = changing.robot.frame_skip * model.opt.timestep
    rollouts = [fake_rollout(1, 2, 5, 1, 1, seed=seed) for seed in range(2)]
    no = torch.zeros_like(rollouts[0].terminated)
    rollouts = [replace(one, terminated=no) for one in rollouts]
    places = [TrialPlace(Noise(0, (), 1, 2), shot) for shot in range(2)]
    found = since_change_of(changing.test[:1], rollouts, places)
    whole = torch.cat([one.reward for one in rollouts], dim=2).double().sum(dim=(0, 1))  # [time]
    width, before = max(1, round(0.5 / step)), max(1, round(1 / step))
    expected = torch.zeros(-(-10 // width))
    for begin, end in ((2, 7), (7, 10)):
        for time in range(begin, end):
            expected[(time - begin) // width] += whole[time]
    assert found.changes == 2
    assert found.stretches[0, :, 0] == pytest.approx(expected.numpy(), abs=1e-5)
    assert found.stretches[0, :, 1].sum() == 2 * 8
    earlier = whole[max(0, 2 - before) : 2].sum() + whole[max(2, 7 - before) : 7].sum()
    assert found.before[0, 0] == pytest.approx(earlier.item(), abs=1e-5)
    same_episode = whole[2:5].sum() + whole[7:10].sum()
    assert found.episodes[0, :, 0] == pytest.approx([same_episode.item(), whole[5:7].sum().item()], abs=1e-5)
    ended = replace(rollouts[0], terminated=no.clone().index_fill_(2, torch.tensor([3]), True))
    assert since_change_of(changing.test[:1], [ended, rollouts[1]], places).stretches[0, :, 1].sum() == 2 * 7
    blown = replace(ended, diverged=ended.terminated)
    assert since_change_of(changing.test[:1], [blown, rollouts[1]], places).stretches[0, :, 1].sum() == 2 * 5


def test_a_report_has_it_where_tasks_jump(changing, tiny_suite):
    learner = learner_of("rl2", changing)
    report = measure(learner, changing, shots=1, worlds=2, name="rl2")
    change = report.described()["since_change"]
    assert (change["changes"], change["level_of"]) == (6, "its own level before the change")
    assert "Recovered".lower() in card.text("rl2", learner, changing, record_of("rl2"), report.described())
    assert "since_change" not in measure(learner, tiny_suite, shots=1, worlds=2, name="rl2").described()


def test_a_policy_is_measured_on_another_suite_that_changes(tiny_file, changing_file, tmp_path, capsys):
    policy = trained(tiny_file, "rl2", tmp_path / "run")
    capsys.readouterr()
    asked = ["evaluate", str(policy), "--suite", str(changing_file), "--shots", "1", "--worlds", "2"]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 0
    assert "around 6 changes of a task" in " ".join(capsys.readouterr().out.split())


def test_a_probe_refuses_tasks_that_change(changing):
    with pytest.raises(UserError, match="changes along a trial: there is no one number to read"):
        measure_probe(learner_of("rl2", changing), changing, name="rl2", tasks=12, worlds=2, shots=1)


def test_a_training_on_tasks_that_change_resumes_to_the_same_bytes(changing_file, tmp_path):
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    trained(changing_file, "rl2", whole)
    trained(changing_file, "rl2", ended, callback=lambda one: one.iteration < 2)
    resume(ended)
    assert_same_run(whole, ended)


def test_parts_of_a_batch_have_the_bytes_of_the_whole(changing):
    learner, noise = learner_of("random", changing), Noise(0, ("batch",), 4, 2)
    engine, half = (engine_for(learner, changing, count, 2) for count in (4, 2))
    whole = run_trial(engine, learner, changing.train, [0, 1, 2, 3], 1, noise)
    parts = [
        run_trial(half, learner, changing.train, [2 * part, 2 * part + 1], 1, noise.part(2 * part, 2))
        for part in (0, 1)
    ]
    for shot, rollout in enumerate(whole.rollouts):
        for name, values in vars(rollout).items():
            assert torch.equal(values, torch.cat([vars(part.rollouts[shot])[name] for part in parts]))
    still = run_trial(engine, learner, [replace(task, change=None) for task in changing.train], [0, 1, 2, 3], 1, noise)
    assert torch.equal(still.rollouts[0].obs, whole.rollouts[0].obs)
    assert torch.equal(still.rollouts[0].reward[..., :2], whole.rollouts[0].reward[..., :2])
    assert not torch.equal(still.rollouts[0].reward[..., 2], whole.rollouts[0].reward[..., 2])

"""Distillation: labels, the student's folder, when it ends, and what cannot be distilled."""

import itertools
import json

import pytest
import torch
from conftest import SMALL_OPTIONS, same_tensors

import robometa
from robometa.commands.main import main
from robometa.data import Step
from robometa.deployment import distil
from robometa.deployment.distil import PATIENCE, Settings, distilled
from robometa.errors import UserError
from robometa.policies.manifest import PolicyManifest
from robometa.registry.options import read_config
from robometa.storage import sealed_folder
from robometa.trials import make
from robometa.trials.trial import action_noise, run_trial

WORDS = ["--size", "4", "--rounds", "2", "--steps", "3", "--seed", "1"]
MEMORIES = ["rl2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("varibad", "hypernetwork"))]


def teacher_of(name, suite):
    return make.build(name, read_config(name, SMALL_OPTIONS[name]), suite, seed=3)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_student_is_a_policy_like_any_other(straight, name, tmp_path, capsys, monkeypatch):
    run = straight(name)
    monkeypatch.chdir(run.parent)
    assert main(["distil", "run", "--out", str(tmp_path / "student"), *WORDS]) == 0
    said = capsys.readouterr().out
    assert "round 2: return" in said
    assert [line.split()[0] for line in said.splitlines() if line.startswith(("teacher ", "student "))] == [
        "teacher",
        "student",
    ]
    manifest = PolicyManifest.read(sealed_folder.read_manifest(tmp_path / "student"), tmp_path / "student")
    lessons = manifest.training.teacher
    assert (manifest.learner, lessons.learner, lessons.policy) == ("rl2", name, "run/policy")
    assert lessons.sha256 == sealed_folder.read_manifest(run / "policy")["files"]["tensors.safetensors"]
    card = (tmp_path / "student" / "README.md").read_text(encoding="utf-8")
    assert "Distil it again: `robometa distil run/policy --size 4 --rounds 2 --steps 3 --seed 1`" in card
    assert "Train it again" not in card
    student, teacher = robometa.load(tmp_path / "student"), robometa.load(run)
    assert student.learner.config.memory_size == 4
    for part in ("observations", "rewards"):
        mine, theirs = (getattr(one.learner, part).state_dict() for one in (student, teacher))
        assert same_tensors(mine, theirs)
    assert torch.equal(student.learner.network.log_std, teacher.learner.network.log_std)
    assert student.act([0.1, 0.2]).shape == teacher.act([0.1, 0.2]).shape
    assert robometa.evaluate(tmp_path / "student", shots=1, worlds=2).learner == "rl2"
    assert main(["distil", "run", "--out", str(tmp_path / "again"), *WORDS]) == 0
    first, again = ((tmp_path / name / "tensors.safetensors").read_bytes() for name in ("student", "again"))
    assert first == again
    assert main(["distil", "run", "--out", str(tmp_path / "student"), *WORDS]) == 2


def test_labels_are_the_teachers_mean_actions_along_the_trial(tiny_suite):
    teacher = teacher_of("rl2", tiny_suite)
    school = distil._School(teacher, tiny_suite, Settings(size=4))
    noise = school.noise.fork("test")
    with torch.no_grad():
        engine = school._engine(noise.tasks, noise.worlds)
        trial = run_trial(engine, teacher, tiny_suite.train, list(range(noise.tasks)), 1, noise)
    seen, wanted = school._labelled(trial)
    horizon = tiny_suite.horizon
    draws = [action_noise(noise.fork("rollout", shot), horizon, wanted.shape[-1]) for shot in range(2)]
    explored = teacher.network.log_std.exp() * torch.cat(draws, dim=2).flatten(0, 1)
    torch.testing.assert_close(wanted + explored, trial.joined().action.flatten(0, 1), atol=1e-5, rtol=0)
    assert seen.shape[:2] == wanted.shape[:2] == (noise.tasks * noise.worlds, 2 * horizon)


def test_a_student_comes_to_act_as_its_teacher_does(tiny_suite):
    teacher = teacher_of("rl2", tiny_suite)
    with torch.no_grad():  # an untrained policy hardly acts
        teacher.network.actor[-1].weight.normal_(0, 1, generator=torch.Generator().manual_seed(0))
    losses = [
        distilled(teacher, tiny_suite, Settings(size=8, rounds=1, steps=count)).rounds[0].loss for count in (1, 200)
    ]
    assert losses[1] < 0.1 * losses[0]


def test_it_ends_when_returns_stop_rising_and_keeps_the_best_round(tiny_suite, monkeypatch):
    returns = itertools.chain([0.0, -5.0, -3.0], itertools.repeat(-4.0))
    monkeypatch.setattr(distil._School, "score", lambda self, actor: next(returns))
    said = []
    result = distilled(teacher_of("rl2", tiny_suite), tiny_suite, Settings(size=2, steps=1), said.append)
    assert [one.score for one in result.rounds] == [-5, -3, *[-4] * PATIENCE]
    assert (result.best, result.teacher_score) == (2, 0)
    assert len(said) == 1 + len(result.rounds)


def test_an_action_beyond_the_limit_is_as_good_as_any_other_beyond_it():
    wanted = torch.tensor([3.0, 3.0, -3.0, 0.5, 3.0])
    mean = torch.tensor([2.0, 1.0, -9.0, 0.1, -2.0])
    assert distil._target(mean, wanted).tolist() == [2.0, 1.5, -9.0, 0.5, 1.5]


def test_memories_at_the_beginnings_of_segments_are_the_students_own(tiny_suite, monkeypatch):
    monkeypatch.setattr(distil, "SEGMENT", 5)
    student = distil._untrained(teacher_of("rl2", tiny_suite), tiny_suite, Settings(size=3))
    seen = torch.randn(4, 10, tiny_suite_inputs(student))
    pieces, goals, starts = distil._cut(student, seen, seen[..., :1])
    assert pieces.shape[:2] == goals.shape[:2] == (8, 5)
    whole = student.network.memory.read(seen, torch.zeros(4, 3))[0]
    torch.testing.assert_close(starts[1::2], whole[:, 4])
    assert not starts[::2].any()


def tiny_suite_inputs(student):
    return student.network.memory.cell.input_size


@pytest.mark.parametrize("name", ["maml-trpo", "pearl", "oracle", "random"])
def test_what_does_not_remember_its_trial_is_refused(tiny_suite, name):
    with pytest.raises(UserError, match=f"{name} cannot be distilled: a student remembers its trial"):
        distil.require_memory(teacher_of(name, tiny_suite), name)


def test_a_damaged_teacher_in_a_manifest_is_an_error(straight, tmp_path, capsys):
    assert main(["distil", str(straight("rl2")), "--out", str(tmp_path / "student"), *WORDS]) == 0
    manifest = sealed_folder.read_manifest(tmp_path / "student")
    assert manifest["training"]["teacher"]["policy"] == straight("rl2").name  # no folder of this machine
    manifest["training"]["teacher"]["rounds"] = "many"
    sealed_folder.write_manifest(tmp_path / "student", manifest)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "student")]) == 2
    assert "rounds must be" in capsys.readouterr().err
    assert json.loads((tmp_path / "student" / "manifest.json").read_text())["learner"] == "rl2"


def test_steps_are_given_to_the_teacher_one_by_one():
    """The labels cut a `Step` along time by the order of its fields."""
    assert [*Step.__dataclass_fields__] == ["obs", "last_action", "last_reward", "last_done"]

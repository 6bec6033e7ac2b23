"""Updates that come out not finite: taken back, told, and the end of a training only where they go on."""

import json
import signal

import pytest
import torch
from conftest import SMALL_OPTIONS, copied, fake_rollout, same_tensors, training_spaces
from test_train import NEVER, assert_same_run, at_iteration, trained

from robometa import errors, registry
from robometa.data import Trial
from robometa.errors import Stopped, TrainingError
from robometa.nn.state import EXPERIENCE
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.training.guarded_update import guarded_update
from robometa.training.loggers.terminal import Terminal
from robometa.training.loop import MAX_SKIPPED_IN_A_ROW
from robometa.training.run_folder import RunFolder
from robometa.training.train import resume
from robometa.trials import make

LEARNERS = [name for name in registry.LEARNERS if name != "random"]


def trial(learner, suite, seed):
    """A trial that no simulator made."""
    spaces = training_spaces(suite, learner)
    rollouts = tuple(fake_rollout(3, 2, 5, spaces.observation, spaces.action, 10 * seed + shot) for shot in range(2))
    return Trial(torch.arange(3), rollouts, Noise(seed, ("update",), 3, 2))


def poisoned(monkeypatch, learner, when=lambda trial: True):
    """Lets the learner's updates end with a number that is none in what it goes on from."""
    kind = learner if isinstance(learner, type) else type(learner)
    update = kind.update

    def spoilt(self, trial):
        metrics = update(self, trial)
        if when(trial):
            held = [name for name in self.state_dict() if not name.startswith(EXPERIENCE)]
            tensor = next(self.state_dict()[name] for name in held if self.state_dict()[name].is_floating_point())
            with torch.no_grad():
                tensor.view(-1)[0] = float("nan")
        return metrics

    monkeypatch.setattr(kind, "update", spoilt)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("updates_before", [0, 2])
@pytest.mark.sample(11)
def test_an_update_that_is_not_finite_is_taken_back(tiny_suite, monkeypatch, name, updates_before):
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=3)
    for seed in range(updates_before):
        assert guarded_update(learner, trial(learner, tiny_suite, seed))[1] == ""
    before = copied(learner.state_dict())
    with monkeypatch.context() as patched:
        poisoned(patched, learner)
        metrics, bad = guarded_update(learner, trial(learner, tiny_suite, 7))
    assert metrics == {}
    assert bad
    after = learner.state_dict()
    kept = {key: value for key, value in before.items() if not key.startswith(EXPERIENCE)}
    assert same_tensors({key: value for key, value in after.items() if not key.startswith(EXPERIENCE)}, kept)
    # and it goes on as one does that was made from a checkpoint of this moment
    resumed = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=3)
    resumed.load_state_dict(copied(after))
    for one in (learner, resumed):
        assert guarded_update(one, trial(one, tiny_suite, 8))[1] == ""
    assert same_tensors(learner.state_dict(), resumed.state_dict())


@pytest.mark.parametrize(
    "name", ["no-adaptation", "pearl", "varibad", "grbal", "cadm", "pets", "promp", "maml-trpo", "rl2"]
)
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_experience_that_is_not_finite_is_not_shown_to_a_learner(tiny_suite, name, value):
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=3)
    before, spoilt = copied(learner.state_dict()), trial(learner, tiny_suite, 1)
    spoilt.rollouts[0].reward[0, 0, 2] = value
    assert guarded_update(learner, spoilt) == ({}, "reward not finite")
    assert same_tensors(learner.state_dict(), before)


@pytest.mark.parametrize("name", ["no-adaptation", "rl2", "pearl", "promp"])
def test_a_learning_rate_beyond_all_bounds_is_skipped_and_ends_the_training_with_advice(
    tiny_file, tmp_path, name, capsys, monkeypatch
):
    monkeypatch.setattr(errors, "MAX_NUMBER", 1e31)  # a user's own learner may have no such bound
    options = {"iterations": 20, "learning_rate": 1e30}
    with pytest.raises(
        TrainingError, match=rf"{MAX_SKIPPED_IN_A_ROW} updates in a row .*lower the learning rate"
    ) as stop:
        trained(tiny_file, name, tmp_path / "run", options=options)
    assert not isinstance(stop.value, Stopped)
    rows = RunFolder(tmp_path / "run").rows("metrics.jsonl")
    assert rows[-1]["skipped"] == MAX_SKIPPED_IN_A_ROW
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert capsys.readouterr().out.count("update skipped") == MAX_SKIPPED_IN_A_ROW
    saved = RunFolder(tmp_path / "run").newest_checkpoint()
    assert (saved.progress.skipped, saved.progress.skipped_in_a_row) == (MAX_SKIPPED_IN_A_ROW, MAX_SKIPPED_IN_A_ROW)
    assert all(tensor.isfinite().all() for tensor in saved.state.values())
    assert not (tmp_path / "run" / "policy").exists()
    # asked to go on it tries once more, not as often again
    with pytest.raises(TrainingError, match=f"{MAX_SKIPPED_IN_A_ROW + 1} updates in a row"):
        resume(tmp_path / "run")
    assert len(RunFolder(tmp_path / "run").rows("metrics.jsonl")) == len(rows) + 1


def in_iterations(*iterations):
    return lambda trial: trial.noise.purpose[1] in iterations


@pytest.mark.parametrize("name", ["maml-trpo", "pearl", "rl2", "varibad", "grbal", "cadm", "pets"])
@pytest.mark.sample(3)
def test_a_run_with_skipped_updates_is_resumed_to_the_same_bytes(tiny_file, tmp_path, monkeypatch, name):
    poisoned(monkeypatch, registry.find(name).load(), in_iterations(1, 2))

    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    trained(tiny_file, name, straight)
    assert [row["skipped"] for row in RunFolder(straight).rows("metrics.jsonl")] == [0, 1, 2, 2]
    at_iteration(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGUSR1))
    with pytest.raises(Stopped):
        trained(tiny_file, name, stopped)
    assert RunFolder(stopped).newest_checkpoint().progress.skipped_in_a_row == 1
    resume(stopped)
    assert_same_run(straight, stopped)


def test_skipped_updates_in_a_row_are_counted_across_a_resume(tiny_file, tmp_path, monkeypatch):
    poisoned(monkeypatch, registry.find("maml-trpo").load())
    at_iteration(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGTERM))
    options = {"iterations": 20}
    with pytest.raises(Stopped):
        trained(tiny_file, "maml-trpo", tmp_path / "run", options=options)
    with pytest.raises(TrainingError, match=f"{MAX_SKIPPED_IN_A_ROW} updates in a row"):
        resume(tmp_path / "run")
    assert len(RunFolder(tmp_path / "run").rows("metrics.jsonl")) == MAX_SKIPPED_IN_A_ROW


def test_a_single_skipped_update_ends_nothing(tiny_file, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(Terminal, "say", lambda self, text: said.append(text))
    poisoned(monkeypatch, registry.find("maml-trpo").load(), in_iterations(1))
    policy = trained(tiny_file, "maml-trpo", tmp_path / "run", checkpoint_minutes=NEVER)
    assert policy.is_dir()
    assert [
        text for text in said if text.startswith("iteration 2: update skipped") and "parameters not finite" in text
    ] == said
    rows = RunFolder(tmp_path / "run").rows("metrics.jsonl")
    assert ["gradient_norm" in row for row in rows] == [True, False, True, True]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["learner"] == "maml-trpo"

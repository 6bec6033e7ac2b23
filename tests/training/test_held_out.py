"""Held-out scores while a training goes on: they change nothing, and the best policy is kept to the same bytes."""

import json
import signal
from contextlib import closing

import pytest
from test_train import at_iteration, trained, written

import robometa
from robometa import suites
from robometa.compute.hardware import Hardware
from robometa.errors import Stopped, UserError
from robometa.policies import policy_folder
from robometa.registry.options import resolve
from robometa.storage import sealed_folder
from robometa.training.held_out import HELD_OUT_TASKS, HeldOut, held_out_tasks
from robometa.training.run_folder import RunFolder
from robometa.training.train import resume
from robometa.training.verify import verify
from robometa.trials import make


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_scores(row):
    return {name: value for name, value in row.items() if not name.startswith("held_out")}


def best_of(folder):
    """The tensors of the best policy, and the iteration that it is of."""
    tensors = (folder / "best" / sealed_folder.TENSORS).read_bytes()
    return tensors, sealed_folder.load(folder / "best", "policy")[1]["training"]["iterations"]


@pytest.mark.parametrize(
    "learner", ["rl2", *(pytest.param(one, marks=pytest.mark.slow) for one in ("maml-trpo", "pearl"))]
)
def test_scores_change_nothing_and_the_best_policy_is_kept_to_the_same_bytes(tiny_file, tmp_path, monkeypatch, learner):
    plain, scored, stopped = tmp_path / "plain", tmp_path / "scored", tmp_path / "stopped"
    trained(tiny_file, learner, plain)
    trained(tiny_file, learner, scored, evaluate_every=2)
    assert written(plain)["policy"] == written(scored)["policy"]
    assert [without_scores(row) for row in rows(scored)] == rows(plain)
    have = {row["iteration"]: [name for name in row if name.startswith("held_out")] for row in rows(scored)}
    shots = len([name for name in rows(plain)[0] if name.startswith("return_")])
    names = [f"held_out_{kind}_{shot}" for kind in ("return", "success") for shot in range(shots)]
    assert have == {0: [], 1: names, 2: [], 3: names}
    last = [row.get(f"held_out_return_{shots - 1}", float("-inf")) for row in rows(scored)]
    assert best_of(scored)[1] == last.index(max(last)) + 1
    at_iteration(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        trained(tiny_file, learner, stopped, evaluate_every=2)
    resume(stopped)
    assert written(stopped) == written(scored)
    assert best_of(stopped) == best_of(scored)
    assert verify(scored, iterations=2).parted is None


@pytest.mark.parametrize("name", ["rl2", "maml-trpo", "pearl", "grbal"])
def test_the_last_score_alone_is_the_same(tiny_suite, name):
    learner = make.build(name, resolve(tiny_suite, name, {}, None), tiny_suite, 3)
    with closing(HeldOut(tiny_suite, learner, 3, Hardware(threads=1, torch_threads=1))) as held_out:
        every, alone = held_out.scores(learner), held_out.scores(learner, last_only=True)
    shots = learner.config.shots
    assert len(every) == 2 * (shots + 1)
    assert alone == {name: every[name] for name in (f"held_out_return_{shots}", f"held_out_success_{shots}")}


def test_the_best_policy_acts_and_its_card_says_how_it_was_chosen(tiny_file, tmp_path, monkeypatch, capsys):
    scores = iter([-1.0, -3.0, -2.0, -5.0])
    monkeypatch.setattr(HeldOut, "scores", lambda self, learner: {"held_out_return_1": next(scores)})
    trained(tiny_file, "maml-trpo", tmp_path / "run", evaluate_every=1)
    assert best_of(tmp_path / "run")[1] == 1
    text = (tmp_path / "run" / "best" / "README.md").read_text()
    assert "the policy of iteration 1, the best of a run of 4 iterations that was scored every 1 iterations" in text
    assert "neither trained on nor in the test split" in text
    assert robometa.load(tmp_path / "run" / "best").act([0.0, 0.0]).shape == (2,)
    assert "held out -5.0" in capsys.readouterr().out
    assert all("evaluation" in row for row in RunFolder(tmp_path / "run").rows("timings.jsonl"))


def test_a_disk_that_does_not_take_the_best_policy_ends_no_training(tiny_file, tmp_path, monkeypatch, capsys):
    save = policy_folder.save_policy

    def refused(folder, *arguments, **words):
        if folder.name == "best":
            raise OSError(28, "No space left on device")
        save(folder, *arguments, **words)

    monkeypatch.setattr(policy_folder, "save_policy", refused)
    assert trained(tiny_file, "maml-trpo", tmp_path / "run", evaluate_every=2).is_dir()
    assert "best cannot be written (No space left on device)" in " ".join(capsys.readouterr().out.split())


def test_tasks_are_drawn_anew_or_else_those_of_the_test_split(tiny_suite):
    drawn = held_out_tasks(tiny_suite)
    assert len(drawn) == HELD_OUT_TASKS
    assert not {*drawn} & {*tiny_suite.train, *tiny_suite.test}
    finite = suites.load("half-cheetah-direction")
    assert held_out_tasks(finite) == finite.test


def test_an_impossible_number_is_refused(tiny_file, tmp_path):
    with pytest.raises(UserError, match="evaluate_every must be a whole number from 0 to 1000000000, not -1"):
        trained(tiny_file, "maml-trpo", tmp_path / "run", evaluate_every=-1)
    assert not (tmp_path / "run").exists()

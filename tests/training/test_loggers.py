"""Loggers of a training: each gets every row and every message."""

import json
import re
import sys
import types
from pathlib import Path

import pytest
from rich.console import Console
from test_guarded_update import in_iterations, poisoned
from test_train import trained

from robometa import registry
from robometa.errors import UserError
from robometa.training import train as training
from robometa.training.loggers.groups import grouped
from robometa.training.loggers.logger import LoggedRun
from robometa.training.loggers.shipped import chosen
from robometa.training.loggers.terminal import Terminal
from robometa.training.loggers.wandb import WeightsAndBiases
from robometa.training.run_config import LOGGED

ROW = {"iteration": 1, "steps": 20, "iteration_steps": 10, "return_0": 1.5, "success_0": 0.5, "diverged": 0.0}
ROW |= {"skipped": 0.0, "loss": 0.25, "sampling": 1.0, "update": 3.0, "processor": 99.0}


class Listening:
    """A logger that notes its calls."""

    def __init__(self, run):
        self.run, self.calls, self.rows = run, [], []
        Listening.last = self

    def __enter__(self):
        """Notes it."""
        self.calls.append("enter")
        return self

    def log(self, row):
        """Notes the row."""
        self.calls.append("log")
        self.rows.append(row)

    def say(self, text):
        """Notes the message."""
        self.calls.append(text)

    def __exit__(self, *raised):
        """Notes it."""
        self.calls.append("exit")


def test_a_third_logger_gets_every_row_and_every_message(tiny_file, tmp_path, monkeypatch):
    poisoned(monkeypatch, registry.find("maml-trpo").load(), in_iterations(1))
    trained(tiny_file, "maml-trpo", tmp_path / "run", loggers=(*chosen(LOGGED), Listening))
    logger = Listening.last
    assert (logger.run.folder, logger.run.iterations, logger.run.first) == (tmp_path / "run", 4, 0)
    skipped = logger.calls.pop(2)
    assert skipped.startswith("iteration 2: update skipped")
    assert logger.calls == ["enter", "log", "log", "log", "log", "exit"]
    assert [row["iteration"] for row in logger.rows] == [0, 1, 2, 3]
    assert all({"return_1", "skipped", "sampling", "update", "processor"} <= row.keys() for row in logger.rows)


@pytest.fixture
def terminal():
    """A logger on the terminal, before the second of four iterations."""
    return Terminal(LoggedRun("a title", Path("run"), 4, 1, 10, {}, print))


@pytest.mark.parametrize("paid", [False, True])
def test_a_training_that_is_never_paid_says_so_once(capsys, paid):
    with Terminal(LoggedRun("a title", Path("run"), 60, 0, 0, {}, print)) as terminal:
        for iteration in range(50):
            terminal.log(ROW | {"iteration": iteration, "return_0": 0.0, "return_1": float(paid and iteration == 7)})
    assert capsys.readouterr().out.count("every return of 20 iterations was 0") == (not paid)


def test_the_screen_shows_metrics_and_the_times_of_both_halves(terminal):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(terminal._table(ROW, left=61.0))
    shown = capture.get()
    for words in ("a title", "return before adaptation", "1.5", "loss", "0.25", "1.00 s, 3.00 s", "1 min 01 s"):
        assert words in shown
    assert "processor" not in shown
    assert "99" not in shown


def test_plain_lines_estimate_the_time_left_from_where_the_run_was_resumed(capsys):
    with Terminal(LoggedRun("a title", Path("run"), 4, 1, 10, {}, print)) as terminal:
        terminal.log(ROW)
    assert "iteration 2/4  20 steps  2 steps/s, 25% of it sampling  return 1.5  8 s left" in capsys.readouterr().out


def test_metrics_are_named_in_groups():
    named = grouped(ROW | {"test_return_1": 3.0})
    assert named["return/0"] == 1.5
    assert named["success/0"] == 0.5
    assert named["return/test_return_1"] == 3.0
    assert named["train/loss"] == 0.25
    assert named["time/sampling"] == 1.0
    assert named["time/steps_per_second"] == 2.5
    assert {name.partition("/")[0] for name in named} == {"return", "success", "train", "time"}


def curves(folder):
    """Steps of the points of each curve below a folder, by TensorBoard's names of the runs."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    events = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    return {
        run: {name: [point.step for point in events.Scalars(run, name)] for name in found["scalars"]}
        for run, found in events.Runs().items()
    }


def test_tensorboard_draws_over_steps_and_calls_a_run_by_its_folder(tiny_file, tmp_path):
    trained(tiny_file, "random", tmp_path / "runs/a")
    found = curves(tmp_path / "runs")
    assert found.keys() == {"a"}
    steps = [row["steps"] for row in map(json.loads, (tmp_path / "runs/a/metrics.jsonl").read_text().splitlines())]
    assert found["a"]["return/0"] == steps
    training.resume(tmp_path / "runs/a", iterations=len(steps) + 1)
    again = curves(tmp_path / "runs")["a"]["return/0"]
    assert again[:-1] == steps
    assert len(again) == len(steps) + 1


def test_no_curves_are_written_for_none_and_a_resumed_run_keeps_to_that(tiny_file, tmp_path):
    trained(tiny_file, "random", tmp_path / "run", log=["none"])
    training.resume(tmp_path / "run", iterations=5)
    assert not list((tmp_path / "run").rglob("events.*"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorbord"], "unknown logger 'tensorbord' (did you mean 'tensorboard'?)"),
        (["none", "tensorboard"], "none stands alone, not beside tensorboard"),
    ],
)
def test_a_wrong_logger_is_refused_before_anything_is_written(tiny_file, tmp_path, names, message):
    with pytest.raises(UserError, match=re.escape(message)):
        trained(tiny_file, "random", tmp_path / "run", log=names)
    assert not (tmp_path / "run").exists()


def test_wandb_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("robometa.training.loggers.shipped.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install 'robometa\\[wandb\\]'"):
        chosen(["wandb"])


def test_weights_and_biases_gets_groups_over_steps_and_the_same_run_again(tmp_path, monkeypatch):
    begun, points = [], []
    curves = types.SimpleNamespace(log=lambda row, step: points.append((row, step)), finish=lambda exit_code: None)

    def init(**settings):
        begun.append(settings)
        return curves

    package = types.SimpleNamespace(init=init, Settings=lambda: types.SimpleNamespace(project=None))
    monkeypatch.setitem(sys.modules, "wandb", package)
    for _ in range(2):
        with WeightsAndBiases(LoggedRun("title", tmp_path, 4, 1, 10, {"seed": 3}, print)) as logger:
            logger.log(ROW)
    assert points[0][0]["return/0"] == 1.5
    assert points[0][1] == 20
    assert begun[0]["config"] == {"seed": 3}
    assert begun[0]["id"] == begun[1]["id"]


def test_a_service_that_fails_does_not_end_the_training(tmp_path, monkeypatch):
    def fail(**settings):
        raise RuntimeError("no account")

    said = []
    monkeypatch.setitem(
        sys.modules, "wandb", types.SimpleNamespace(init=fail, Settings=lambda: types.SimpleNamespace(project="x"))
    )
    with WeightsAndBiases(LoggedRun("title", tmp_path, 4, 1, 10, {}, said.append)) as logger:
        logger.log(ROW)
    assert said == ["no curves for Weights & Biases: no account"]


def test_weights_and_biases_works_without_a_network(tiny_file, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    trained(tiny_file, "random", tmp_path / "run", log=["wandb"])
    assert list((tmp_path / "run/wandb").glob("offline-run-*"))

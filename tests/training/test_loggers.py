"""Loggers of a training: each gets every row and every message."""

from pathlib import Path

import pytest
from rich.console import Console
from test_guarded_update import in_iterations, poisoned
from test_train import trained

from robometa import registry
from robometa.training.loggers.logger import LoggedRun
from robometa.training.loggers.shipped import SHIPPED
from robometa.training.loggers.terminal import Terminal

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
    trained(tiny_file, "maml-trpo", tmp_path / "run", loggers=(*SHIPPED, Listening))
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
    return Terminal(LoggedRun("a title", Path("run"), 4, 1, print))


def test_the_screen_shows_metrics_and_the_times_of_both_halves(terminal):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(terminal._table(ROW, left=61.0))
    shown = capture.get()
    for words in ("a title", "return before adaptation", "1.5", "loss", "0.25", "1.00 s, 3.00 s", "1 min 01 s"):
        assert words in shown
    assert "processor" not in shown
    assert "99" not in shown


def test_plain_lines_estimate_the_time_left_from_where_the_run_was_resumed(terminal, capsys):
    with terminal:
        terminal.log(ROW)
    assert "iteration 2/4  20 steps  2 steps/s, 25% of it sampling  return 1.5  8 s left" in capsys.readouterr().out

"""Faults of a second day: in a learner of one's own, a run that moved, a quick evaluation of a published policy."""

import os
import sys
from pathlib import Path

import pytest
from conftest import TINY_SUITE

import robometa
from robometa.commands.main import main

SMALL = ["--iterations", "1", "--tasks", "2", "--worlds", "2"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with a suite's file, to work in."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("collect", ["here", "processes:1"])
def test_a_fault_in_a_template_that_was_changed_is_its_author_s(place, capsys, collect):
    assert main(["learners", "--template", "mine.py"]) == 0
    assert main(["learners", "--template", "mine.py"]) == 2
    text = Path("mine.py").read_text(encoding="utf-8")
    Path("mine.py").write_text(
        text.replace("self.config.std * noise, adaptation", "self.tpyo, adaptation"), encoding="utf-8"
    )
    line = 1 + text[: text.index("self.config.std * noise, adaptation")].count("\n")
    capsys.readouterr()
    assert main(["train", "tiny.toml", "./mine.py:MyLearner", *SMALL, "--collect", collect, "--log", "none"]) == 2
    said = capsys.readouterr().err
    assert f"mine.py, line {line}, in act" in said
    assert "AttributeError" in said
    assert not list(place.glob("robometa-bug-*"))


def test_the_template_passes_the_check(place, capsys):
    assert main(["learners", "--template", "mine.py"]) == 0
    assert main(["learners", "./mine.py:MyLearner", "--check"]) == 0


def test_a_run_and_a_published_policy_are_safe(place, capsys):
    assert main(["train", "tiny.toml", "random", *SMALL, "--folder", "run", "--log", "none"]) == 0
    assert main(["evaluate", "run/policy", "--worlds", "3"]) == 0
    card = Path("run/policy/README.md").read_bytes()
    assert main(["evaluate", "run/policy", "--worlds", "2", "--seed", "5"]) == 0
    assert Path("run/policy/README.md").read_bytes() == card
    assert Path("runs/evaluations/run-2-worlds-seed-5/report.json").is_file()
    Path("there").mkdir()
    Path("tiny.toml").rename("there/tiny.toml")
    capsys.readouterr()
    assert main(["resume", "run", "--iterations", "2"]) == 2
    assert "--suite PATH/tiny.toml" in capsys.readouterr().err
    assert main(["resume", "run", "--iterations", "2", "--suite", "there/tiny.toml"]) == 0


def test_a_report_is_kept_where_its_reader_leaves(place, monkeypatch):
    """`robometa evaluate RUN | head -1`: the reader closes the pipe after a line, or before any."""
    assert main(["train", "tiny.toml", "random", *SMALL, "--folder", "run", "--log", "none"]) == 0
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1, encoding="utf-8") as closed:  # noqa: PTH123 a descriptor
        monkeypatch.setattr(sys, "stdout", closed)
        main(["evaluate", "run", "--worlds", "2"])
        monkeypatch.undo()
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, writing)  # what is left in the buffer goes nowhere
        os.close(devnull)
    assert (place / "run/policy/report.json").is_file()
    assert "Measured on" in (place / "run/policy/README.md").read_text(encoding="utf-8")


def test_a_run_s_folder_is_evaluated_in_python(place):
    assert main(["train", "tiny.toml", "random", *SMALL, "--folder", "run", "--log", "none"]) == 0
    report = robometa.evaluate("run", shots=0, worlds=2)
    assert report.policy == "run/policy"
    assert len(report.episodes_seen) == 1

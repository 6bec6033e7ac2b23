"""Faults of a second day: in a learner of one's own, a run that moved, a quick evaluation of a published policy."""

from pathlib import Path

import pytest
from conftest import TINY_SUITE

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

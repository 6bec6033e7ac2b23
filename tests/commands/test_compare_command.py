"""The commands that compare: a table, a page, a table for papers; policies without a report are measured if asked."""

from pathlib import Path

import pytest
from conftest import TINY_SUITE

from robometa.commands.main import main
from robometa.training.train import train
from tests.reports.comparable import returns_of, write_policy


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with two seeds of one learner and one of another."""
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        write_policy(tmp_path / f"rl2-{seed}", returns_of(seed), seed)
    write_policy(tmp_path / "pearl-0", returns_of(5, better=99.0), learner="pearl")
    return tmp_path


def test_compare_prints_a_table_and_writes_a_page(place, capsys):
    assert main(["compare", "rl2-*", "pearl-0"]) == 0
    printed = capsys.readouterr().out
    assert "0, 1" in printed
    assert "0.00 [0.00, 0.00]" in printed  # the other one is better on every task
    assert "written: compare.html" in printed
    assert Path("compare.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_report_is_about_one(place, capsys):
    assert main(["report", "rl2-1", "--out", "one.html"]) == 0
    assert "written: one.html" in capsys.readouterr().out
    assert "rl2 on made-up" in Path("one.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("format", "begin"), [("csv", "suite,"), ("latex", "% made-up"), ("markdown", "**made-up**")])
def test_export_table_prints_or_writes(place, capsys, format, begin):
    assert main(["export-table", "rl2-*", "pearl-0", "--format", format]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(begin)
    assert main(["export-table", "rl2-*", "pearl-0", "--format", format, "--out", "table"]) == 0
    assert Path("table").read_bytes().decode() == printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nowhere"], "no run or policy at nowhere"),
        (["compare", "rl2-0", "--out", "page.pdf"], "an .html file"),
        (["compare"], "missing PATH"),
        (["report", "nowhere"], "no run or policy at nowhere"),
        (["export-table", "rl2-0", "--format", "xls"], "unknown format 'xls'"),
        (["export-table", "rl2-0", "--out", "gone/table"], "no folder gone to write table to"),
    ],
)
def test_mistakes_are_told_in_a_line(place, capsys, words, message):
    assert main(words) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_policies_are_measured_only_if_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    options = {"iterations": 1, "tasks": 2, "worlds": 2, "hidden": (4,)}
    train("tiny.toml", "maml-trpo", folder="run", options=options)
    capsys.readouterr()
    assert main(["compare", "run"]) == 0
    assert "run/policy; --evaluate measures them" in capsys.readouterr().err
    assert not Path("run/policy/report.json").exists()
    assert main(["compare", "run", "--evaluate"]) == 0
    printed = capsys.readouterr()
    assert "measuring run/policy" in printed.err
    assert "not measured" not in printed.out
    assert Path("run/policy/report.json").is_file()

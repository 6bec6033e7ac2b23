"""The list of runs: one entry each, also for damaged ones."""

import json
import shutil

import pytest
from conftest import TINY_SUITE
from test_train import trained

from robometa.commands.main import main
from robometa.errors import UserError
from robometa.training.run_folder import RunFolder
from robometa.training.run_list import runs_in


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three runs that are done, one of them scored."""
    place = tmp_path_factory.mktemp("finished")
    (place / "tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    trained(place / "tiny.toml", "maml-trpo", place / "runs" / "a-10", seed=10, evaluate_every=3)
    for name in ("a-2", "deep/b"):
        trained(place / "tiny.toml", "random", place / "runs" / name, options={"iterations": 3})
    return place / "runs"


@pytest.fixture
def runs(finished, tmp_path, monkeypatch):
    """Three runs: one done and scored, one that has lost two iterations, one that is damaged."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    shutil.copytree(finished, folder)
    lines = (folder / "a-2" / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "a-2" / "metrics.jsonl").write_bytes(lines[0] + lines[1][:9])
    (folder / "deep" / "b" / "run.json").write_text("{")
    (folder / "not-a-run").mkdir()
    return folder


def test_runs_are_described_in_the_order_of_their_names(runs):
    first, second, damaged = runs_in([runs])
    assert [first.folder, second.folder] == [str(runs / "a-2"), str(runs / "a-10")]
    assert (second.suite.endswith("tiny.toml"), second.learner, second.seed) == (True, "maml-trpo", 10)
    assert (second.iterations, second.end, second.state) == (4, 4, "done")
    rows = RunFolder(runs / "a-10").rows("metrics.jsonl")
    assert second.last_return == rows[3]["return_1"]
    assert second.held_out_return == rows[2]["held_out_return_1"]
    assert second.steps == rows[3]["steps"]
    assert second.bytes > 1000
    assert (first.iterations, first.end, first.state, first.held_out_return) == (1, 3, "stopped", None)
    assert (damaged.state, damaged.bytes > 0) == ("damaged", True)
    assert "run.json is damaged" in damaged.fault


def test_a_run_that_is_trained_in_is_running(runs):
    with RunFolder(runs / "a-10").locked():
        assert [run.state for run in runs_in([runs / "a-10"])] == ["running"]
    assert [run.state for run in runs_in([runs / "a-10"])] == ["done"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "[]"),
        ("run.json", "[" * 30_000),
        ("run.json", '{"config": {"iterations": "x"}}'),
        ("run.json", '{"config": {"iterations": 1}, "suite": 1}'),
        ("metrics.jsonl", "{}\n"),
        ("metrics.jsonl", '{"iteration": 0, "steps": NaN}\n'),
        ("metrics.jsonl", "\udcff\n"),
    ],
)
def test_every_damage_is_one_line(runs, name, content, capsys):
    (runs / "a-2" / name).write_bytes(content.encode(errors="surrogateescape"))
    assert main(["runs", "runs/a-2"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("runs/a-2: damaged, 0.0 MB: ")


def test_the_command_prints_a_table_or_json(runs, capsys):
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[0] for line in table.splitlines()] == ["run", "runs/a-2", "runs/a-10", "runs/deep/b:"]
    assert "maml-trpo" in table
    assert main(["runs", "--json", "runs/a-10", "runs/a-10"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["folder"], entry["state"], entry["iterations"]) == ("runs/a-10", "done", 4)


def test_names_do_not_act_on_the_terminal(runs, capsys):
    (runs / "a-2").rename(runs / "x\x1b[31m")
    assert main(["runs"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "x\\x1b[31m" in shown


def test_where_there_are_none_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == "no runs in runs\n"
    with pytest.raises(UserError, match="nowhere is not a folder"):
        runs_in(["nowhere"])

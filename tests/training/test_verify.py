"""Verification: the first iterations of a run done again and compared, and where they part."""

import json

import pytest
from conftest import SMALL_OPTIONS
from test_train import trained

from robometa import registry
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.training.verify import verify


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_a_run_comes_out_the_same_again(tiny_file, tmp_path, name):
    trained(tiny_file, name, tmp_path / "run", seed=3)
    before = contents(tmp_path / "run")
    found = verify(tmp_path / "run", iterations=2)
    assert (found.iterations, found.parted, found.changed) == (2, None, ())
    assert contents(tmp_path / "run") == before


@pytest.fixture
def run(tiny_file, tmp_path):
    """A finished run."""
    trained(tiny_file, "maml-trpo", tmp_path / "run")
    return tmp_path / "run"


def test_where_a_run_parts_is_told(run, capsys):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[2])
    before = row["return_1"]
    row["return_1"] += 1e-12
    lines[2] = json.dumps(row) + "\n"
    (run / "metrics.jsonl").write_text("".join(lines))
    assert main(["verify", str(run), "--iterations", "2"]) == 0
    assert "the first 2 iterations came out the same, byte for byte" in capsys.readouterr().out
    assert main(["verify", str(run), "--iterations", "4"]) == 1
    told = capsys.readouterr().out
    assert "iteration 3 differs:" in told
    assert f"return_1: {row['return_1']} then, {before} now" in told


def test_other_versions_are_told(run):
    described = json.loads((run / "run.json").read_text())
    described["versions"]["mujoco"] = "1.2.3"
    (run / "run.json").write_text(json.dumps(described))
    assert verify(run).lines()[0].startswith("another mujoco: 1.2.3 then, ")


def test_a_run_is_verified_to_where_it_has_come(run):
    assert verify(run, iterations=100).iterations == SMALL_OPTIONS["maml-trpo"]["iterations"]


def test_without_a_line_there_is_nothing_to_compare(run, tmp_path):
    (run / "metrics.jsonl").write_text('{"iteration": 0')
    with pytest.raises(UserError, match="no whole iteration"):
        verify(run)
    (run / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"has no metrics\.jsonl"):
        verify(run)
    with pytest.raises(UserError, match="no run here"):
        verify(tmp_path)

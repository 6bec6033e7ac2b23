"""Verification: the first iterations of a run done again and compared, and where they part."""

import json
import shutil

import pytest
from conftest import OFFLINE, SMALL_OPTIONS
from test_train import trained

from robometa import registry
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.storage import sealed_folder
from robometa.training.run_folder import RunFolder
from robometa.training.verify import Verification, _changes, _same, verify


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [name for name in registry.LEARNERS if name not in OFFLINE])
@pytest.mark.sample(7)
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
    assert "iteration 3 differs (same code, versions, threads and processor):" in told
    assert f"return_1: {row['return_1']} then, {before} now" in told


def test_one_iteration_is_said_in_words():
    assert Verification(1, None, (), ()).lines() == ["the first iteration came out the same, byte for byte"]


def test_other_versions_are_told(run):
    described = json.loads((run / "run.json").read_text())
    described["versions"]["mujoco"] = "1.2.3"
    (run / "run.json").write_text(json.dumps(described))
    assert verify(run).lines()[0].startswith("mujoco differs: 1.2.3 then, ")


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


def test_what_was_not_recorded_is_named(run):
    described = json.loads((run / "run.json").read_text())
    assert described["versions"].keys() >= {"sources", "processor"}
    described["versions"] = {"torch": described["versions"]["torch"], "sources": "0123456789abcdef"}
    described["torch_threads"] = 1000
    del described["piece"]
    (run / "run.json").write_text(json.dumps(described))
    told = "\n".join(_changes(RunFolder(run).configuration()))
    assert "sources differs: 0123456789abcdef then, " in told
    assert "processor differs: not recorded then, " in told
    assert "torch has 1000 threads as then" in told
    assert "before tasks were computed in pieces" in told
    assert "mujoco" not in told


def test_a_policy_is_verified_by_the_log_beside_it(run, tmp_path, capsys):
    assert verify(run / "policy", iterations=2).parted is None
    published = tmp_path / "published"
    shutil.copytree(run / "policy", published)
    with pytest.raises(UserError, match="published without the log of its training"):
        verify(published)
    (published / "training").mkdir()
    logs = {f"training/{name}": (run / name).read_text() for name in ("run.json", "metrics.jsonl")}
    sealed_folder.put(published, logs)
    shutil.rmtree(run)
    before = contents(published)
    assert main(["verify", str(published), "--iterations", "2"]) == 0
    assert "the first 2 iterations came out the same" in capsys.readouterr().out
    assert contents(published) == before


def test_a_published_policy_of_a_suite_of_its_own_is_verified_without_that_file(tmp_path, tiny_file):
    trained(tiny_file, "maml-trpo", tmp_path / "run")
    run, published = tmp_path / "run", tmp_path / "published"
    shutil.copytree(run / "policy", published)
    (published / "training").mkdir()
    sealed_folder.put(published, {f"training/{n}": (run / n).read_text() for n in ("run.json", "metrics.jsonl")})
    tiny_file.unlink()
    assert verify(published, iterations=1).parted is None


def test_a_column_that_a_later_version_adds_is_no_difference():
    line = b'{"iteration": 0, "return_0": -1.5}\n'
    assert _same(line, b'{"iteration": 0, "kl_before": 0.1, "return_0": -1.5}\n')
    assert not _same(line, b'{"iteration": 0, "kl_before": 0.1, "return_0": -1.25}\n')
    assert not _same(line, b'{"iteration": 0}\n')
    assert not _same(line, b"damaged\n")

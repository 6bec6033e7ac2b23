"""Datasets in Minari's format: the same numbers when Minari loads them, and mistakes in one line."""

import resource
import sys

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS

from robometa import suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.training.collect_dataset import collect_dataset
from robometa.training.train import train
from robometa.trials import minari_export
from robometa.trials.dataset import Dataset
from torture.trainings import SUITE as TINY_SUITE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a suite, an oracle's policy and a dataset of its trials."""
    folder = tmp_path_factory.mktemp("minari")
    (folder / "tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    train(folder / "tiny.toml", "oracle", options=SMALL_OPTIONS["oracle"], folder=folder / "oracle", loggers=())
    policy = folder / "oracle" / "policy"
    collect_dataset(folder / "tiny.toml", policy, folder / "data", episodes=2, tasks=9)
    return folder


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Minari's folder of local datasets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "local"))
    return tmp_path / "local"


def test_minari_loads_the_same_numbers(place, local, capsys):
    minari = pytest.importorskip("minari")
    assert main(["export-dataset", str(place / "data"), "--minari", "tiny/oracle-v0"]) == 0
    assert "written: " in capsys.readouterr().out
    loaded = minari.load_dataset("tiny/oracle-v0")
    rollout, expert, task = Dataset(place / "data").load()
    assert loaded.total_steps == rollout.reward.numel()
    assert loaded.total_episodes == rollout.done.sum()
    suite = suites.load(place / "tiny.toml")
    described = list(loaded.storage.get_episode_metadata(range(loaded.total_episodes)))
    for episode, about in zip(loaded.iterate_episodes(), described, strict=True):
        steps = slice(about["first_step"], about["first_step"] + len(episode.rewards))
        row = about["trial"], about["rollout"], steps
        for found, wanted in (
            (episode.observations[:-1], rollout.obs),
            (episode.observations[1:], rollout.next_obs),
            (episode.actions, rollout.action.clamp(-1, 1)),
            (episode.rewards, rollout.reward),
            (episode.terminations, rollout.terminated),
            (episode.truncations, rollout.truncated),
            (episode.infos["expert_action"], expert),
            (episode.infos["success"], rollout.success),
            (episode.infos["diverged"], rollout.diverged),
        ):
            assert np.array_equal(found, wanted[row].numpy())
        number = int(task[about["trial"]])
        assert about["task"]["number"] == number
        hidden = suite.drawn(0, number).parameters
        assert [(name, tuple(about["task"]["parameters"][name])) for name, _ in hidden] == list(hidden)
        assert about["noise"] == (1.0, 0.0)[about["rollout"]]
    assert main(["export-dataset", str(place / "data"), "--minari", "tiny/oracle-v0"]) == 2
    assert "exists already: choose another name or version" in capsys.readouterr().err
    assert [path.name for path in (local / "tiny").iterdir() if path.name.startswith(".")] == []


def test_an_episode_that_ends_early_is_one_of_its_own():
    time = torch.arange(5.0)
    done = torch.tensor([False, True, False, False, False])
    row = {"obs": time[:, None], "next_obs": time[:, None] + 1, "action": 2 * time[:, None], "expert": time[:, None]}
    row |= {"reward": time, "terminated": done, "truncated": ~done & (time == 4), "success": done, "diverged": done}
    shard = {key: value[None, None] for key, value in row.items()} | {"task": torch.tensor([0])}
    task = suites.load("point-robot").train[0]
    (first, about), (second, later) = minari_export._episodes(shard, (0.5,), {0: task}.__getitem__, 7)
    assert first["observations"].tolist() == [[0], [1], [2]]
    assert second["observations"].tolist() == [[2], [3], [4], [5]]
    assert second["actions"].tolist() == [[1], [1], [1]]
    assert (about["trial"], about["first_step"], later["first_step"], later["noise"]) == (7, 0, 2, 0.5)
    assert about["task/parameters/goal"].tolist() == list(dict(task.parameters)["goal"])


@pytest.mark.parametrize("name", ["oracle", "a/b/c-v0", "../oracle-v0", "", "oracle-v", "/oracle-v0"])
def test_a_wrong_name_is_told_in_a_line(place, local, name):
    with pytest.raises(UserError, match="--minari must be a name with a version"):
        minari_export.export(Dataset(place / "data"), suites.load(place / "tiny.toml"), name)
    assert not local.exists()


def test_a_missing_package_or_another_suite_is_told_in_a_line(place, local, capsys, monkeypatch):
    assert main(["export-dataset", str(place), "--minari", "tiny-v0"]) == 2
    assert "is no dataset" in capsys.readouterr().err
    assert main(["export-dataset", str(place / "data"), "--minari", "tiny-v0", "--suite", "point-robot"]) == 2
    assert "is of suite" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "minari", None)
    assert main(["export-dataset", str(place / "data"), "--minari", "tiny-v0"]) == 2
    assert capsys.readouterr().err == "error: export-dataset needs Minari: pip install 'robometa[minari]'\n"
    assert not local.exists()


def test_what_is_in_the_way_of_a_dataset_is_told_in_a_line(place, local, capsys):
    pytest.importorskip("minari")
    command = ["export-dataset", str(place / "data"), "--minari", "space/oracle-v0"]
    local.touch()
    assert main(command) == 2
    local.unlink()
    local.mkdir()
    (local / "space").touch()
    assert main(command) == 2
    assert capsys.readouterr().err.count(" cannot be written: ") == 2
    (local / "space").unlink()
    assert main(command) == 0
    assert main(command) == 2
    assert "oracle-v0 exists already: choose another name or version" in capsys.readouterr().err
    assert {path.name for path in (local / "space").iterdir()} == {"namespace_metadata.json", "oracle-v0"}


def test_a_full_disk_is_told_in_a_line_even_if_hdf5_crashes(place, local, capfd):
    pytest.importorskip("minari")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        assert main(["export-dataset", str(place / "data"), "--minari", "oracle-v0"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capfd.readouterr().err
    assert "HDF5 cannot write, with " in said
    assert said.count("\n") == 1
    assert [*local.iterdir()] == []

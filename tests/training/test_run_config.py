"""Configurations of runs: read from and written to run.json as they always were."""

import json
from pathlib import Path

import pytest

from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.training.run_folder import RunFolder

PUBLISHED = sorted(Path(__file__).parents[2].glob("policies/*/training"))
DESCRIBED = {
    "suite": "point-robot",
    "suite_hash": "0" * 64,
    "learner": "random",
    "learner_sha256": None,
    "preset": "default",
    "config": {"iterations": 3, "tasks": 2},
    "seed": 5,
    "device": "cpu",
    "threads": 2,
    "torch_threads": 1,
    "checkpoint_minutes": 5.0,
    "engine": "warp",
    "room": 2.0,
    "command": "robometa train",
    "versions": {"python": "3.11"},
}


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.parent.name)
def test_the_run_of_a_published_policy_is_read_and_written_back(folder):
    described = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    written = RunFolder(folder).configuration().to_json()
    assert {key: written[key] for key in described} == described
    added = {key: value for key, value in written.items() if key not in described}
    early = {"learner_sha256": None, "device": "cpu", "engine": "cpu", "room": 1.0}
    assert added.items() <= early.items()


@pytest.mark.parametrize("more", [{}, {"begun_for": 7}])
def test_a_run_is_written_in_the_bytes_that_it_was_read_from(tmp_path, more):
    text = json.dumps(DESCRIBED | more, indent=2) + "\n"
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    config = RunFolder(tmp_path).configuration()
    assert config.hardware == Hardware("cpu", "warp", 2.0, 2, 1)
    assert config.begun_for == more.get("begun_for")
    RunFolder(tmp_path).configure(config)
    assert (tmp_path / "run.json").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", "5", "seed must be a whole number from 0 to 9223372036854775807, not '5'"),
        ("threads", True, "threads must be a whole number from 1 to 100000, not True"),
        ("config", [], "config must be a table, not a list of 0"),
        ("config", {}, "it lacks iterations"),
        ("learner_sha256", 3, "learner_sha256 must be a text of at most 5000 characters, not 3"),
        ("room", 1e9, "contact_capacity must be above 0, and at most 1000, not 1e\\+09"),
        ("versions", ["a"], "versions must be a table"),
        ("engine", "os:system", "engine must be one of cpu, warp, auto"),
        ("torch_threads", 0, "torch_threads must be from 1 to 1024, not 0"),
        ("room", float("nan"), "room must be a finite number, not nan"),
        ("checkpoint_minutes", float("inf"), "checkpoint_minutes must be a finite number, not inf"),
    ],
)
def test_an_impossible_entry_is_damage(tmp_path, key, value, message):
    (tmp_path / "run.json").write_text(json.dumps(DESCRIBED | {key: value}), encoding="utf-8")
    with pytest.raises(UserError, match=rf"run\.json(, config,)? is damaged: {message}"):
        RunFolder(tmp_path).configuration()

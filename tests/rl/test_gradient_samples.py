"""Gradient samples: what an update uses is counted, and a training's total is the sum over its updates."""

import pytest

from robometa import train
from robometa.storage.json_lines import Lines
from robometa.training.records import gradient_samples
from robometa.training.run_folder import METRICS
from tests.conftest import SMALL_OPTIONS


@pytest.mark.parametrize(
    ("learner", "options", "each"),
    [
        ("maml-trpo", {}, 1),
        ("reptile", {}, 1),
        ("promp", {"epochs": 3}, 3),
        ("no-adaptation", {"epochs": 2}, 2),
        ("rl2", {"epochs": 2}, 2),
    ],
)
def test_on_policy_learners_use_every_step_as_often_as_they_pass_over_it(learner, options, each, tiny_file, tmp_path):
    train(tiny_file, learner, options=SMALL_OPTIONS[learner] | options, folder=tmp_path / "run", log=("none",))
    rows = list(Lines(tmp_path / "run" / METRICS).rows())
    assert [row["gradient_samples"] for row in rows] == [each * row["iteration_steps"] for row in rows]
    assert gradient_samples(rows) == each * rows[-1]["steps"]


def test_off_policy_learners_use_what_they_draw(tiny_file, tmp_path):
    options = SMALL_OPTIONS["pearl"] | {"gradient_steps": 3, "meta_batch": 2, "batch": 5, "context": 4, "iterations": 2}
    train(tiny_file, "pearl", options=options, folder=tmp_path / "run", log=("none",))
    rows = list(Lines(tmp_path / "run" / METRICS).rows())
    assert [row["gradient_samples"] for row in rows] == [3 * 2 * (5 + 4)] * 2


def test_skipped_updates_use_nothing_and_unrecorded_ones_are_not_guessed():
    rows = [{"gradient_samples": 5.0, "skipped": 0.0}, {"skipped": 1.0}, {"gradient_samples": 5.0, "skipped": 1.0}]
    assert gradient_samples(rows) == 10
    assert gradient_samples([*rows, {"skipped": 1.0}]) is None
    assert gradient_samples([]) is None

"""Rewards since a change: what counts as recovered, its interval, and damaged files."""

import json

import numpy as np
import pytest
from comparable import write_report

from robometa.errors import UserError
from robometa.reports import html, since_change
from robometa.reports.compare import compare
from robometa.reports.comparison_table import print_comparison
from robometa.reports.since_change import SinceChange

NAN = float("nan")


def made(*rows, before=0.0, counts=10.0, episodes=(-2.0, -0.5)):
    """Stretches with these mean rewards, a row a task."""
    stretches = np.array(rows)
    counts = np.broadcast_to(counts, stretches.shape)

    def pairs(values, count=10.0):
        values = np.array([values] * len(rows), dtype=float)
        return np.stack([values * count, np.full_like(values, count)], axis=-1)

    return SinceChange(
        0.5,
        3,
        pairs(before),
        np.stack([stretches * counts, counts], axis=-1),
        pairs(episodes).reshape(len(rows), -1, 2),
    )


def test_recovered_is_where_rewards_stay_at_nine_tenths_of_the_way():
    change = made([-5.0, -0.2, -2.0, -0.9, -0.9])
    assert change.level(random=-10.0, oracle=None) == pytest.approx(-1.0)
    assert change.recovery(-1.0) == (1.5, 1)
    assert change.recovery(-6.0) == (0.0, 0)
    assert change.recovery(-0.5) == (None, 1)
    assert change.recovery(-0.1) == (None, None)
    assert change.level(random=-10.0, oracle=-5.0) == pytest.approx(-5.5)
    assert change.level(random=0.0, oracle=None) is None


def test_stretches_that_few_changes_reach_do_not_count():
    change = made([-5.0, -0.2, -9.0], counts=np.array([10.0, 5.0, 4.0]))
    assert len(change.pooled()) == 2
    assert change.recovery(-1.0) == (0.5, 1)
    assert change.described(-10.0, None)["rewards"] == [-5.0, pytest.approx(-0.2)]


def test_the_interval_is_over_tasks():
    alike = made(*[[-5.0, -0.2, -0.2]] * 4).described(-10.0, None)
    assert [alike[f"recovered_seconds{end}"] for end in ("", "_low", "_high")] == [0.5, 0.5, 0.5]
    mixed = made(*[[-5.0, -0.2, -0.2]] * 3, [-5.0, -5.0, -1.0]).described(-10.0, None)
    assert (mixed["recovered_seconds_low"], mixed["recovered_seconds_high"]) == (0.5, 1.0)
    never = made([-5.0, -0.2], [-5.0, -9.0]).described(-10.0, None)
    assert (never["recovered_seconds_low"], never["recovered_seconds_high"]) == (0.5, None)
    assert made([-5.0, -0.2]).described(-10.0, None)["recovered_seconds_low"] is None


def test_parts_are_joined_along_tasks():
    parts = [made([-5.0, -0.2], [-4.0, -0.1]), made([-1.0, -0.3])]
    joined = since_change.joined(parts)
    assert (joined.stretches.shape, joined.changes) == ((3, 2, 2), 6)
    assert since_change.joined([parts[0], None]) is None


def test_words():
    described = made(*[[-5.0, -0.2, -0.2]] * 4).described(-10.0, -0.1)
    columns = since_change.columns([described])
    assert columns == ["before", "to 0.5 s", "to 1 s", "to 2 s", "recovered", "episodes"]
    assert since_change.row(described, columns) == ["0", "-5", "-0.2", "-0.2", "after 0.5 s [0.5, 0.5]", "1"]
    assert "90% of the way from random actions to the oracle (-1.09)" in since_change.title(described)
    late = described | {"recovered_seconds": None, "recovered_episodes": None}
    assert since_change.row(late, columns)[-2:] == ["not before the next change", "\N{EN DASH}"]
    lost = described | {"recovered_seconds_high": None}
    assert since_change.recovery_in_words(lost) == "after 0.5 s [0.5, never]"
    assert since_change.recovery_in_words(described | {"level": None}).startswith("nothing to recover")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the reports of two learners, whose tasks changed."""
    monkeypatch.chdir(tmp_path)
    for learner, rewards in (("rl2", [-5.0, -0.2, -0.2]), ("maml-trpo", [-5.0, -4.0, -4.0])):
        write_report(tmp_path / learner, np.zeros((2, 3, 2)), learner)
        change(tmp_path / learner, made(*[rewards] * 3).described(-10.0, None))
    return tmp_path


def change(folder, described):
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    (folder / "report.json").write_text(json.dumps(report | {"since_change": described}), encoding="utf-8")


def test_a_comparison_shows_who_recovers(place, capsys):
    compared = compare("rl2", "maml-trpo")
    (section,) = compared.sections
    assert [(label, one["recovered_seconds"]) for label, one in section.changes] == [("rl2", 0.5), ("maml-trpo", None)]
    print_comparison(compared)
    shown = " ".join(capsys.readouterr().out.split())
    assert "rl2 0 -5 -0.2 -0.2 after 0.5 s" in shown
    assert "After a change of the task" in html.page(compared)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"rewards": ["a"]},
        {"rewards": [10**400]},
        {"rewards": 3},
        {"rewards": [0.0] * 10_001},
        {"stretch_seconds": 0},
        {"before": "a"},
        {"recovered_seconds": -1},
        {"recovered_episodes": 0.5},
        {"level_of": None},
    ],
)
def test_a_damaged_file_is_refused(place, spoilt):
    change(place / "rl2", made([-5.0, -0.2]).described(-10.0, None) | spoilt)
    with pytest.raises(UserError, match="damaged"):
        compare("rl2")

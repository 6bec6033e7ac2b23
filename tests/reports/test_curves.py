"""Learning curves against environment steps and core-minutes, and the panels that they are drawn in."""

import json

import numpy as np
import pytest

from robometa.reports import curve, panels
from robometa.reports.compare import compare
from robometa.reports.curve import Curve
from robometa.reports.curve_figures import Trained, curves_of, learning_curves
from robometa.reports.families import looks
from robometa.reports.figures import Points, adaptation_points, paces
from tests.reports.comparable import returns_of, write_policy

STEPS, RETURNS = np.array([100.0, 200.0, 300.0]), np.array([-3.0, -2.0, -1.0])
TIMED = Curve(STEPS, RETURNS, np.array([0.1, 0.2, 0.3]))
UNTIMED = Curve(STEPS, RETURNS)


@pytest.fixture
def policy(tmp_path):
    """A policy of 12 iterations that took 0.1 core-minutes each."""
    return write_policy(tmp_path / "rl2", returns_of(0))


def rewrite(path, change):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows), encoding="utf-8")


def drawn(*rows):
    """Panels of a figure of rows of one seed each."""
    return curves_of([Trained(name, [one]) for name, one in rows], looks([name for name, _ in rows])).axes


def notes(panel):
    return [one.get_text() for one in panel.texts]


def test_a_curve_has_the_processor_time_so_far(policy):
    (group,) = compare(policy).groups
    (entry,) = group.entries
    assert entry.core_minutes == pytest.approx(1.2)
    assert entry.curve.core_minutes == pytest.approx(0.1 * np.arange(1, 13))
    first, second = learning_curves([group]).axes
    assert (first.get_xlabel(), second.get_xlabel()) == ("environment steps", "core-minutes")
    assert second.lines[-1].get_xdata()[-1] == pytest.approx(1.2)


@pytest.mark.parametrize("missing", [0, 5, 11])
def test_a_run_that_recorded_a_part_of_its_processor_time_has_no_such_axis(policy, missing):
    def without(row):
        return {name: value for name, value in row.items() if (name, row["iteration"]) != ("processor", missing)}

    rewrite(policy / "training" / "timings.jsonl", without)
    (group,) = compare(policy).groups
    assert group.entries[0].core_minutes is None
    assert [panel.get_xlabel() for panel in learning_curves([group]).axes] == ["environment steps"]


def test_the_processor_time_beside_a_gpu_is_no_axis(policy):
    run = json.loads((policy / "training" / "run.json").read_text(encoding="utf-8"))
    (policy / "training" / "run.json").write_text(json.dumps(run | {"device": "cuda"}), encoding="utf-8")
    (group,) = compare(policy).groups
    assert group.entries[0].curve.core_minutes is None
    assert group.entries[0].core_minutes == pytest.approx(1.2)  # it is told with its device


def test_times_that_begin_late_are_not_those_of_the_run(policy):
    rewrite(policy / "training" / "timings.jsonl", lambda row: row | {"iteration": row["iteration"] + 1})
    assert curve.read_times(policy / "training").all_core_minutes is None


def test_a_panel_names_the_rows_that_it_lacks():
    steps, minutes = drawn(("rl2", TIMED), ("pearl", UNTIMED))
    assert (notes(steps), notes(minutes)) == ([], ["no core-minutes: pearl"])
    assert [one.get_text() for one in minutes.get_legend().get_texts()] == ["rl2", "pearl"]


def test_trainings_of_unlike_lengths_have_logarithmic_axes():
    long = Curve(STEPS * 1e4, RETURNS, np.array([0.1, 0.2, 0.4]))
    assert {panel.get_xscale() for panel in drawn(("rl2", TIMED), ("grbal", long))} == {"log"}
    assert {panel.get_xscale() for panel in drawn(("rl2", TIMED), ("grbal", TIMED))} == {"linear"}


def test_numbers_on_an_axis_are_short():
    steps, minutes = drawn(("rl2", TIMED))
    assert [steps.xaxis.get_major_formatter()(value) for value in (0, 500, 1e4, 2.5e6)] == ["0", "500", "10k", "2.5M"]
    assert minutes.xaxis.get_major_formatter()(0.1) == "0.1"


def test_a_large_family_is_divided_and_its_other_rows_are_grey():
    names = ["maml-trpo", "promp", "anil", "fomaml", "meta-sgd", "e-maml", "reptile", "fine-tune"]
    first, _, second, _ = drawn(*((name, TIMED) for name in names))
    assert first.get_title("left") == "gradient steps (1 of 2)"
    assert second.get_title("left") == "gradient steps (2 of 2)"
    assert sum(line.get_color() == panels.INK for line in first.lines) == 4
    assert len(first.lines) == 4 + 2 * 4


def test_rows_of_one_learner_share_a_panel():
    names = ["anil", "maml-trpo", "promp", "fomaml", "meta-sgd", "e-maml", "reptile", "anil"]
    _, parts = panels.panels(looks(names))
    assert [part.rows for part in parts] == [(1, 2, 0, 7), (3, 4, 5, 6)]


def test_names_of_lines_do_not_lie_upon_each_other():
    assert panels.apart([0.1, 0.5, 0.52], 0.1) == pytest.approx([0.1, 0.42, 0.52])
    assert panels.apart([], 0.1) == []


def test_an_axis_names_the_episodes_that_were_measured():
    rows = [Points("maml-trpo", "maml-trpo", (0.0, 20.0, 40.0), [(0.0, 0.0, 0.0)] * 3, False)]
    (panel,) = adaptation_points(rows, looks(["maml-trpo"]), {"oracle": 1.0}).axes
    assert [one.get_text() for one in panel.get_xticklabels()] == ["0", "20", "40"]


def test_a_reward_along_an_episode_is_a_tread_for_each_stretch():
    (panel,) = paces([("rl2", [(5.0, -2.0), (15.0, -1.0)])], looks(["rl2"])).axes
    (stairs,) = panel.patches
    assert stairs.get_data().edges.tolist() == [0.0, 10.0, 20.0]
    assert not panel.lines


def test_tables_have_the_costs(policy):
    compared = compare(policy)
    head, row = (line.split(",") for line in compared.table("csv").splitlines()[:2])
    assert float(row[head.index("core_minutes")]) == pytest.approx(1.2)
    assert row[head.index("gradient_samples")] == ""
    assert "| rl2 | 0 | 1.2k | 1.2 |" in compared.table("markdown")

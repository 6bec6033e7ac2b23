"""The gap closed task by task, in one function for reports, comparisons and the table of results."""

import numpy as np
import pytest

from robometa.reports.gap import BY_MEANS, BY_TASK, Reference, Sample, words_of_gap


def reference(unadapted, oracle):
    return Reference(Sample(unadapted, together=True), Sample(oracle, together=True), None, len(oracle), "a test")


def ends(row, key=BY_TASK):
    return [row[f"{key}{end}"] for end in ("", "_low", "_high")]


def test_a_task_counts_as_much_as_any_other_whatever_its_lead():
    known = reference([np.zeros(2), np.zeros(2)], [np.full(2, 100.0), np.full(2, 10.0)])
    found = known.gap_closed(Sample([np.full(2, 90.0), np.full(2, -5.0)], together=True))
    assert found[BY_MEANS] == pytest.approx(85 / 110)
    assert ends(found) == pytest.approx([(0.9 - 0.5) / 2] * 3)


def test_the_interval_resamples_the_seeds_of_row_and_references():
    still = reference([np.zeros(3), np.zeros(3)], [np.full(3, 100.0), np.full(3, 200.0)])
    moving = reference([np.array([-30.0, 0.0, 30.0])] * 2, [np.full(3, 100.0), np.full(3, 200.0)])
    row = Sample([np.array([40.0, 50.0, 60.0]), np.array([80.0, 100.0, 120.0])], together=True)
    alone, both = ends(still.gap_closed(row)), ends(moving.gap_closed(row))
    assert alone == pytest.approx([0.5, 0.4, 0.6])
    assert both[0] == pytest.approx(0.5)
    assert both[1] < alone[1]
    assert both[2] > alone[2]


def test_a_task_on_which_the_oracle_hardly_leads_has_no_gap():
    # The second task's lead of 2 is under three of its standard errors, the third's is below 0.
    known = reference(
        [np.zeros(3), np.array([-5.0, 0.0, 5.0]), np.zeros(3)], [np.full(3, 10.0), np.full(3, 2.0), np.full(3, -1.0)]
    )
    assert known.leading_tasks() == [0]
    assert known.described(None)["tasks_with_gap"] == 1
    assert known.gap_closed(Sample([np.full(3, 4.0)] * 3, together=True))[BY_TASK] == pytest.approx(0.4)


def test_episodes_of_a_task_are_resampled_within_it():
    known = reference([np.zeros(2), np.zeros(2)], [np.full(2, 10.0), np.full(2, 10.0)])
    found = ends(known.gap_closed(Sample([np.array([4.0, 6.0]), np.array([5.0])])))
    assert found[0] == pytest.approx(0.5)
    assert found[1:] == [None, None]  # one episode of a task has no interval
    low, high = ends(known.gap_closed(Sample([np.array([4.0, 6.0]), np.array([5.0, 5.0])])))[1:]
    assert (low, high) == pytest.approx((0.45, 0.55))


def test_no_end_is_minus_0():
    row = {BY_TASK: -0.001, f"{BY_TASK}_low": -0.399, f"{BY_TASK}_high": -0.004}
    assert words_of_gap(row, BY_TASK) == "0% [-40, 0]"

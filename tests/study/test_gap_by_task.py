"""The gap closed task by task, and the table of it in the docs."""

from pathlib import Path

import numpy as np
import pytest

from robometa.reports.gap import Reference, Sample
from study.gap_by_task import gap_by_task, main, table

ROOT = Path(__file__).parents[2]


def reference(unadapted, oracle):
    return Reference(Sample(unadapted, together=True), Sample(oracle, together=True), None, len(oracle), "a test")


def test_a_task_counts_as_much_as_any_other_whatever_its_lead():
    known = reference([np.array([0.0, 0.0]), np.array([0.0, 0.0])], [np.array([100.0, 100.0]), np.array([10.0, 10.0])])
    found = gap_by_task(Sample([np.array([90.0, 90.0]), np.array([-5.0, -5.0])], together=True), known)
    assert found.by_means[0] == pytest.approx(85 / 110)
    assert found.by_task == pytest.approx([(0.9 - 0.5) / 2] * 3)


def test_the_interval_resamples_the_seeds_of_row_and_references():
    still = reference([np.zeros(3), np.zeros(3)], [np.full(3, 10.0), np.full(3, 20.0)])
    moving = reference([np.array([-5.0, 0.0, 5.0])] * 2, [np.full(3, 10.0), np.full(3, 20.0)])
    row = Sample([np.array([4.0, 5.0, 6.0]), np.array([8.0, 10.0, 12.0])], together=True)
    alone, both = gap_by_task(row, still).by_task, gap_by_task(row, moving).by_task
    assert alone == pytest.approx([0.5, 0.4, 0.6])
    assert both[0] == pytest.approx(0.5)
    assert both[1] < alone[1]
    assert both[2] > alone[2]


def test_the_docs_have_the_table_of_the_records(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    assert "\n".join(table("half-cheetah-velocity")) in page


def test_no_table_where_no_gap_is_reported(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["half-cheetah-params"]) == 2
    assert "under 3 standard errors" in capsys.readouterr().err

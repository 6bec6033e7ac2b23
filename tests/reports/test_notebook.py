"""Short representations: what a notebook shows of suites, reports, policies and recordings."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import robometa
from robometa.errors import UserError
from robometa.reports.report import Report
from robometa.reports.scores import Scores
from robometa.video.recording import Recording


def scores(shots, success=0.0):
    """Scores of 2 tasks and 3 worlds."""
    values = np.arange(shots * 6, dtype=float).reshape(shots, 2, 3)
    same = np.full_like(values, success)
    return Scores(values, same, same, np.ones_like(values), np.zeros_like(values), 0)


@pytest.fixture
def report():
    """A report of two shots on two tasks."""
    return Report(
        suite="point-robot",
        suite_hash="0" * 64,
        split="test",
        learner="<b>mine",
        policy="runs/mine",
        seed=0,
        tasks=("goal 1", "goal 2"),
        episodes_seen=(0.0, 3.0),
        steps_seen=(0, 60),
        mean_action=scores(2, success=1.0),
        exploring=scores(2),
        random=scores(1),
        has_success=True,
    )


@pytest.mark.parametrize("name", ["half-cheetah-velocity", "half-cheetah-direction", "half-cheetah-params", "ml10"])
def test_a_suite_is_shown_in_a_line_or_a_small_table(name):
    suite = robometa.load_suite(name)
    assert len(repr(suite)) < 150
    assert name in repr(suite)
    assert 200 < len(suite._repr_html_()) < 3000
    assert all(len(repr(task)) < 300 for task in suite.train)


def test_a_report_is_shown_in_a_line_or_a_small_table(report):
    assert repr(report) == "<report of <b>mine on point-robot (test): shots: 1, 2 tasks, 3 episodes each>"
    shown = report._repr_html_()
    assert "&lt;b&gt;mine" in shown
    assert "<b>mine" not in shown
    assert "<th>before</th>" in shown
    assert "<th>first episode</th>" in replace(report, adapts_within_episode=True)._repr_html_()
    assert "<td>100%</td>" in shown


def test_a_report_is_a_pandas_table(report):
    pytest.importorskip("pandas")
    frame = report.to_frame()
    assert len(frame) == 2 * 2 * 2 * 3
    last = frame[(frame["acting"] == "mean action") & (frame["shot"] == 1)]
    assert last["return"].tolist() == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    assert set(last["episodes_seen"]) == {3.0}
    assert set(last["steps_seen"]) == {60}
    assert frame.groupby("parameters")["return"].mean().index.tolist() == ["goal 1", "goal 2"]


def test_without_pandas_the_error_says_what_to_install(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'robometa\[frames\]'"):
        report.to_frame()


def test_a_recording_is_paths_and_a_video(tmp_path):
    video, gif = tmp_path / "a.mp4", tmp_path / "a.gif"
    video.write_bytes(b"\0\0\0\x18ftypisom")
    recording = Recording((video, gif))
    assert recording == (video, gif)
    assert Path(recording) == video
    assert '<video controls loop muted src="data:video/mp4;base64,' in recording._repr_html_()
    video.unlink()
    assert recording._repr_html_() == f"<p>{video}</p>"
    assert len(repr(Recording((video, gif)))) < 300

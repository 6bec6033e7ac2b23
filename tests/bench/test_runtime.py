"""The measurement of a runtime's loops: a clock without waiting, and its tables."""

import json

import pytest

from bench import runtime
from bench.report import BEGIN, END

pytest.importorskip("robometa_runtime", reason="the extra onnx is not installed", exc_type=ImportError)

TIMES = {"median": 12.34, "p99": 20.0, "p99.9": 30.0, "longest": 99.9}
COUNTS = {"steps": 180_000, "late": 0, "timeouts": 0, "refused": 0, "barked": 1}
RECORD = {
    "machine": {"date": "today", "processor": "P", "cores": 2, "load": 0.1},
    "steps": {"rl2": TIMES | {"bytes": 280_000}},
    "hour": [{"hz": 50.0} | COUNTS | TIMES],
    "minute": [{"hz": 50.0} | COUNTS | TIMES],
}


def test_waiting_takes_no_time_on_a_simulated_clock():
    clock = runtime.SimulatedClock()
    began = clock.now()
    clock.sleep(3600)
    assert 3600 <= clock.now() - began < 3660


def test_tables_are_made_anew_of_a_record(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runtime, "RECORD", tmp_path / "runtime.json")
    monkeypatch.setattr(runtime, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text(f"before {BEGIN} old {END} after", encoding="utf-8")
    (tmp_path / "record.json").write_text(json.dumps(RECORD), encoding="utf-8")
    assert runtime.main(["--from", str(tmp_path / "record.json"), "--write"]) == 0
    said = capsys.readouterr().out
    assert "| 50 Hz | 180,000 | 0 " in said
    assert "a median of 30 us, reached" in said
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert said.strip() in page
    assert page.endswith(f"{END} after")
    assert json.loads((tmp_path / "runtime.json").read_text()) == RECORD


def test_the_page_has_the_marks():
    page = runtime.PAGE.read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)


@pytest.mark.slow
def test_everything_is_measured_in_tiny_sizes(capsys):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    assert runtime.main(["--quick"]) == 0
    assert "| 1000 Hz | 500 " in capsys.readouterr().out

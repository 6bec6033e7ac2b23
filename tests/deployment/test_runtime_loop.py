"""The runtime's loop: its rate, and what is sent where a reading or an action is missing, wrong or late."""

import ast
import sys
import time
import tomllib
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
runtime = pytest.importorskip("robometa_runtime", reason="the extra onnx is not installed", exc_type=ImportError)
Loop, Reading, MAX_FAULTS = runtime.Loop, runtime.Reading, runtime.loop.MAX_FAULTS
Times = runtime.clock.Times
SAFE, ACTION = np.float32([0.25]), np.float32([1.0])


def robot(act=None, hz=100.0):
    """A policy that does as a test wants."""
    contract = types.SimpleNamespace(control_hz=hz, safe=SAFE, low=-ACTION, high=ACTION)

    def given(obs, reward, done, sample):
        if act is not None:
            act()
        if not np.isfinite(obs).all():
            raise runtime.ObservationError("not finite")
        return ACTION

    return types.SimpleNamespace(contract=contract, act=given)


def test_it_keeps_the_rate_and_ends_with_the_safe_action():
    sent = []
    began = time.perf_counter()
    report = Loop(robot(), lambda _: Reading([0.0]), sent.append).run(seconds=0.3)
    assert time.perf_counter() - began > 0.28
    assert report.steps == 30
    assert report.times.total == 30
    np.testing.assert_array_equal(sent[-1], SAFE)
    assert sum(np.array_equal(one, ACTION) for one in sent) >= 1


def test_a_missing_reading_sends_the_safe_action():
    sent, readings = [], iter([Reading([0.0]), None, Reading([0.0])])
    report = Loop(robot(hz=5), lambda _: next(readings), sent.append).run(steps=3)
    assert (report.steps, report.timeouts) == (2, 1)
    np.testing.assert_array_equal(sent[:3], [ACTION, SAFE, ACTION])


@pytest.mark.parametrize(("hold", "sent_then"), [(0, "ASSSA"), (2, "AAASA")])
def test_the_last_action_is_held_for_as_many_periods_as_are_asked_for(hold, sent_then):
    sent, readings = [], iter([Reading([0.0]), None, Reading([np.nan]), None, Reading([0.0])])
    report = Loop(robot(hz=20), lambda _: next(readings), sent.append, hold=hold).run(steps=5)
    assert (report.steps, report.timeouts, report.refused) == (2, 2, 1)
    assert "".join("A" if np.array_equal(one, ACTION) else "S" for one in sent) == f"{sent_then}S"


def test_what_the_watchdog_ended_is_not_held():
    def read(_):
        if not sent:
            return Reading([0.0])
        if len(sent) == 1:
            time.sleep(0.2)  # longer than three periods
        return None

    sent = []
    report = Loop(robot(hz=20), read, sent.append, hold=9).run(steps=3)
    assert report.barked
    np.testing.assert_array_equal(sent, [ACTION, *[SAFE] * (len(sent) - 1)])


def test_nothing_is_held_before_the_first_action():
    sent = []
    Loop(robot(hz=20), lambda _: None, sent.append, hold=3).run(steps=2)
    np.testing.assert_array_equal(sent, [SAFE] * 3)


def test_a_robot_may_change_what_it_is_given():
    def write(action):
        seen.append(action.copy())
        action *= 57.0

    seen, policy, observer = [], robot(hz=20), types.SimpleNamespace(sent=None)
    readings = iter([Reading([0.0]), None, None])
    Loop(policy, lambda _: next(readings), write, hold=1, observer=observer).run(steps=3)
    np.testing.assert_array_equal(seen, [ACTION, ACTION, SAFE, SAFE])
    np.testing.assert_array_equal(policy.contract.safe, [0.25])
    np.testing.assert_array_equal(observer.sent, SAFE)


def test_an_error_of_read_about_an_observation_is_a_refused_reading():
    def read(_):
        raise runtime.ObservationError("joint_positions must be 12 numbers")

    with pytest.raises(
        runtime.RobotError, match=r"in 50 periods; the last one: joint_positions must be 12 numbers; 0 "
    ):
        Loop(robot(hz=2000), read, lambda _: None).run()


def test_a_reading_that_is_no_number_is_refused():
    sent, readings = [], iter([Reading([np.nan]), Reading([0.0])])
    report = Loop(robot(hz=5), lambda _: next(readings), sent.append).run(steps=2)
    assert (report.steps, report.refused) == (1, 1)
    np.testing.assert_array_equal(sent[:2], [SAFE, ACTION])


@pytest.mark.parametrize("wrong", [([0.0], 1.0, False), np.zeros(1), 3.0])
def test_what_is_no_reading_ends_the_loop_with_the_safe_action(wrong):
    sent = []
    with pytest.raises(TypeError, match="read must return a Reading or None, not "):
        Loop(robot(), lambda _: wrong, sent.append).run(steps=2)
    np.testing.assert_array_equal(sent, [SAFE])


def test_a_late_action_is_counted():
    report = Loop(robot(lambda: time.sleep(0.06), hz=20), lambda _: Reading([0.0]), lambda _: None).run(steps=2)
    assert report.late == 2
    assert "2 late" in str(report)


def test_the_watchdog_sends_the_safe_action_while_acting_hangs_and_drops_what_comes_after():
    sent, slow = [], iter([0.0, 0.5, 0.0])
    loop = Loop(robot(lambda: time.sleep(next(slow)), hz=20), lambda _: Reading([0.0]), sent.append)
    report = loop.run(steps=3)
    assert report.barked >= 1
    np.testing.assert_array_equal(sent[0], ACTION)
    np.testing.assert_array_equal(sent[1], SAFE)
    assert sum(np.array_equal(one, ACTION) for one in sent) == 2  # the one that came too late was dropped


def test_a_watchdog_that_cannot_write_goes_on_and_its_error_ends_the_loop():
    sent = []

    def write(action):
        sent.append(action)
        if len(sent) == 1:
            raise OSError("link down")

    loop = Loop(robot(lambda: time.sleep(0.1), hz=200), lambda _: Reading([0.0]), write)
    with pytest.raises(OSError, match="link down"):
        loop.run()
    assert loop.report.barked >= 2
    assert all(np.array_equal(one, SAFE) for one in sent)


def test_the_number_that_is_not_finite_is_named_in_the_end():
    with pytest.raises(runtime.RobotError, match=r"50 refused.*last refusal: not finite"):
        Loop(robot(hz=2000), lambda _: Reading([np.nan]), lambda _: None).run()


@pytest.mark.parametrize("setting", [{"hz": 0}, {"hz": np.nan}])
def test_a_rate_that_no_robot_can_have_is_refused(setting):
    with pytest.raises(ValueError, match="hz must be finite and above 0"):
        Loop(robot(), lambda _: Reading([0.0]), lambda _: None, **setting)


@pytest.mark.parametrize("safe", [[np.nan], [0.0, 0.0], [-1.5], [1e9]])
def test_a_safe_action_that_the_robot_does_not_have_is_refused(safe):
    with pytest.raises(ValueError, match="safe must be 1 finite numbers within the ranges"):
        Loop(robot(), lambda _: Reading([0.0]), lambda _: None, safe=safe)


@pytest.mark.parametrize(
    "length", [{"seconds": np.nan}, {"seconds": np.inf}, {"seconds": -1.0}, {"steps": -1}, {"seconds": 1.0, "steps": 1}]
)
def test_a_length_that_no_run_can_have_is_refused(length):
    with pytest.raises(ValueError, match="seconds or steps"):
        Loop(robot(), lambda _: Reading([0.0]), lambda _: None).run(**length)


def test_a_loop_runs_once_at_a_time():
    def again(_):
        with pytest.raises(RuntimeError, match="runs already"):
            loop.run(steps=1)

    loop = Loop(robot(), lambda _: Reading([0.0]), lambda _: None, watch=again)
    assert loop.run(steps=3).steps == 3


def test_it_gives_up_on_a_robot_that_sends_nothing():
    sent = []
    with pytest.raises(runtime.RobotError, match="no sound reading in 50 periods"):
        Loop(robot(hz=2000), lambda _: None, sent.append).run()
    assert len(sent) >= MAX_FAULTS
    assert all(np.array_equal(one, SAFE) for one in sent)


def test_it_can_be_stopped():
    loop = Loop(
        robot(), lambda _: Reading([0.0]), lambda _: None, watch=lambda report: report.steps == 3 and loop.stop()
    )
    assert loop.run().steps == 3


def test_times_are_counted_in_constant_memory_within_one_percent():
    times, drawn = Times(), np.random.default_rng(0).lognormal(-10, 1, 5000)
    for seconds in drawn:
        times.add(float(seconds))
    for share in (50, 99, 99.9, 100):
        exact = np.percentile(drawn, share, method="inverted_cdf")
        assert exact <= times.percentile(share) <= 1.01 * exact
    assert (times.total, times.longest) == (5000, drawn.max())
    for extreme in (0.0, 1e9):
        times.add(extreme)
    assert times.percentile(100) == 1e9
    assert np.isnan(Times().percentile(50))


def test_an_hour_passes_at_once_on_another_clock():
    class Skipping(runtime.Clock):
        skipped = 0.0

        def now(self):
            return super().now() + self.skipped

        def sleep(self, seconds):
            self.skipped += seconds

    began = time.perf_counter()
    report = Loop(robot(hz=1), lambda _: Reading([0.0]), lambda _: None, clock=Skipping()).run(seconds=3600)
    assert report.steps == 3600
    assert time.perf_counter() - began < 60


def test_it_is_small_and_needs_numpy_and_onnxruntime_only(tmp_path):
    with zipfile.ZipFile(tmp_path / "as.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in (ROOT / "runtime").rglob("*.[pm][yd]"):
            wheel.write(path)
    assert (tmp_path / "as.whl").stat().st_size < 50_000
    project = tomllib.loads((ROOT / "runtime" / "pyproject.toml").read_text())["project"]
    assert [line.split(">")[0] for line in project["dependencies"]] == ["numpy", "onnxruntime"]
    imported = {
        (alias.name if isinstance(node, ast.Import) else node.module).split(".")[0]
        for path in (ROOT / "runtime" / "robometa_runtime").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "onnxruntime", "robometa_runtime"}

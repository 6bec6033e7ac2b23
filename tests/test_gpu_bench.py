"""The measurement on a GPU keeps what it found, whatever ends it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import gpu, gpu_parts
from bench.gpu import SMALL, Bench, parts


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """One that knows nothing of the machine, with a minute of time."""
    monkeypatch.setattr(gpu, "machine", lambda device: {})
    return Bench(tmp_path, SMALL, "cpu", 1.0)


def written(folder):
    return json.loads((folder / "gpu.json").read_text())


def test_a_part_that_fails_keeps_what_it_found_and_the_others_go_on(bench, tmp_path):
    def fails(bench):
        bench.note(speed=3)
        raise RuntimeError("no such kernel")

    bench.run("first", fails, 0.0)
    bench.run("second", lambda bench: {"speed": 4}, 0.0)
    first, second = written(tmp_path)["parts"].values()
    assert first["speed"] == 3
    assert "no such kernel" in first["error"]
    assert second["speed"] == 4
    assert "error" not in second
    assert not any("running" in row for row in (first, second))


def test_a_part_for_which_there_is_no_time_is_left_out(bench, tmp_path):
    begun = []
    bench.run("long", begun.append, 61.0)
    assert not begun
    assert written(tmp_path)["parts"]["long"]["left_out"].endswith("of the 61 s that it takes")


def test_what_a_running_part_has_found_is_written_already(bench, tmp_path):
    seen = []

    def part(bench):
        bench.note(speed=3)
        seen.append(written(tmp_path)["parts"]["long"])
        return {}

    bench.run("long", part, 0.0)
    assert seen == [{"running": True, "speed": 3}]


ENDLESS = """
import sys, time
from pathlib import Path
from bench import gpu

def endless(bench):
    bench.note(speed=3)
    while True:
        time.sleep(60)

gpu.machine = lambda device: {}
bench = gpu.Bench(Path(sys.argv[1]), gpu.SMALL, "cpu", 1 / 60)
bench.end_in_time()
bench.run("endless", endless, 0.0)
"""


def test_it_ends_when_its_time_is_over_whatever_it_is_at(tmp_path):
    started = time.monotonic()
    root = Path(gpu.__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=root, timeout=120, check=False)
    assert ended.returncode == 0
    assert time.monotonic() - started < 100
    found = written(tmp_path)
    assert found["parts"]["endless"] == {"running": True, "speed": 3}
    assert found["cut_off"].startswith("when 0.0166")
    assert found["seconds"] >= 1.0


def test_what_is_asked_for_by_a_word_is_measured_alone():
    assert list(parts(["pearl"])) == ["pearl", "pearl on the CPU"]
    assert len(parts([])) >= 12


def test_it_loads_nothing_that_a_machine_with_a_gpu_need_not_have():
    """Rivals, pictures and boards are for other commands."""
    spared = [
        "matplotlib",
        "stable_baselines3",
        "envpool",
        "metaworld",
        "tensorboard",
        "tyro",
        "jinja2",
        "imageio",
        "PIL",
    ]
    code = f"import sys, bench.gpu; print([name for name in {spared} if name in sys.modules])"
    root = Path(gpu.__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def logged(folder, returns, threads, **timing):
    """A training whose log says these returns after its only adaptation."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"threads": threads, "config": {"iterations": len(returns)}}))
    rows = [{"iteration": number, "return_0": -99.0, "return_1": value} for number, value in enumerate(returns)]
    times = [{"iteration": number, "sampling": 2.0, "update": 1.0, **timing} for number in range(len(returns))]
    for name, lines in (("metrics.jsonl", rows), ("timings.jsonl", times)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("threads", "timing", "seconds"), [(1, {"processor": 2.5}, 2.5), (2, {"processor": 5.0}, 3.0), (1, {}, 3.0)]
)
def test_a_race_is_to_the_end_of_the_published_training(tmp_path, monkeypatch, threads, timing, seconds):
    monkeypatch.setattr(gpu_parts, "POLICIES", tmp_path)
    logged(tmp_path / "suite-rl2" / "training", [-50.0] * 10 + [-20.0] * 20 + [-30.0, -10.0] * 5, threads, **timing)
    options, told = gpu_parts.published("suite", "rl2")
    # the mean of ten stands at -20 after twenty iterations, as it does at the end
    assert told == {"target": -20.0, "cpu_seconds": round(20 * seconds), "cpu_threads": threads}
    assert options == {"iterations": 40}


def test_the_races_have_published_trainings_to_run_against():
    for suite, learner in gpu.RACES:
        options, told = gpu_parts.published(suite, learner)
        assert told["cpu_seconds"] > 60
        assert options["iterations"] > 10


@pytest.mark.parametrize("by_graph", [False, True])
def test_a_race_ends_when_the_mean_of_the_newest_is_there(bench, tmp_path, monkeypatch, by_graph):
    monkeypatch.setattr(gpu_parts, "POLICIES", tmp_path)
    logged(tmp_path / "point-robot-no-adaptation" / "training", [-20.0] * 12, 1)
    seen = []

    def iteration(bench, engine, learner, number, policy_graph):
        seen.append(policy_graph)
        return {"return_last": -25.0 if number < 10 else -15.0}

    monkeypatch.setattr(gpu_parts, "iteration", iteration)
    if by_graph:
        bench.policy_graphs.add("no-adaptation")
    found = gpu_parts.race_part(bench, "point-robot", "no-adaptation", on="cpu")
    assert seen == [by_graph] * 15  # five of either: the mean is at -20
    assert found["iterations"] == 15
    assert found["seconds_to_target"] is not None
    assert bench.row["of_iterations"] == 24


def test_what_cannot_be_captured_is_measured_without_graphs(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "captures", lambda device: True)

    def part(bench):
        if bench.graphs:
            raise RuntimeError("operation not permitted when stream is capturing")
        return {"speed": 3}

    bench.run("first", part, 0.0)
    bench.run("second", lambda bench: {"graphs": bench.graphs}, 0.0)
    found = written(tmp_path)
    first, second = found["parts"].values()
    assert first["speed"] == 3
    assert "not permitted" in first["without_graphs"]
    assert second["graphs"]
    assert found["measure again with --only what came after"] == ["without_graphs"]


@pytest.mark.parametrize(("seconds", "faster"), [(2.0, False), (0.5, True)])
def test_the_policy_is_raced_in_a_graph_where_that_measured_faster(bench, monkeypatch, seconds, faster):
    def iteration(bench, engine, learner, number, policy_graph):
        return {"iteration_seconds": seconds if policy_graph else 1.0}

    monkeypatch.setattr(gpu_parts, "iteration", iteration)
    found = gpu_parts.with_policy_graph(bench, None, None, "rl2")
    assert found == {"policy_graph_iteration_seconds": seconds, "policy_graph_times": 1 / seconds}
    assert bench.policy_graphs == ({"rl2"} if faster else set())

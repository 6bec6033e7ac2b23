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
from bench import gpu, gpu_parts

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


def test_a_race_is_against_what_the_published_training_logged():
    for suite, learner in gpu.RACES:
        options, told = gpu_parts.published(suite, learner)
        training = gpu_parts.POLICIES / f"{suite}-{learner}" / "training"
        rows, timings = (
            [json.loads(line) for line in (training / name).read_text().splitlines()]
            for name in ("metrics.jsonl", "timings.jsonl")
        )
        assert len(rows) == options["iterations"]
        assert told["target"] == pytest.approx(sum(row["return_1"] for row in rows[-10:]) / 10, abs=0.01)
        assert told["cpu_seconds"] <= sum(row["sampling"] + row["update"] for row in timings) + 1
        assert told["cpu_seconds"] >= sum(row["sampling"] + row["update"] for row in timings[:10])


@pytest.mark.parametrize(("seconds", "faster"), [(2.0, False), (0.5, True)])
def test_a_policy_graph_is_raced_with_where_it_measured_faster(bench, monkeypatch, seconds, faster):
    def iteration(bench, engine, learner, number, policy_graph):
        return {"iteration_seconds": seconds if policy_graph else 1.0}

    monkeypatch.setattr(gpu_parts, "iteration", iteration)
    found = gpu_parts.with_policy_graph(bench, None, None, "rl2")
    assert found == {"policy_graph_iteration_seconds": seconds, "policy_graph_times": 1 / seconds}
    assert bench.policy_graphs == ({"rl2"} if faster else set())

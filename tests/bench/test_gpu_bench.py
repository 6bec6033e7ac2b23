"""The measurement on a GPU keeps what it found, whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import gpu, gpu_bench, gpu_graphs, gpu_parts, gpu_profile, gpu_races, gpu_scaling, gpu_smoke
from bench.gpu import chosen, loaded, parts
from bench.gpu_bench import SMALL, Bench
from bench.gpu_profile import Event
from bench.gpu_run import Measurement, Part, shortened
from robometa.compute import cuda_graphs
from robometa.compute.hardware import Hardware
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import RunFolder

ROOT = Path(gpu.__file__).parents[1]
PART = Part("nothing.at_all", 60.0, needs=0.5)


@pytest.fixture
def bench(tmp_path):
    """A part's own, with a minute of time."""
    return Bench(tmp_path / "part.json", SMALL, "cpu", time.monotonic() + 60)


STUB = """
import os, subprocess, sys, time
from pathlib import Path
from bench.gpu_bench import SMALL, Bench

bench = Bench(Path(sys.argv[1]), SMALL, "cuda", float(sys.argv[2]), graphs="--without-graphs" not in sys.argv)
bench.note(machine={"device": "a card"})
bench.note(graphs=bench.graphs, conditional="--without-conditional" not in sys.argv)
def part(bench):
"""
"""A process that measures without loading torch; what follows is the part."""


def measurement(folder, bodies, minutes=1.0, **options):
    """One whose parts' processes run these lines."""

    def command(asked):
        code = STUB + "\n".join(f"    {line}" for line in bodies[asked.name]) + "\nbench.run(part)"
        return [sys.executable, "-c", code, str(asked.file), str(asked.until), *asked.flags]

    return Measurement(folder, minutes, command, **options)


def written(folder):
    return json.loads((folder / "gpu.json").read_text())


def test_a_part_that_fails_keeps_what_it_found_and_the_others_go_on(tmp_path):
    bodies = {"first": ["bench.note(speed=3)", "raise ValueError('no such kernel')"], "second": ["return {'speed': 4}"]}
    whole = measurement(tmp_path, bodies)
    for name in bodies:
        whole.run(name, PART)
    first, second = written(tmp_path)["parts"].values()
    assert first["speed"] == 3
    assert "no such kernel" in first["error"]
    assert second["speed"] == 4
    assert "error" not in second
    assert not any("running" in row for row in (first, second))
    assert [row["device"] for row in (first, second)] == ["a card", "a card"]
    assert written(tmp_path)["machine"] == {"device": "a card"}
    assert {path.name for path in tmp_path.iterdir()} == {"gpu.json", "gpu.log"}


def test_a_process_that_dies_leaves_what_it_found_and_said(tmp_path):
    lines = ["bench.note(speed=3)", "print('an illegal memory access', flush=True)", "os.abort()"]
    row = measurement(tmp_path, {"first": lines}).run("first", PART)
    assert row["speed"] == 3
    assert row["ended_with"] == -signal.SIGABRT
    assert "illegal memory access" in row["said"]


def test_a_part_that_hangs_is_ended_with_all_that_it_started_and_keeps_what_it_found(tmp_path):
    started = tmp_path / "started"
    lines = [
        "child = subprocess.Popen(['sleep', '600'])",
        f"Path({str(started)!r}).write_text(str(child.pid))",
        "bench.note(speed=3)",
        "time.sleep(600)",
    ]
    whole = measurement(tmp_path / "found", {"hangs": lines, "next": ["return {'speed': 4}"]})
    before = time.monotonic()
    row = whole.run("hangs", PART, seconds=2.0)
    assert time.monotonic() - before < 30
    assert row["speed"] == 3
    assert row["cut_off"] == "after 2 s"
    assert whole.run("next", PART)["speed"] == 4
    state = Path(f"/proc/{started.read_text()}/stat")
    deadline = time.monotonic() + 10
    while state.exists() and state.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_part_for_which_there_is_no_time_is_left_out(tmp_path):
    row = measurement(tmp_path, {}, minutes=0.1).run("long", Part("nothing.at_all", 60.0, needs=8.0))
    assert row["left_out"].startswith("no time")
    assert written(tmp_path)["parts"]["long"] == row


def test_what_a_running_part_has_found_is_written_already(tmp_path):
    file = tmp_path / "gpu.json"
    lines = [
        "bench.note(speed=3)",
        "import json",
        "end = time.monotonic() + 20",
        f"file = Path({str(file)!r})",
        "while time.monotonic() < end:",
        "    row = json.loads(file.read_text())['parts'].get('long', {})",
        "    if row.get('speed') == 3: return {'seen': row}",
        "    time.sleep(0.02)",
    ]
    row = measurement(tmp_path, {"long": lines}).run("long", PART)
    assert row["seen"]["running"]
    assert "running" not in written(tmp_path)["parts"]["long"]


def test_what_cannot_be_captured_is_measured_without_graphs_in_another_process(tmp_path):
    lines = ["if bench.graphs: raise RuntimeError('stream is capturing')", "return {'process': os.getpid()}"]
    whole = measurement(tmp_path, {"first": lines, "second": ["return {}"]})
    row = whole.run("first", PART)
    assert "stream is capturing" in row["with_graphs"]["error"]
    assert row["graphs"] is False
    assert row["process"]
    assert "error" not in row
    assert whole.run("second", PART)["graphs"] is True


def test_a_fallback_that_works_is_kept_to(tmp_path):
    lines = ["if bench.graphs: raise RuntimeError('no conditional node')", "return {'fallback_works': True}"]
    whole = measurement(tmp_path, {"parity": lines, "next": ["return {}"]})
    whole.run("parity", PART)
    row = whole.run("next", PART)
    assert row["graphs"]
    assert not row["conditional"]


def test_a_second_call_adds_and_otherwise_it_begins_anew(tmp_path):
    bodies = {"first": ["return {'speed': 3}"], "second": ["return {'speed': 4}"]}
    measurement(tmp_path, bodies).run("first", PART)
    before = written(tmp_path)["seconds"]
    measurement(tmp_path, bodies, add=True).run("second", PART)
    assert list(written(tmp_path)["parts"]) == ["first", "second"]
    assert written(tmp_path)["seconds"] > before
    measurement(tmp_path, bodies).run("second", PART)
    assert list(written(tmp_path)["parts"]) == ["second"]


def test_without_a_gpu_it_says_so_at_once(tmp_path):
    asked = [sys.executable, "-m", "bench.gpu", str(tmp_path), "--only", "pearl"]
    ended = subprocess.run(
        asked, cwd=ROOT, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "there is no GPU here; --rehearse runs it on the processors" in ended.stderr


def test_a_part_ends_by_itself_when_nobody_ends_it(tmp_path):
    code = STUB + "    time.sleep(600)\nbench.end_in_time(grace=0.1)\nbench.run(part)"
    asked = [sys.executable, "-c", code, str(tmp_path / "part.json"), str(time.monotonic() + 1)]
    assert subprocess.run(asked, cwd=ROOT, timeout=60, check=False).returncode == 0


def test_the_order_is_that_of_what_matters():
    names = list(chosen([]))
    kinds = list(dict.fromkeys(" ".join(name.split()[:2]) if "engine" in name else name.split()[0] for name in names))
    assert kinds == [
        "smoke",
        "engine half-cheetah",
        "engine ant",
        "trials",
        "pearl",
        "engine walker2d",
        "engine hopper",
        "engine humanoid",
        "profile engine",
        "profile",
        "cpu",
        "collectors",
        "learners",
        "ml10",
    ]


def test_a_race_runs_only_by_its_name():
    assert list(chosen(["pearl"])) == ["smoke pearl step", "pearl", "pearl on the CPU"]
    assert not any(name.startswith("race") for words in ([], ["rl2"], ["half-cheetah"]) for name in chosen(words))
    assert list(chosen(["race rl2"])) == ["race rl2 half-cheetah-velocity"]
    assert len(chosen(["race"])) == len(gpu_bench.RACES)
    assert list(chosen([], rehearse=True)) == list(parts())


def test_every_part_can_be_loaded():
    assert all(callable(loaded(part.call)) for part in parts().values())


def test_the_parent_loads_nothing_that_touches_a_device():
    code = "import sys, bench.gpu; print([name for name in ('torch', 'warp', 'robometa') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_it_loads_nothing_that_a_machine_with_a_gpu_need_not_have():
    """Rivals, pictures and boards are for other commands."""
    spared = ["matplotlib", "stable_baselines3", "envpool", "metaworld", "tensorboard", "tyro", "jinja2"]
    spared += ["imageio", "PIL"]
    modules = "bench.gpu, bench.gpu_parts, bench.gpu_smoke, bench.gpu_profile, bench.gpu_scaling, bench.gpu_races"
    code = f"import sys, {modules}; print([name for name in {spared} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_is_asked_for_is_a_whole_word():
    assert list(chosen(["cpu scaling 1"])) == ["cpu scaling 1"]
    assert list(chosen(["cpu scaling"])) == [f"cpu scaling {count}" for count in (16, 8, 4, 2, 1)]


def test_a_rehearsal_in_which_a_part_fails_fails(tmp_path, monkeypatch):
    found = {"first": {"speed": 3}, "second": {"error": "no such kernel"}, "third": {"cut_off": "after 1 s"}}
    monkeypatch.setattr(gpu, "chosen", lambda words, rehearse: dict.fromkeys(found, PART))
    monkeypatch.setattr(Measurement, "run", lambda self, name, part, seconds: found[name])
    with pytest.raises(SystemExit, match="second, third"):
        gpu.main([str(tmp_path), "--rehearse"])
    gpu.main([str(tmp_path), "--minutes", "1"])


def test_long_lists_are_printed_short():
    assert shortened({"curve": list(range(100))}) == {"curve": [0, 1, 2, "...", 99]}
    assert shortened("x" * 1000) == "..." + "x" * 500


def test_sizes_that_no_time_is_left_for_are_dropped_after_the_one_that_matters_most(bench, monkeypatch):
    def speed(bench, suite, worlds, copied):
        bench.until = time.monotonic() + 0.5
        return {"worlds": worlds, "env_steps_per_second": 10}

    monkeypatch.setattr(gpu_parts, "warp_speed", speed)
    monkeypatch.setattr(gpu_parts, "cpu_speed", lambda bench, suite: {"env_steps_per_second": 5})
    bench.run(lambda bench: gpu_parts.engine_part(bench, "half-cheetah"))
    assert bench.row["best"] == 10
    assert bench.row["times_cpu"] == 2.0
    assert bench.row["left_out"] == [4]


def test_kernels_are_told_by_phase_and_by_whose_they_are():
    physics, product = "solve_1a2b_cuda_kernel_forward", "void at::native::gemm"
    events = [
        Event("bench: sampling", 0, 1000, False),
        Event("bench: update", 1000, 3000, False),
        Event("bench: update", 1000, 3000, True),  # its shadow on the device is no work
        Event("cudaDeviceSynchronize", 600, 1000, False),
        Event(physics, 100, 500, True),
        Event(product, 400, 700, True),
        Event(product, 1100, 1300, True),
        Event("Memcpy DtoH", 1400, 1500, True),
    ]
    found = gpu_profile.table(events, ("sampling", "update"))
    sampling, update = found["phases"].values()
    assert sampling["device_busy_share"] == 0.6  # overlapping kernels count once
    assert sampling["host_seconds"] == 0.0  # 600 ns
    assert (sampling["kernels"], update["kernels"]) == (2, 2)
    assert set(sampling["device_seconds"]) == {"physics", "torch"}
    assert set(update["device_seconds"]) == {"torch", "memory"}
    assert [(row["name"], row["count"]) for row in found["longest_kernels"]][:2] == [(product, 2), (physics, 1)]
    assert "seen" not in found
    assert "no kernel of the physics" in gpu_profile.table(events[:4] + events[5:], ("update",))["seen"]


def test_a_profiler_that_fails_is_told(bench, monkeypatch):
    def broken(**options):
        raise RuntimeError("no such tracer")

    monkeypatch.setattr(gpu_profile, "profile", broken)
    assert "no such tracer" in gpu_profile.profiled(bench, lambda: None, ())["profiler_error"]


def test_differences_are_relative_where_numbers_are_large():
    found = gpu_smoke._apart(torch.tensor([1000.0, 0.0]), torch.tensor([1001.0, 0.1]))
    assert found["absolute"] == 1.0
    assert 0.09 < found["relative"] < 0.1


def logged(folder, returns, threads, **timing):
    """A training whose log says these returns after its only adaptation."""
    folder.mkdir(parents=True)
    hardware = Hardware(threads=threads, torch_threads=1)
    config = RunConfig("suite", "0" * 64, "rl2", None, "gru", {"iterations": len(returns)}, 0, hardware, 5.0)
    RunFolder(folder).configure(config)
    rows = [{"iteration": number, "return_0": -99.0, "return_1": value} for number, value in enumerate(returns)]
    times = [{"iteration": number, "sampling": 2.0, "update": 1.0, **timing} for number in range(len(returns))]
    for name, lines in (("metrics.jsonl", rows), ("timings.jsonl", times)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("threads", "timing", "seconds"), [(1, {"processor": 2.5}, 2.5), (2, {"processor": 5.0}, 3.0), (1, {}, 3.0)]
)
def test_a_race_is_to_the_end_of_the_published_training(tmp_path, monkeypatch, threads, timing, seconds):
    monkeypatch.setattr(gpu_races, "POLICIES", tmp_path)
    logged(tmp_path / "suite-rl2" / "training", [-50.0] * 10 + [-20.0] * 20 + [-30.0, -10.0] * 5, threads, **timing)
    options, told = gpu_races.published("suite", "rl2")
    # the mean of ten stands at -20 after twenty iterations, as it does at the end
    assert told == {"target": -20.0, "cpu_seconds": round(20 * seconds), "cpu_threads": threads}
    assert options == {"iterations": 40}


def test_the_races_have_published_trainings_to_run_against():
    for suite, learner in gpu_bench.RACES:
        options, told = gpu_races.published(suite, learner)
        assert told["cpu_seconds"] > 60
        assert options["iterations"] > 10


def test_a_race_ends_when_the_mean_of_the_newest_is_there(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_races, "POLICIES", tmp_path)
    logged(tmp_path / "point-robot-no-adaptation" / "training", [-20.0] * 12, 1)
    seen = []

    def iteration(bench, engine, learner, number):
        seen.append(number)
        return {"return_last": -25.0 if number < 10 else -15.0, "update_seconds": 0.5}

    monkeypatch.setattr(gpu_races, "iteration", iteration)
    found = gpu_races.race_part(bench, "point-robot", "no-adaptation", on="cpu")
    assert seen == list(range(15))  # five of either: the mean is at -20
    assert found["iterations"] == 15
    assert found["update_seconds"] == 7.5
    assert found["seconds_to_target"] is not None
    assert bench.row["of_iterations"] == 24


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only the work of a test lets pass."""
    now = [0.0]
    monkeypatch.setattr(gpu_graphs, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def test_updates_by_graphs_take_turns_with_plain_ones(bench, clock, monkeypatch):
    seen = []
    monkeypatch.setattr(cuda_graphs, "CAPTURE_GRAPHS", True)

    class Updates:
        def __init__(self, name, seconds):
            self.name, self.seconds = name, seconds

        def update(self, trial):
            clock[0] += self.seconds * (10 if (self.name, True) not in seen and (self.name, False) not in seen else 1)
            seen.append((self.name, cuda_graphs.CAPTURE_GRAPHS))

    found = gpu_graphs.update_speeds(bench, Updates("graph", 0.1), Updates("plain", 0.2), None)
    assert found == {"update_by_graph": 0.1, "update_plain": 0.2, "update_times": 2.0}
    assert seen == [("graph", True), ("plain", False)] * (SMALL.rounds + 1)
    assert bench.row["update_plain_seconds"] == [0.2] * SMALL.rounds
    assert cuda_graphs.CAPTURE_GRAPHS


def test_it_is_told_which_steps_are_in_a_graph(tmp_path):
    steps = cuda_graphs.CapturedSteps(lambda: torch.zeros(1), list, 1, torch.device("cpu"))
    learner = SimpleNamespace(captured=steps, other=3)
    assert gpu_graphs.in_graph(learner) == {"captured": False}
    steps._launch = lambda: None
    assert gpu_graphs.in_graph(learner) == {"captured": True}
    assert gpu_graphs.in_graph(SimpleNamespace(captured=None, steps=SimpleNamespace(captured=steps))) == {
        "captured": True
    }


@pytest.mark.slow
def test_collectors_are_compared_by_the_seconds_of_the_same_batches(bench, monkeypatch):
    monkeypatch.setattr(gpu_scaling, "COLLECTED", (("point-robot", "rl2"),))
    gpu_scaling.collectors_part(bench, 1)
    row = bench.row["rl2 on point-robot"]
    assert row["steps"] == 2 * 2 * 2 * 3  # tasks, worlds, episodes, horizon
    assert all(seconds > 0 for seconds in row["seconds"].values())
    assert row["times_here"] == pytest.approx(row["seconds"]["here"] / row["seconds"]["processes"], rel=0.2)


def test_a_part_finds_packages_where_this_process_was_told_to_look(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    one = measurement(tmp_path, {"part": ["return {'places': sys.path}"]})
    assert {str(tmp_path / "site"), str(ROOT)} <= set(one.run("part", PART)["places"])

"""Several seeds at a time: the same bytes as one by one, one that fails stops no other, and nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY_SUITE

from robometa.commands.main import main
from robometa.commands.seeds_jobs import Job, Jobs
from robometa.commands.seeds_screen import Screen
from robometa.storage.open_folder import opened
from robometa.training.run_list import described
from robometa.training.train import resume, train

OPTIONS = {"tasks": 2, "worlds": 2, "hidden": (8,)}
WORDS = ["--tasks", "2", "--worlds", "2", "--hidden", "8"]
FOR_LONG = ["--iterations", "1000000"]


@pytest.fixture
def suite_file(tmp_path, monkeypatch):
    """The file of the tiny suite, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    return "tiny.toml"


def written(folder):
    return [(Path(folder) / name).read_bytes() for name in ("metrics.jsonl", "policy/tensors.safetensors")]


def started(*words):
    """The command in a process of its own."""
    command = [sys.executable, "-P", "-m", "robometa", "train", "tiny.toml", "maml-trpo", *WORDS, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(happened, seconds=120):
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.05)
    assert happened()


def trains(folder):
    """True if a run has finished two iterations."""
    metrics = Path(folder) / "metrics.jsonl"
    return metrics.is_file() and metrics.read_bytes().count(b"\n") >= 2


@pytest.mark.slow
def test_seeds_come_out_as_one_by_one_and_one_that_fails_stops_no_other(suite_file, capsys):
    Path("runs/tiny-maml-trpo-1").mkdir(parents=True)
    words = ["train", suite_file, "maml-trpo", "--seeds", "1", "2", "--jobs", "1", "--iterations", "2", *WORDS]
    assert main(words) == 2
    shown = capsys.readouterr()
    assert "2 seeds, 1 at a time" in shown.out
    assert "seed 1: error: runs/tiny-maml-trpo-1 exists already" in shown.out
    assert "seed 2: iteration 2/2" in shown.out
    assert "seed 1 failed with exit code 2" in shown.err
    options = OPTIONS | {"iterations": 2}
    train(suite_file, "maml-trpo", options=options, seed=2, torch_threads=1, folder="alone", loggers=())
    assert written("runs/tiny-maml-trpo-2") == written("alone")


@pytest.mark.slow
def test_ctrl_c_stops_all_saves_them_and_prints_how_to_go_on(suite_file):
    process = started("--seeds", "0", "1", "--jobs", "1", "--folder", "mine", *FOR_LONG)
    wait_for(lambda: trains("mine-0"))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "seed 0: stopping after this iteration" in said
    assert "go on with: robometa resume mine-0" in said
    assert "not begun: robometa train tiny.toml maml-trpo" in said
    assert not Path("mine-1").exists()
    run = described(Path("mine-0"))
    assert run.state == "stopped"
    resume("mine-0", iterations=run.iterations)
    assert described(Path("mine-0")).state == "done"


def test_nothing_outlives_a_parent_that_is_killed(suite_file):
    process = started("--seeds", "0", *FOR_LONG)
    folder = Path("runs/tiny-maml-trpo-0")
    wait_for(lambda: trains(folder))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)

    def is_free():
        with opened(folder) as held:
            return held.lock_at_once() is not False

    wait_for(is_free, 10)


def test_a_run_that_ended_by_its_ctrl_c_has_stopped():
    job = Job(0, Path("mine"))
    jobs = Jobs([job], [[0]], Screen([job]))
    jobs._running[1] = job, SimpleNamespace(share=[0], wait=lambda: -signal.SIGINT)
    jobs._ended(1, *jobs._running[1])
    assert (job.state, job.code) == ("stopped", 130)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "2"], "--jobs needs --seeds"),
        (["--seeds", "1", "1"], "--seeds must differ, not 1 1"),
        (["--seeds", "1", "2", "--seed", "3"], "both --seed and --seeds"),
        (["--seeds", "1", "2", "--learning-rat", "1"], "unknown option '--learning-rat'"),
    ],
)
def test_a_mistake_is_told_once_before_anything_is_started(suite_file, words, message, capsys):
    assert main(["train", suite_file, "rl2", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("error") == 1
    assert not Path("runs").exists()

"""Collection by processes: the same bytes as here, whatever happens to them, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import OFFLINE, SMALL_OPTIONS

import robometa
from robometa import registry
from robometa.errors import TrainingError, UserError
from robometa.registry import user_file
from robometa.training.train import resume, train
from robometa.trials.collectors.choose import collector_for
from robometa.trials.collectors.processes import Processes
from robometa.trials.workers import patience, pool

SUITE = "half-cheetah-velocity"


def options(name, **more):
    """A quick training of several pieces."""
    small = {key: value for key, value in SMALL_OPTIONS[name].items() if key != "decay_end"}
    return small | {"iterations": 2, "tasks": 6, "worlds": 2, **more}


def trained(folder, name, suite=SUITE, collect="here", **more):
    """The bytes of a policy."""
    train(suite, name, options=options(name, **more), folder=folder, collect=collect, piece=2, threads=1)
    return content(folder)


def content(folder):
    return (folder / "policy/tensors.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


def children(parent):
    """Processes that a process has begun."""
    found = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(one) for one in found.read_text().split()] if found.exists() else []


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts processes in /proc")


ONE_OF_EACH_KIND = ("rl2", "maml-trpo", "pearl", "grbal")
COLLECTING = sorted({*registry.LEARNERS} - {"random", *OFFLINE})
"""Learners that learn from what they collect."""


@pytest.mark.parametrize(
    "name", ["rl2", *(pytest.param(name, marks=pytest.mark.slow) for name in ONE_OF_EACH_KIND[1:])]
)
def test_two_processes_train_to_the_same_bytes(name, tiny_suite, tmp_path):
    here = trained(tmp_path / "here", name, tiny_suite)
    assert trained(tmp_path / "two", name, tiny_suite, collect="processes:2") == here


@pytest.mark.slow
@pytest.mark.parametrize("name", COLLECTING)
def test_every_learner_trains_to_the_same_bytes_over_one_two_or_three_processes(name, tmp_path):
    here = trained(tmp_path / "here", name)
    for count in (1, 2, 3):
        assert trained(tmp_path / str(count), name, collect=f"processes:{count}") == here


@pytest.mark.slow
@pytest.mark.parametrize("name", COLLECTING)
def test_a_run_goes_on_with_another_number_of_processes_to_the_same_bytes(name, tiny_suite, tmp_path):
    whole = trained(tmp_path / "whole", name, tiny_suite, iterations=3)
    train(
        tiny_suite, name, options=options(name, iterations=1), folder=tmp_path / "part", piece=2, collect="processes:2",
    )  # fmt: skip
    resume(tmp_path / "part", iterations=3, collect="processes:3")
    assert content(tmp_path / "part") == whole


@pytest.fixture
def lost_once(monkeypatch):
    """Sends a process a signal while it computes."""

    def arm(what):
        order, done = pool.Worker.order, []

        def sabotaged(worker, given):
            order(worker, given)
            if worker.ready and not done:
                done.append(worker.process.pid)
                os.kill(worker.process.pid, what)

        monkeypatch.setattr(pool.Worker, "order", sabotaged)
        return done

    return arm


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced_and_its_tasks_are_done_again(tiny_suite, tmp_path, lost_once, capfd):
    here = trained(tmp_path / "here", "rl2", tiny_suite)
    killed = lost_once(signal.SIGKILL)
    assert trained(tmp_path / "two", "rl2", tiny_suite, collect="processes:2") == here
    assert killed
    assert "a worker process ended by signal 9: another does its tasks again" in capfd.readouterr().out


@pytest.mark.slow
def test_a_process_that_hangs_is_replaced(tiny_suite, tmp_path, lost_once, monkeypatch, capfd):
    here = trained(tmp_path / "here", "rl2", tiny_suite)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 10.0)
    stopped = lost_once(signal.SIGSTOP)
    assert trained(tmp_path / "two", "rl2", tiny_suite, collect="processes:2") == here
    assert not Path(f"/proc/{stopped[0]}").exists()
    assert "did not answer for" in capfd.readouterr().out


def test_processes_that_always_die_end_the_training_with_a_sentence(tiny_suite, tmp_path, monkeypatch):
    order = pool.Worker.order
    monkeypatch.setattr(pool.Worker, "order", lambda worker, given: (worker.process.kill(), order(worker, given)))
    with pytest.raises(TrainingError, match="4 processes in a row were lost over the same tasks"):
        trained(tmp_path / "run", "rl2", tiny_suite, collect="processes:1")


@pytest.mark.slow
@needs_proc
def test_nothing_is_left_of_a_training_that_ended(tiny_suite, tmp_path):
    before = children(os.getpid()), len([*Path("/proc/self/fd").iterdir()])
    trained(tmp_path / "run", "random", tiny_suite, collect="processes:2")
    assert (children(os.getpid()), len([*Path("/proc/self/fd").iterdir()])) == before


@needs_proc
@pytest.mark.parametrize(
    "what", [signal.SIGKILL, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGTERM, signal.SIGINT))]
)
def test_no_process_outlives_its_parent(what, tmp_path):
    package = str(Path(robometa.__file__).parents[1])
    command = [sys.executable, "-m", "robometa", "train", SUITE, "rl2", "--collect", "processes:2"]
    command += ["--tasks", "8", "--iterations", "1000", "--folder", str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": package}
    parent = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers = []
    try:
        while len(workers) < 2:
            assert parent.poll() is None
            time.sleep(0.05)
            workers = children(parent.pid)
        parent.send_signal(what)
        parent.wait(120)
        until = time.monotonic() + 30
        while any(Path(f"/proc/{pid}/cmdline").exists() and _alive(pid) for pid in workers):
            assert time.monotonic() < until, "a process outlives its parent"
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()


def _alive(pid):
    """True unless the process is gone, or dead and only not yet waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_error_of_the_learner_reaches_the_user_as_it_is(tiny_suite, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from robometa.learners.random import Config, Random\n"
        "PRESETS = {'mine': Config()}\n\n\n"
        "class Mine(Random):\n"
        "    def act(self, adaptation, step, noise):\n"
        "        raise ZeroDivisionError('in my learner')\n"
    )
    with pytest.raises(ZeroDivisionError, match="in my learner") as raised:
        train(tiny_suite, f"{mine}:Mine", options={"iterations": 2, "tasks": 2}, folder=tmp_path / "run",
              collect="processes:1")  # fmt: skip
    assert 'mine.py", line 7, in act' in raised.value.__notes__[0]
    assert f"{mine}, line 7, in act" in user_file.blame(raised.value)


@pytest.mark.parametrize("who", ["there", "processes:", "processes:0", "processes:-1", "processes:1025", "here:1", ""])
def test_a_wrong_word_for_who_collects_is_refused_before_anything_is_written(who, tiny_suite, tmp_path):
    with pytest.raises(UserError, match="collect"):
        trained(tmp_path / "run", "random", tiny_suite, collect=who)
    assert not (tmp_path / "run").exists()


def test_processes_are_refused_on_a_gpu(tiny_suite):
    class Gpu:
        device, engine = "cuda", "cpu"

    class Job:
        hardware = Gpu()

    with pytest.raises(UserError, match="needs --device cpu and --engine cpu"):
        Processes(Job(), None, 2)
    with pytest.raises(UserError, match="needs --device cpu"):
        collector_for(Job(), None, "processes")

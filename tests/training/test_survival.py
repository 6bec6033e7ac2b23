"""What a training survives: a full disk, a kill at any moment, a second Ctrl-C, two processes in one folder."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import SMALL_OPTIONS
from test_train import NEVER, assert_same_run, at_iteration, trained

from robometa.commands.main import main
from robometa.errors import FolderGoneError, Stopped, TrainingError, UserError
from robometa.reports import entries
from robometa.storage import atomic, sealed_folder
from robometa.storage.json_lines import Lines
from robometa.training import loop, records
from robometa.training.load import newest
from robometa.training.run_folder import RunFolder
from robometa.training.train import resume
from torture import crashes
from torture.trainings import Child


def full(monkeypatch, where):
    """A disk that does not take files below folders or files of such a name."""
    write = atomic.write

    def refused(folder, name, content):
        if any(part.startswith(where) for part in folder.path.parts):
            (folder.path / name).write_bytes(bytes(content)[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(folder, name, content)

    monkeypatch.setattr(atomic, "write", refused)


def test_a_checkpoint_that_the_disk_does_not_take_is_told_and_training_goes_on(
    tiny_file, tmp_path, monkeypatch, capsys, straight
):
    whole, short = straight("pearl"), tmp_path / "short"
    with monkeypatch.context() as patched:
        full(patched, ".0000002.")
        trained(tiny_file, "pearl", short, checkpoint_minutes=0.0)
    printed = capsys.readouterr().out
    assert (
        "iteration 2: no checkpoint could be written (No space left on device); the newest is of iteration 1"
        in " ".join(printed.split())
    )
    assert [path.name for path in sorted((short / "checkpoints").iterdir())] == ["0000003", "0000004"]
    assert_same_run(whole, short)


def test_a_run_that_is_stopped_on_a_full_disk_says_what_is_saved(tiny_file, tmp_path, monkeypatch, straight):
    whole, short = straight("maml-trpo"), tmp_path / "short"
    with monkeypatch.context() as patched:
        full(patched, ".0000003.")
        at_iteration(patched, 2, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Stopped, match="after 3 of 4 iterations, 2 of them saved"):
            trained(tiny_file, "maml-trpo", short, checkpoint_minutes=0.0)
    resume(short)
    assert_same_run(whole, short)


def test_a_policy_that_the_disk_does_not_take_is_told_and_written_by_a_resume(
    tiny_file, tmp_path, monkeypatch, capsys, straight
):
    monkeypatch.chdir(tmp_path)
    whole = straight("maml-trpo")
    words = ["train", str(tiny_file), "maml-trpo", "--folder", "short"]
    for name, value in SMALL_OPTIONS["maml-trpo"].items():
        words += [f"--{name}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    capsys.readouterr()
    with monkeypatch.context() as patched:
        full(patched, ".policy.")
        assert main(words) == 1
    told = capsys.readouterr().err
    assert "the policy could not be written to short (No space left on device)" in told
    assert "robometa resume short" in told
    assert not [path for path in Path("short").iterdir() if "policy" in path.name]
    assert not list(tmp_path.glob("robometa-bug*"))
    assert main(["resume", "short"]) == 0
    assert_same_run(whole, Path("short"))


def test_lines_that_the_disk_does_not_take_for_a_while_are_all_there_in_the_end(
    tiny_file, tmp_path, monkeypatch, capsys, straight
):
    whole, short = straight("maml-trpo"), tmp_path / "short"
    write = Lines.write

    def refused(self):
        if self.path.name == "metrics.jsonl" and len(self._waiting) < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self)

    with monkeypatch.context() as patched:
        patched.setattr(Lines, "write", refused)
        patched.setattr(loop.Training, "_save_if_due", lambda self, stopping: None)
        at_iteration(patched, 2, lambda: patched.setattr(Lines, "write", write))
        trained(tiny_file, "maml-trpo", short)
    assert "metrics.jsonl cannot be written (No space left on device)" in capsys.readouterr().out
    assert (short / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_no_checkpoint_is_saved_without_the_lines_before_it(tiny_file, tmp_path, monkeypatch):
    write = Lines.write

    def refused(self):
        if self.path.name == "metrics.jsonl":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self)

    monkeypatch.setattr(Lines, "write", refused)
    with pytest.raises(TrainingError, match="the policy could not be written"):
        trained(tiny_file, "maml-trpo", tmp_path / "run", checkpoint_minutes=0.0)
    assert RunFolder(tmp_path / "run").newest_checkpoint() is None


def test_curves_that_the_disk_does_not_take_end_no_training(tiny_file, tmp_path, monkeypatch, capsys):
    from torch.utils.tensorboard import SummaryWriter

    def refused(self, *arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SummaryWriter, "add_scalar", refused)
    assert trained(tiny_file, "random", tmp_path / "run").is_dir()
    assert capsys.readouterr().out.count("no more curves for TensorBoard") == 1


def killed_at(count, function, half=None, calls=None):
    """The function, whose process group is killed at its `count`th call; `half` is done of it before."""
    calls = itertools.count(1) if calls is None else calls

    def call(*arguments, **words):
        if next(calls) == count:
            if half is not None:
                half(*arguments)
            os.killpg(os.getpgid(0), signal.SIGKILL)
        return function(*arguments, **words)

    return call


def half_a_line(lines):
    """The beginning of a line at the end of its file."""
    with lines.path.open("ab") as file:
        file.write(b'{"iteration": 1, "st')


def train_until_killed(kind, count, suite_file, folder):
    """A training that kills its process group at a call of the functions that write."""
    if kind == "line":
        Lines.write = killed_at(count, Lines.write, half_a_line)
    elif kind == "file":
        atomic.write = killed_at(count, atomic.write)
    elif kind == "rename":
        calls = itertools.count(1)
        os.rename, os.replace = (killed_at(count, function, calls=calls) for function in (os.rename, os.replace))
    trained(suite_file, "pearl", folder, checkpoint_minutes=0.0)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("file", 1),  # run.json: before there is a run
        ("line", 1),  # before the first checkpoint
        ("line", 3),
        ("file", 3),  # within the first checkpoint
        ("rename", 2),  # the run, then the first checkpoint
        ("rename", 3),
        ("file", 10),  # within the policy
        ("rename", 6),  # of the policy
    ],
)
@pytest.mark.sample(4)
def test_a_run_that_was_killed_is_resumed_to_the_same_bytes(tiny_file, tmp_path, straight, kind, count):
    whole, killed = straight("pearl"), tmp_path / "killed"
    child = Child(lambda: train_until_killed(kind, count, tiny_file, killed), tmp_path / "log")
    assert child.wait() == -signal.SIGKILL, child.said()
    assert not (killed / "policy").exists()
    if killed.exists():
        resume(killed)
    else:
        trained(tiny_file, "pearl", killed)
    assert_same_run(whole, killed)
    assert not [path for path in killed.rglob(".*") if path.name.endswith((".writing", ".old"))]


WAITING = """
import sys, time
from robometa.storage import atomic
from robometa.commands.main import main

write = atomic.write


def slowly(folder, name, content):
    if folder.path.name.startswith(".0000002."):
        print("saving", flush=True)
        time.sleep(60)
    return write(folder, name, content)


atomic.write = slowly
sys.exit(main(sys.argv[1:]))
"""


def test_a_second_ctrl_c_leaves_at_once_without_damage(tiny_file, tmp_path, straight):
    whole, stopped = straight("random", iterations=3), tmp_path / "stopped"
    options = ["--iterations", "3", "--tasks", "2", "--worlds", "2", "--checkpoint-minutes", "0"]
    words = [sys.executable, "-c", WAITING, "train", str(tiny_file), "random", "--folder", str(stopped), *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "saving" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None  # it would save first
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["0000001"]
    resume(stopped)
    assert_same_run(whole, stopped)


def test_two_processes_do_not_train_in_one_folder(tiny_file, tmp_path, monkeypatch):
    def again():
        with pytest.raises(UserError, match="being trained in by another process"):
            resume(tmp_path / "run")

    at_iteration(monkeypatch, 0, again)
    trained(tiny_file, "random", tmp_path / "run", checkpoint_minutes=NEVER)
    resume(tmp_path / "run")


@pytest.mark.parametrize(("threads", "gpu"), [(1, None), (3, "another")])
def test_a_report_beside_the_policy_survives_a_resume_of_the_finished_run(
    tiny_file, tmp_path, monkeypatch, threads, gpu
):
    policy = trained(tiny_file, "maml-trpo", tmp_path / "run", threads=1)
    sealed_folder.put(policy, {"report.json": "{}"})
    monkeypatch.setattr(records, "_gpu", lambda device: gpu)
    resume(tmp_path / "run", threads=threads)
    assert sealed_folder.load(policy, "policy")[1]["files"].keys() >= {"report.json"}


def test_lost_lines_are_told(tiny_file, tmp_path, monkeypatch, capsys):
    at_iteration(monkeypatch, 2, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        trained(tiny_file, "maml-trpo", tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    resume(tmp_path / "run")
    assert "has lost the lines of 3 iterations before 3" in capsys.readouterr().err


def test_a_run_that_is_moved_away_stops_at_once_and_writes_nothing_into_the_next(tiny_file, tmp_path, monkeypatch):
    run, moved = tmp_path / "run", tmp_path / "moved"

    def move():
        run.rename(moved)
        run.mkdir()

    at_iteration(monkeypatch, 1, move)
    with pytest.raises(FolderGoneError, match="run was moved, deleted or replaced"):
        trained(tiny_file, "random", run, options={"iterations": 9}, checkpoint_minutes=0.0)
    assert not list(run.iterdir())
    assert len((moved / "metrics.jsonl").read_text().splitlines()) == 2


def test_a_run_that_is_deleted_stops_at_once(tiny_file, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    at_iteration(monkeypatch, 1, lambda: shutil.rmtree(run))
    words = ["train", str(tiny_file), "random", "--folder", str(run), "--iterations", "9", "--checkpoint-minutes", "0"]
    assert main(words) == 1
    assert "run was moved, deleted or replaced" in capsys.readouterr().err
    assert not run.exists()


def test_a_resume_follows_no_link_of_a_strangers_run(tiny_file, tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    trained(tiny_file, "random", run)
    (run / "checkpoints").rename(outside)
    for name in (".hidden.writing", "2024", ".thing.old"):
        (outside / name).mkdir()
    (run / "checkpoints").symlink_to(outside)
    before = sorted(path.name for path in outside.iterdir())
    with pytest.raises(UserError, match="checkpoints is a link"):
        resume(run)
    assert sorted(path.name for path in outside.iterdir()) == before


def test_a_policy_that_is_a_link_in_a_strangers_run_is_not_followed(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    run.mkdir()
    sealed_folder.save(outside, {"weight": torch.zeros(1)}, {"kind": "policy", "training": {"iterations": 1}})
    (run / "run.json").write_text("{}", encoding="utf-8")
    (run / "policy").symlink_to(outside)
    for look in (newest, entries.read):
        with pytest.raises(UserError, match="policy is a link"):
            look(run)


def test_a_run_whose_replacement_was_interrupted_is_found_again(tmp_path):
    """Killed between the two renames of `--overwrite`."""
    path = tmp_path / "run"
    for act in (lambda run: run.locked(), lambda run: run.created(crashes._config(1))):
        path.mkdir(exist_ok=True)
        (path / "run.json").write_text("{}", encoding="utf-8")
        path.rename(tmp_path / ".run.old")
        with pytest.raises(UserError, match=r"damaged|exists already"), act(RunFolder(path)):
            RunFolder(path).configuration()
        assert [one.name for one in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "output", ["/dev/full", *(pytest.param(one, marks=pytest.mark.slow) for one in ("a pipe that is closed", "closed"))]
)
def test_standard_output_that_fails_ends_no_training(tiny_file, tmp_path, output):
    run = tmp_path / "run"
    words = [sys.executable, "-m", "robometa", "train", str(tiny_file), "random", "--folder", str(run)]
    words += ["--iterations", "3", "--tasks", "2", "--worlds", "2"]
    if output == "a pipe that is closed":
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.close()
        told = process.communicate(timeout=100)[1]
        code = process.returncode
    else:
        line = 'exec "$@" >&-' if output == "closed" else 'exec "$@" > /dev/full'
        done = subprocess.run(["sh", "-c", line, "sh", *words], stderr=subprocess.PIPE, text=True, check=False)
        code, told = done.returncode, done.stderr
    assert (code, told) == (0, "")
    assert sealed_folder.load(run / "policy", "policy")
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3

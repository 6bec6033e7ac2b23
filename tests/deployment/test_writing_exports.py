"""Exports that are written at once, or killed while they are written: a folder is a whole one or none."""

import signal
import subprocess
import sys

import pytest

from robometa.deployment import export as exporting
from robometa.deployment.check_export import check_export
from robometa.storage import atomic
from robometa.suites import load

FILES = {"step.onnx": b"1" * 1000, "vectors.safetensors": b"2" * 1000, "contract.json": b"{}"}
KILLED = """
import os, signal, sys
from pathlib import Path
from robometa.deployment import export
from robometa.storage import atomic

write, count = atomic.write, 0
def killed(*given):
    global count
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*given)
atomic.write = killed
export._write(Path(sys.argv[1]), {"step.onnx": b"new", "contract.json": b"new"})
"""


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_fault_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    exporting._write(tmp_path / "export", FILES)
    write, written = atomic.write, []

    def fails(*given):
        written.append(given)
        if len(written) == 2:
            raise KeyboardInterrupt
        return write(*given)

    monkeypatch.setattr(atomic, "write", fails)
    with pytest.raises(KeyboardInterrupt):
        exporting._write(tmp_path / "export", dict.fromkeys(FILES, b"new"))
    assert content(tmp_path / "export") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_kill_while_writing_leaves_what_was_there_and_the_next_export_tidies_up(tmp_path):
    exporting._write(tmp_path / "export", FILES)
    done = subprocess.run([sys.executable, "-P", "-c", KILLED, str(tmp_path / "export")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert content(tmp_path / "export") == FILES
    assert len(list(tmp_path.iterdir())) == 2  # hidden, and no file of an export's folder
    exporting._write(tmp_path / "export", dict.fromkeys(FILES, b"new"))
    assert content(tmp_path / "export") == dict.fromkeys(FILES, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


@pytest.mark.slow
def test_two_exports_at_once_into_one_folder_leave_a_whole_one(straight, tmp_path):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    run = straight("rl2")
    command = [sys.executable, "-P", "-m", "robometa", "export", str(run), "--out", str(tmp_path / "export")]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [one.communicate(timeout=280)[0] for one in pair]
    assert [one.returncode for one in pair] == [0, 0], said
    assert check_export(tmp_path / "export", load(run.parent / "tiny.toml")).gap <= 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["export"]

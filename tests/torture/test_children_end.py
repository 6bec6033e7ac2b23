"""A torture that is ended leaves no process and no folder behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from torture import __main__ as torture

HOUSE = Path(__file__).parents[2]
PROGRAM = """
import os, sys, time
from pathlib import Path
from torture.trainings import Child
child = Child(lambda: time.sleep(60), Path(sys.argv[1]))
print(child.process, flush=True)
child.wait()
"""


def gone(process, seconds=20.0):
    """Tests if a process ends within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        if "\nState:\tZ" in Path(f"/proc/{process}/status").read_text(encoding="utf-8"):
            return True
        time.sleep(0.02)
    return False


def test_parts_run_side_by_side_and_their_figures_are_put_together(tmp_path, monkeypatch):
    begun = []

    def run(command, **_):
        begun.append(command)
        part, file = command[command.index("--only", command.index("--jobs")) + 1], command[-1]
        Path(file).write_text(json.dumps({part: {"failures": part == "races"}}), encoding="utf-8")
        return subprocess.CompletedProcess(command, int(part == "races"))

    monkeypatch.setattr(torture.subprocess, "run", run)
    path = tmp_path / "figures.json"
    words = ["--only", "links", "races", "--jobs", "2", "--short", "--json", str(path)]
    assert torture.main(words) == 1
    assert json.loads(path.read_text(encoding="utf-8")) == {"races": {"failures": True}, "links": {"failures": False}}
    assert all(torture.arguments(command[4:]).jobs == 1 for command in begun)


def test_every_part_has_an_estimate():
    assert {*torture.MINUTES} == {*torture.PARTS}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's kernel ends the copies")
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_copies_end_with_the_process_that_made_them(tmp_path, kind):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=HOUSE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(kind)
        parent.wait(20.0)
    assert gone(child)

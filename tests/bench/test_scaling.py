"""The model of an iteration's time, and the tables that the scaling measurement writes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

from bench import scaling_parts
from bench.held import held_to
from bench.report import BEGIN, END
from bench.scaling import PAGE, as_text, main, numbers_of_cores
from bench.scaling_model import Constants, check_table, far_table
from robometa.compute.parallel import for_each_task, processors
from robometa.trials.trial import torch_on

ONE = Constants(
    pieces=10,
    steps=1000,
    received=1_000_000,
    state=100,
    physics=0.006,
    policy=0.004,
    parts=4,
    write=1e-7,
    copy=2e-7,
    update={1: 5.0, 2: 3.0},
)


def test_an_iteration_is_trials_and_transfer_and_update():
    assert ONE.share(1) == 1
    assert ONE.share(4) == 0.3  # three of ten pieces
    assert ONE.iteration(1) == pytest.approx(10 + 0.3 + 5)
    assert ONE.iteration(2) == pytest.approx(5 + 0.05 + 0.2 + 3)
    assert ONE.update_on(4) == pytest.approx(1 + 4 / 4)
    assert ONE.update_on(1024) == ONE.update_on(4)  # there are no more parts
    assert ONE.share(1024) == ONE.share(10)  # nor more pieces


def test_calls_are_paid_by_every_process():
    called = Constants(**{**vars(ONE), "calls": 0.5})
    assert [called.sampling(cores) - ONE.sampling(cores) for cores in (1, 10)] == pytest.approx([0.5, 0.5])


def test_the_limit_is_where_the_update_takes_longer_than_the_trials():
    assert ONE.limit() == 10  # a piece is 1 s, the update 2 s; with five to nine cores one has two pieces
    assert Constants(**{**vars(ONE), "update": {1: 0.1}}).limit() == inf


def test_an_update_that_more_cores_slow_down_has_no_parallel_part():
    slower = Constants(**{**vars(ONE), "update": {1: 5.0, 2: 6.0}})
    assert slower.update_on(16) == 5.0


def test_an_update_uses_no_more_cores_than_it_has_parts():
    split = Constants(**{**vars(ONE), "parts": 2, "update": {1: 5.0, 16: 3.0}})  # 1 s serial, 4 s parallel on two
    assert [split.update_on(cores) for cores in (1, 2, 16, 1024)] == pytest.approx([5.0, 3.0, 3.0, 3.0])
    whole = Constants(**{**vars(ONE), "parts": 1, "update": {1: 5.0, 16: 4.0}})
    assert whole.update_on(16) == 5.0


def test_tables_say_what_was_measured_and_what_follows():
    assert check_table({"it": ONE}, {"it": {1: 15.3, 2: 16.5}})[1:] == [
        ["it", "1", "15.3", "15.3", "1.00"],
        ["it", "2", "8.25", "16.5", "0.50"],
    ]
    head, row = far_table({"it": ONE}, (16,))
    assert len(head) == len(row)
    assert row[:3] == ["it", "10", "10"]


def test_parts_of_an_update_are_counted_where_threads_take_them():
    def update():
        for _ in range(2):
            for_each_task(lambda one: one, range(3))
        for_each_task(lambda one: one, range(7))

    with torch_on(1):
        assert scaling_parts._parts_of(update) == 3
        assert scaling_parts._parts_of(lambda: for_each_task(lambda one: one, [1])) == 1
    assert scaling_parts._parts_of(lambda: None) == 0


def test_numbers_of_cores_double_up_to_the_last():
    assert [numbers_of_cores(most) for most in (1, 2, 6, 16)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16]]


ENDLESS = """\
import os, pathlib, runpy, sys
from bench.held import held_to
if __name__ == "__main__":
    held_to(1, runpy.run_path, sys.argv[1])
"""


def runs(pid):
    """True for a process that has not ended, whether or not its parent has noticed."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return False


def test_a_part_ends_with_the_process_that_started_it(tmp_path):
    part, mark = tmp_path / "part.py", tmp_path / "pid"
    part.write_text(f"import os\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\nwhile True: pass\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    parent = subprocess.Popen([sys.executable, "-P", "-c", ENDLESS, str(part)], env=environment)
    until = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    child = int(mark.read_text())
    parent.kill()
    parent.wait()
    while runs(child) and time.monotonic() < until:
        time.sleep(0.01)
    ended = not runs(child)
    if not ended:
        os.kill(child, signal.SIGKILL)
    assert ended


def test_a_part_runs_on_the_cores_that_it_is_held_to():
    before = processors()
    assert held_to(1, processors) == 1
    assert processors() == before


def test_tables_are_made_anew_of_a_record(tmp_path, capsys):
    constants = {name: value for name, value in vars(ONE).items() if name != "update"}
    record = {
        "machine": {"date": "today", "processor": "one", "cores": 2, "load": 0.1},
        "engines": {"1": {"ant": 1000.0}, "2": {"ant": 2000.0}},
        "worlds": {"2": {"64": 3000.0}},
        "constants": {"rl2": constants},
        "iterations": {"rl2": {"1": {"sampling": 10.0, "update": 5.0}, "2": {"sampling": 5.0, "update": 3.0}}},
    }
    file = tmp_path / "scaling.json"
    file.write_text(json.dumps(record))
    assert main(["--from", str(file)]) == 0
    assert capsys.readouterr().out.strip() == as_text(record)
    assert "| rl2     | 2     | 5         | 3         | 8            |" in as_text(record)


def test_the_page_has_a_place_for_the_tables():
    assert BEGIN in PAGE.read_text()
    assert END in PAGE.read_text()


@pytest.mark.parametrize("words", [["--write", "--quick"], ["--cores", "0"], ["--cores", "100000"]])
def test_orders_that_make_no_sense_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert "--" in capsys.readouterr().err

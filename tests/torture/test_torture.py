"""The torture's short form holds, and each of its parts notices what it is there to notice."""

import gc
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mujoco import rollout

from robometa.errors import UserError
from robometa.storage import atomic, sealed_folder
from torture import crashes, findings, flips, guard, loaders, operations, soak, trainings
from torture.findings import Findings, Settings
from torture.operations import CRASHED, Operations, watched

HOUSE = Path(__file__).parents[2]
LEAST = {
    "kills": {"kills": 2},
    "crashes": {"crashes": 100},
    "disk": {"full disks": 5},
    "races": {"races": 175, "merge and merge": 25},
    "links": {"links": 7},
    "flips": {"flips": 120, "noticed": 120},
    "divergence": {"injected": 300, "caught": 300, "injected into trainings": 5},
    "hostile": {"cases": 25, "answered with exit code 2": 25},
    "models": {"models": 1},  # both go on for some seconds, in which a busy machine does little
    "fuzz": {"inputs": 30},
    "children": {"commands": 2, "modules": 200},
    "markup": {"rounds": 1, "commands": 10},
    "soak": {"rounds": 4},
}
"""What the short form tries at the least."""


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """What the short form found, by part."""
    path = tmp_path_factory.mktemp("torture") / "reliability.json"
    words = [sys.executable, "-m", "torture", "--short", "--json", str(path), "--only", *LEAST]
    done = subprocess.run(words, cwd=HOUSE, capture_output=True, text=True, timeout=880, check=False)
    assert path.exists(), done.stdout + done.stderr
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_page_names_tests_that_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)`", (HOUSE / "docs" / "reliability.md").read_text(encoding="utf-8"))
    assert len(named) > 8
    assert not [name for name in named if not (HOUSE / name).is_file()]


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute of work, but machines may be busy
@pytest.mark.parametrize("part", LEAST)
def test_the_short_form_breaks_nothing(short, part):
    assert not short[part]["failed"], "\n".join(short[part]["failed"])
    for name, least in LEAST[part].items():
        assert short[part]["counts"][name] >= least, (name, short[part]["counts"])


def test_the_fuzzer_does_not_break_itself():
    nested = loaders.Choices(b"\x03\x82" * 4096).value()
    depth = 0
    while nested:
        nested, depth = nested[0], depth + 1
    assert depth == loaders.DEEPEST


def test_a_bit_that_nobody_looks_at_is_told(tmp_path):
    sealed_folder.save(tmp_path / "policy", {}, {"kind": "policy"}, {"README.md": "a card"})
    (tmp_path / "policy" / "unlisted.txt").write_text("nobody's")
    found, chance = Findings(), random.Random(0)
    for _ in range(60):
        flips._flip(tmp_path / "policy", lambda: sealed_folder.load(tmp_path / "policy", "policy"), chance, found)
    assert found.counts["flips"] == 60
    assert found.failures
    assert all("unlisted.txt was not noticed" in failure for failure in found.failures)
    assert (tmp_path / "policy" / "unlisted.txt").read_text() == "nobody's"


def test_a_crash_comes_at_the_change_that_was_asked_for(tmp_path):
    def write():
        with watched(Operations(at=2, torn=True, notes=tmp_path / "notes")):
            (tmp_path / "first").write_text("whole")
            (tmp_path / "second").write_text("never there")

    def write_torn():
        with watched(Operations(at=1, torn=True, notes=tmp_path / "notes")):
            (tmp_path / "third").write_text("abcdef")

    assert trainings.Child(write, tmp_path / "log").wait() == CRASHED
    assert (tmp_path / "first").read_text() == "whole"
    assert not (tmp_path / "second").exists()
    assert trainings.Child(write_torn, tmp_path / "log").wait() == CRASHED
    assert (tmp_path / "third").read_text() == "abc"
    notes = json.loads((tmp_path / "notes").read_text())
    assert notes["done"] == ["open third", "write third"]
    operations.lose_power(notes, undo_renames=True)
    assert (tmp_path / "third").read_text() == ""


def test_a_rename_that_was_not_flushed_can_be_lost(tmp_path):
    (tmp_path / "kept").write_text("old")

    def replace():
        with watched(Operations(notes=tmp_path / "notes")):
            (tmp_path / "new").write_text("new")
            (tmp_path / "new").rename(tmp_path / "kept")

    assert trainings.Child(replace, tmp_path / "log").wait() == 0
    notes = json.loads((tmp_path / "notes").read_text())
    assert notes["unflushed"] == {str(tmp_path / "kept"): 0}
    operations.lose_power(notes, undo_renames=True)
    assert (tmp_path / "kept").read_text() == "old"
    assert (tmp_path / "new").read_text() == ""


def test_what_was_flushed_before_more_was_appended_is_not_lost(tmp_path):
    changes, path = Operations(notes=tmp_path / "notes"), tmp_path / "table"

    def append():
        path.write_text("one\n")
        with watched(changes):
            for row in ("two\n", "three\n"):
                with path.open("a") as file:
                    file.write(row)
                    if row == "two\n":
                        os.fsync(file.fileno())

    assert trainings.Child(append, tmp_path / "log").wait() == 0
    notes = json.loads((tmp_path / "notes").read_text())
    assert notes["unflushed"] == {str(path): 8}
    operations.lose_power(notes, undo_renames=False)
    assert path.read_text() == "one\ntwo\n"


def test_a_file_that_was_emptied_and_not_flushed_is_lost(tmp_path):
    changes, path = Operations(notes=tmp_path / "notes"), tmp_path / "table"

    def rewrite():
        path.write_text("one\n")
        with watched(changes):
            path.write_text("two\n")

    assert trainings.Child(rewrite, tmp_path / "log").wait() == 0
    operations.lose_power(json.loads((tmp_path / "notes").read_text()), undo_renames=False)
    assert path.read_text() == ""


def test_a_child_does_not_wait_for_the_threads_of_its_parent(tmp_path):
    gc.disable()
    try:
        garbage = [rollout.Rollout(nthread=2)]
        garbage.append(garbage)
        del garbage
        assert trainings.Child(lambda: gc.collect() * 0, tmp_path / "log").wait(20.0) == 0
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_save_that_flushes_nothing_is_found_out(tmp_path, monkeypatch):
    def unflushed(folder, name, content):
        (folder.path / name).write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    monkeypatch.setattr(atomic, "write", unflushed)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    found = Findings()
    crashes._crash_everywhere(crashes.SCENES[1], tmp_path / "scene", found, short=False)
    assert any("disk flushed" in failure for failure in found.failures)
    assert not any("disk played" in failure for failure in found.failures)


@pytest.mark.slow
def test_a_save_in_place_is_found_out(tmp_path):
    def save(stage):
        (stage / "policy" / "tensors.safetensors").write_bytes(b"half of it")
        (stage / "policy" / "manifest.json").write_text("{}")

    scene = crashes.SCENES[1]
    broken = crashes.Scene(scene.name, scene.prepare, save, scene.fault)
    found = Findings()
    crashes._crash_everywhere(broken, tmp_path / "scene", found, short=False)
    assert any("UserError" in failure for failure in found.failures)


CANARY = """
import pickle, subprocess, sys
from pathlib import Path
from torture.guard import watch

class Payload:
    def __reduce__(self):
        return print, ("executed",)

DEEDS = {
    "pickle": lambda: pickle.loads(pickle.dumps(Payload())),
    "process": lambda: subprocess.run(["true"]),
    "write outside": lambda: Path("../outside").write_text("x"),
    "folder outside": lambda: Path("../folder").mkdir(),
    "program": lambda: exec(compile("1", sys.argv[2] + "/evil.py", "exec")),
    "text": lambda: exec("1"),
    "memory": lambda: bytearray(1 << 33),
    "nothing": lambda: Path("inside").write_text("x"),
}
try:
    watch(lambda: DEEDS[sys.argv[1]]() and 0, (Path(sys.argv[2]),), Path(sys.argv[2]).parent / "trace")
except MemoryError:
    print("no memory")
"""


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("pickle", "pickle.find_class"),
        ("process", "subprocess.Popen"),
        ("write outside", "open for writing"),
        ("folder outside", "os.mkdir"),
        ("program", "exec of"),
        ("text", "compile by"),
        ("memory", ""),
        ("nothing", ""),
    ],
)
def test_the_guard_notices(tmp_path, deed, told):
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CANARY, deed, str(work)], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    trace = (tmp_path / "trace").read_text()
    assert trace.startswith(told), (trace, done.stderr)
    assert bool(trace) == bool(told)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "folder").exists()
    assert (done.stdout.strip() == "no memory") == (deed == "memory"), done.stdout + done.stderr
    assert (work / "inside").exists() == (deed == "nothing")


def test_what_grows_in_a_soak_is_told():
    flat = [{"memory_mib": 300.0, "files": 8, "threads": 3} for _ in range(16)]
    found = Findings()
    soak.judge(flat, found)
    assert not found.failures
    for name, step in (("memory_mib", 1.0), ("files", 1), ("threads", 1)):
        growing = [entry | {name: entry[name] + step * index} for index, entry in enumerate(flat)]
        found = Findings()
        soak.judge(growing, found)
        assert len(found.failures) == 1
        assert found.failures[0].startswith(name)


def test_figures_are_kept_and_shown(tmp_path):
    results, page = tmp_path / "reliability.json", tmp_path / "page.md"
    found = Findings(counts={"flips": 1000, "noticed": 999})
    found.fail("bit 3 was not noticed")
    findings.write(results, {"flips": findings.described(found, Settings(tmp_path, seed=4), 0.0)})
    findings.write(results, {"kills": findings.described(Findings(), Settings(tmp_path, short=True), 0.0)})
    known = json.loads(results.read_text())
    assert known["flips"]["failed"] == ["bit 3 was not noticed"]
    assert known["flips"]["seed"] == 4
    page.write_text(f"before\n{findings.BEGIN}\nold\n{findings.END}\nafter\n")
    findings.show(results, page)
    shown = page.read_text()
    assert shown.startswith("before\n")
    assert shown.endswith("after\n")
    assert "old" not in shown
    assert "| flips | flips 1,000; noticed 999 | 1 |" in shown
    assert "| kills (short form) |" in shown


def test_the_guard_trusts_no_folder_of_a_strangers():
    assert not any(str(HOUSE / "torture").startswith(folder) for folder in guard._trusted())
    assert issubclass(UserError, Exception)

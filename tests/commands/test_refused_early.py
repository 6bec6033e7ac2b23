"""A wrong path, name or file is refused before torch is loaded, by every command."""

import json
import subprocess
import sys

from robometa.commands import main

PROGRAM = """
import json, sys
from robometa.commands import main
for words in json.load(sys.stdin):
    code = main.main(words)
    heavy = sorted({"torch", "mujoco", "matplotlib"} & {*sys.modules})
    if code != 2 or heavy:
        raise SystemExit(f"{words}: exit code {code}, {heavy} loaded")
"""
LONG = "a" * 240
"""Name that Linux takes, and that leaves no room for the hidden name of what is written aside."""
NO_POLICY = ("nowhere", "empty", "file")
COMMAND = [sys.executable, "-P", "-c", PROGRAM]
REFUSED = [
    ["train", "point-robot", "maml-trpo", "--folder", "empty"],
    ["train", "point-robot", "maml-trpo", "--folder", "file/run"],
    ["train", "point-robot", "maml-trpo", "--folder", "file", "--overwrite"],
    ["train", "none.toml", "maml-trpo"],
    ["train", "point-robot", "none.py:Mine"],
    *(["replay", name] for name in NO_POLICY),
    *(
        [command, name]
        for command in ("evaluate", "probe", "record", "play", "export", "page", "doctor", "distil")
        for name in NO_POLICY
    ),
    *([command, name] for command in ("resume", "verify", "check-export") for name in NO_POLICY),
    *(["runs", name] for name in ("nowhere", "file")),
    ["evaluate", "policy", "--suite", "none.toml"],
    ["evaluate", "policy", "--out", "file/report"],
    ["evaluate", "policy", "--learner", "none.py:Mine"],
    ["evaluate", "policy", "--reference", "nowhere", "policy"],
    ["probe", "policy", "--out", "file/probe"],
    ["probe", "policy", "--learner", "none.py:Mine"],
    ["record", "policy", "--out", "film.avi"],
    ["record", "policy", "--out", "nowhere/film.mp4"],
    ["record", "policy", "--out", "film.mp4"],
    ["record", "policy"],
    ["record", "policy", "--suite", "none.toml"],
    ["export", "policy", "--out", "policy"],
    ["export", "policy", "--out", "file"],
    ["export", "policy", "--learner", "none.py:Mine"],
    ["page", "policy", "--learner", "none.py:Mine"],
    ["page", "policy", "policy"],
    ["check-export", "export", "--suite", "none.toml"],
    ["distil", "policy", "--out", "empty"],
    ["distil", "policy", "--size", "0"],
    ["merge", "nowhere", "policy"],
    ["merge", "policy", "nowhere"],
    ["merge", "policy", "policy", "--out", "empty"],
    *([command, "nowhere"] for command in ("compare", "report", "export-table")),
    *([command, "policy", "--out", "page.pdf"] for command in ("compare", "report", "page")),
    *([command, "policy", "--out", "nowhere/page.html"] for command in ("compare", "report", "page")),
    ["export-table", "policy", "--out", "nowhere/table.csv"],
    ["suites", "none.toml"],
    *([command, "policy", "--out", LONG] for command in ("evaluate", "probe", "export", "distil", "export-table")),
    *([command, "policy", "--out", f"{LONG}.html"] for command in ("compare", "report", "page")),
    ["record", "policy", "--out", f"{LONG}.mp4"],
    ["search", "none.toml"],
    ["search", "point-robot", "none.py:Mine"],
    ["search", "point-robot", "rl2", "--folder", "empty"],
    ["search", "point-robot", "rl2", "--folder", "file/search"],
    *(["search", mode, name] for mode in ("--resume", "--show") for name in NO_POLICY),
    ["learners", "none.py:Mine"],
    ["collect", "none.toml", "policy", "--out", "data"],
    ["collect", "point-robot", "nowhere", "--out", "data"],
    *(["export-dataset", name, "--minari", "mine-v0"] for name in ("nowhere", "empty")),
    ["baseline", "scripted", "none.toml"],
    ["baseline", "sb3-ppo", "point-robot", "--out", "file/report"],
]
"""Words of command lines that name something wrong."""


def test_a_wrong_path_is_refused_before_torch_is_loaded(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("file", "videos"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    (tmp_path / "film.gif").mkdir()
    for folder, name in (("policy", "manifest.json"), ("export", "contract.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}", encoding="utf-8")
    given = json.dumps(REFUSED)
    done = subprocess.run(COMMAND, input=given, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == len(REFUSED)


def test_no_command_is_forgotten():
    modules = (module for group in main.GROUPS.values() for module in group)
    assert {words[0] for words in REFUSED} == {one.__name__.rpartition(".")[2].replace("_", "-") for one in modules}

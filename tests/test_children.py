"""Processes that the repository starts: none takes a module from the current folder."""

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robometa.commands.main import main
from robometa.compute import python_process
from robometa.video import gl_backends
from torture import children

ROOT = Path(__file__).parents[1]
STARTING = [path for room in ("robometa", "study", "bench", "torture") for path in sorted((ROOT / room).rglob("*.py"))]


def unsafe(source):
    """Lines that start Python with the current folder on its path."""
    found = []
    for node in ast.walk(ast.parse(source)):
        words = node.elts if isinstance(node, ast.List | ast.Tuple) else []
        for word, following in itertools.zip_longest(words, words[1:]):
            if ast.unparse(word) == "sys.executable":
                text = "" if following is None else ast.unparse(following)
                found += [] if text == "'-P'" else [node.lineno]
    return found


def test_every_python_is_started_with_a_safe_path():
    assert {str(path): lines for path in STARTING if (lines := unsafe(path.read_text(encoding="utf-8")))} == {}
    starting = [path for path in STARTING if "sys.executable" in path.read_text(encoding="utf-8")]
    assert len(starting) > 5
    assert [path.name for path in starting if ROOT / "robometa" in path.parents] == ["python_process.py"]
    assert unsafe("import sys\nrun([sys.executable, '-c', x])") == [2]


def test_what_a_command_starts_runs_nothing_of_the_current_folder(tmp_path):
    trap, canary = tmp_path / "trap", tmp_path / "ran"
    assert children.fill(trap, canary) > 200
    code, said = children.started(["doctor"], trap)
    assert code == 0, said
    assert not canary.exists()


def test_a_process_finds_the_package_where_this_one_has_it(tmp_path, monkeypatch):
    """As after `python -m robometa` in a checkout, which is found by the current folder alone."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = python_process.python("-c", "import robometa.errors as one; print(one.__file__)")
    done = subprocess.run(
        command, env=python_process.environment(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(ROOT / "robometa" / "errors.py"), done.stderr


def test_libraries_start_python_safely_too(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert gl_backends.environment("egl")["PYTHONSAFEPATH"] == "1"
    assert main(["learners"]) == 0
    assert os.environ["PYTHONSAFEPATH"] == "1"


@pytest.mark.parametrize(
    "name", ["x\udcff", "x" * 256, "/".join(["x" * 100] * 50), "x\0y"], ids=["bytes", "name", "path", "null"]
)
def test_an_impossible_folder_is_told_before_it_is_made(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["train", "point-robot", "random", "--folder", name],
        ["resume", name],
        ["verify", name],
        ["evaluate", name],
        ["evaluate", "policy", "--out", name],
        ["record", name],
        ["record", "policy", "--out", name],
        ["merge", name, name],
        ["merge", "policy", "policy", "--out", name],
        ["replay", name],
        ["baseline", "scripted", "ml1/reach-v3", "--out", name],
    ):
        assert main(words) == 2, words
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert len(said) < 400, said
    assert not list(tmp_path.iterdir())


def test_the_package_run_as_a_module_takes_no_library_from_the_current_folder(tmp_path):
    """What Python imports before it runs this package, such as `robometa` itself, is its own choice."""
    canary = tmp_path / "ran"
    for name in ("argparse", "json", "mujoco", "numpy", "rich", "safetensors", "tomllib", "torch"):
        (tmp_path / f"{name}.py").write_text(children.HOSTILE.format(canary=str(canary)))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "robometa", "learners"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not canary.exists()

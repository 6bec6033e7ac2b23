"""Commands to copy name the user's own files: of the learner, and of the objective."""

import json
from pathlib import Path

import pytest

from robometa.commands.next_steps import print_next_steps
from robometa.errors import UserError
from robometa.registry import user_file
from robometa.registry.given import REWARD, given
from robometa.search.places import SETTINGS, require_free
from robometa.training.new_run import replaces
from robometa.training.train import train
from robometa.video import gl_backends

FILES = " --learner '/my own/mine.py:Mine' --reward /own/mine.py:Paid"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working folder, after a command that was given `--reward`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(REWARD, "/own/mine.py:Paid")


def test_shipped_learners_need_no_option(monkeypatch):
    assert given("rl2", "/my own/mine.py:Mine") == FILES
    monkeypatch.delenv(REWARD)
    assert given("rl2") == given() == ""


def holding(name, **content):
    """A folder with a file that describes it."""
    folder = Path(name.partition(".")[0])
    folder.mkdir()
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_a_run_that_is_there_is_resumed_with_its_own_learner():
    run = holding("run.json", learner="/my own/mine.py:Mine")
    with pytest.raises(UserError, match=f"`robometa resume run{FILES}`, or choose"):
        replaces(run, overwrite=False)
    (run / "run.json").write_text("[", encoding="utf-8")
    with pytest.raises(UserError, match="`robometa resume run --reward /own/mine"):
        replaces(run, overwrite=False)


@pytest.mark.parametrize("other", [5, {}, "rl2"], ids=str)
def test_a_search_that_is_there_is_resumed_with_its_own_learners(other):
    search = holding(SETTINGS, learners=["/my own/mine.py:Mine", other])
    with pytest.raises(UserError, match=f"`robometa search --resume search{FILES}`, or choose"):
        require_free(search)
    for damaged in ("[", "[]", "{}", '{"learners": 5}'):
        (search / SETTINGS).write_text(damaged, encoding="utf-8")
        with pytest.raises(UserError, match="`robometa search --resume search --reward"):
            require_free(search)


def test_other_commands_name_them(monkeypatch, capsys):
    print_next_steps(Path("p"), "/my own/mine.py:Mine")
    assert capsys.readouterr().out.count(f" p{FILES}\n") == 2
    monkeypatch.setattr(gl_backends, "has_display", lambda: False)
    with pytest.raises(UserError, match=f"robometa record p{FILES}"):
        gl_backends.require_window(Path("p"), "/my own/mine.py:Mine")
    with pytest.raises(UserError, match=f"robometa resume r{FILES}"):
        user_file.of_run("/my own/mine.py:Mine", None, None, Path("r"), "resume")


def test_a_dataset_is_collected_on_the_suite_s_own_file(tiny_suite):
    with pytest.raises(UserError, match=f"robometa collect {tiny_suite.path} POLICY --out FOLDER --reward /own"):
        train(tiny_suite, "dpt")

"""Mistakes of ours: a bundle with what a bug report needs, and nothing that is nobody's business."""

import json
import zipfile
from pathlib import Path

import pytest
from test_train import trained

from robometa.commands import bug_report, exit_codes, resume, suites
from robometa.commands.exit_codes import AT_ONCE, BUG, EXIT_CODES, FAILURE, MISTAKE, STOPPED
from robometa.commands.main import main


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A home folder to work in, with a secret in the environment."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ACCESS_TOKEN", "a-secret-of-mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def broken(*arguments):
    here = "a-local-value"
    raise KeyError(f"nobody foresaw this at {Path.home()}{here[:0]}")


def bundle(folder):
    (path,) = folder.glob("robometa-bug-*.zip")
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name).decode() for name in opened.namelist()}


def test_a_mistake_of_ours_leaves_a_bundle_and_a_code_of_its_own(place, tiny_file, monkeypatch, capsys):
    trained(tiny_file, "random", Path("run"))
    monkeypatch.setattr(resume, "_run", broken)
    capsys.readouterr()
    assert main(["resume", "run", "--threads", "1"]) == BUG == 3
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "KeyError" in told[0]
    assert "robometa-bug-" in told[0]
    files = bundle(place)
    assert set(files) == {"traceback.txt", "report.json", "run.json"}
    assert "in broken" in files["traceback.txt"]
    report = json.loads(files["report.json"])
    assert report["command"] == ["robometa", "resume", "run", "--threads", "1"]
    assert report["versions"].keys() >= {"python", "robometa", "torch", "mujoco"}
    assert json.loads(files["run.json"])["learner"] == "random"
    whole = "\n".join(files.values())
    for private in ("a-secret-of-mine", "ACCESS_TOKEN", "a-local-value'", str(place)):
        assert private not in whole


def test_where_the_working_directory_takes_no_file_another_does(place, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(bug_report.tempfile, "gettempdir", lambda: str(other))
    monkeypatch.setattr(bug_report.Path, "cwd", lambda: place / "nowhere")
    assert bug_report.write_bundle(KeyError(), []).parent == other
    monkeypatch.setattr(bug_report.tempfile, "gettempdir", lambda: str(place / "nowhere"))
    with pytest.raises(OSError, match="can be written"):
        bug_report.write_bundle(KeyError(), [])


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError("no room")])
def test_what_the_machine_lacks_is_no_mistake_of_ours(place, monkeypatch, capsys, error):
    def lacking(*arguments):
        raise error

    monkeypatch.setattr(suites, "_run", lacking)
    assert main(["suites"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(place.glob("robometa-bug*"))


def test_the_help_says_the_exit_codes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    for code in (0, FAILURE, MISTAKE, exit_codes.BUG, STOPPED, AT_ONCE):
        assert f"\n  {code} " in printed
    assert " ".join(EXIT_CODES.split()) in " ".join(printed.split())


def test_a_stopped_training_has_a_code_of_its_own(place, tiny_file, monkeypatch, capsys):
    import signal

    from test_train import at_iteration

    at_iteration(monkeypatch, 0, lambda: signal.raise_signal(signal.SIGUSR1))
    words = ["train", str(tiny_file), "random", "--iterations", "3", "--folder", "run"]
    assert main(words) == 75
    assert "stopped by SIGUSR1 after 1 of 3 iterations, all saved; go on with: robometa resume run" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main(["resume", "run"]) == 0

"""Runs on the command line: budgets, overwriting, and the newest policy of a run."""

import itertools
import json
import signal
from pathlib import Path

import pytest
from conftest import SMALL_OPTIONS, TINY_SUITE

from robometa import suites
from robometa.commands.main import main
from robometa.registry.options import resolve
from robometa.storage import sealed_folder
from robometa.training.loggers.terminal import Terminal
from robometa.training.run_folder import RunFolder
from robometa.training.train import train

SMALL = ["--tasks", "2", "--worlds", "2"]


@pytest.fixture
def suite_file(tmp_path, monkeypatch):
    """The file of the tiny suite, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    return "tiny.toml"


def options_of(folder):
    return json.loads((Path(folder) / "run.json").read_text())["config"]


def test_a_budget_in_steps_is_rounded_up_to_iterations(suite_file, capsys):
    assert main(["train", suite_file, "random", "--steps", "1e2", *SMALL]) == 0
    assert "100 environment steps: 3 iterations of 40, 120 steps" in capsys.readouterr().out
    assert options_of("runs/tiny-random-0")["iterations"] == 3
    assert RunFolder(Path("runs/tiny-random-0")).rows("metrics.jsonl")[-1]["steps"] == 120
    policy = train(suite_file, "random", options={"tasks": 2, "worlds": 2}, steps=41, folder="again", loggers=())
    assert sealed_folder.load(policy, "policy")[1]["training"]["environment_steps"] == 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps must be a number from 1, not 0"),
        (["--steps", "100", "--iterations", "2"], "both steps and iterations are given"),
        (["--steps", "1e30"], "option iterations must be at most 1000000000"),
    ],
)
def test_an_impossible_budget_is_refused(suite_file, words, message, capsys):
    assert main(["train", suite_file, "random", *words]) == 2
    assert message in capsys.readouterr().err
    assert not Path("runs").exists()


def test_schedules_stay_the_same_share_of_the_run(suite_file, capsys):
    suite = suites.load(suite_file)

    def schedule(**options):
        chosen = resolve(suite, "pearl", options)
        return chosen.decay_begin, chosen.decay_end

    assert schedule() == (450, 600)
    assert schedule(iterations=45) == (34, 45)
    assert schedule(iterations=1200) == (900, 1200)
    assert schedule(iterations=45, decay_begin=0) == (0, 45)
    assert schedule(iterations=600) == (450, 600)
    assert resolve(suite, "rl2", {"iterations": 7}).decay_end == 0
    small = SMALL_OPTIONS["pearl"] | {"iterations": 2}
    words = [
        f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, tuple) else value}".split()
        for name, value in small.items()
        if not name.startswith("decay")
    ]
    assert main(["train", suite_file, "pearl", *itertools.chain(*words), "--folder", "shorter"]) == 0
    assert (options_of("shorter")["decay_begin"], options_of("shorter")["decay_end"]) == (2, 2)
    assert main(["resume", "shorter", "--iterations", "3"]) == 0
    assert (options_of("shorter")["decay_begin"], options_of("shorter")["decay_end"]) == (2, 2)


def test_a_run_is_overwritten_only_if_asked_and_nothing_else_is(suite_file, capsys):
    words = ["train", suite_file, "random", "--iterations", "1", *SMALL, "--folder", "run"]
    assert main(words) == 0
    Path("run/mine.txt").write_text("mine")
    assert main([*words, "--seed", "1"]) == 2
    assert "or replace it by --overwrite" in capsys.readouterr().err
    with RunFolder(Path("run")).locked():
        assert main([*words, "--overwrite"]) == 2
    assert "run is being trained in by another process" in capsys.readouterr().err
    assert main([*words, "--seed", "x", "--overwrite"]) == 2
    assert main([*words[:2], "rl2", *words[3:], "--learning-rate", "-1", "--overwrite"]) == 2
    assert Path("run/mine.txt").exists()
    capsys.readouterr()
    assert main([*words, "--seed", "1", "--overwrite"]) == 0
    assert json.loads(Path("run/run.json").read_text())["seed"] == 1
    assert not Path("run/mine.txt").exists()
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []
    Path("other").mkdir()
    Path("other/mine.txt").write_text("mine")
    Path("link").symlink_to("run")
    for folder in ("other", "link", "other/mine.txt"):
        assert main([*words[:-1], folder, "--overwrite"]) == 2
        assert f"{folder} is not the folder of a run: --overwrite replaces nothing else" in capsys.readouterr().err
    assert main([*words[:-1], "new", "--overwrite"]) == 0


def test_the_newest_of_a_run_is_evaluated_and_a_run_goes_by_its_name(suite_file, monkeypatch, capsys):
    log = Terminal.log

    def stopping(self, row):
        log(self, row)
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Terminal, "log", stopping)
        words = [
            "train",
            suite_file,
            "maml-trpo",
            "--iterations",
            "2",
            "--hidden",
            "8",
            *SMALL,
            "--folder",
            "runs/mine",
        ]
        assert main(words) == 75
    evaluate = ["evaluate", "mine", "--worlds", "2", "--shots", "1"]
    capsys.readouterr()
    assert main(evaluate) == 0
    shown = capsys.readouterr().out
    assert "runs/mine: its newest checkpoint, of 1 iterations" in shown
    assert Path("runs/evaluations/mine-iteration-1/report.json").is_file()
    assert json.loads(Path("runs/evaluations/mine-iteration-1/report.json").read_text())["learner"] == "maml-trpo"
    assert main(["resume", "mine"]) == 0
    capsys.readouterr()
    assert main(evaluate) == 0
    assert "runs/mine: its policy, of 2 iterations" in capsys.readouterr().out
    assert Path("runs/mine/policy/report.json").is_file()
    assert "held-out tasks, 2 episodes each" in Path("runs/mine/policy/README.md").read_text()
    assert main(["verify", "mine", "--iterations", "1"]) == 0


def test_the_newest_of_a_run_is_recorded(suite_file, monkeypatch, capsys):
    from robometa.video import record as recording

    assert main(["train", suite_file, "random", "--iterations", "1", *SMALL, "--folder", "runs/mine"]) == 0
    capsys.readouterr()
    played = []
    monkeypatch.setattr(recording, "play", lambda learner, *rest: played.append(learner) or [])
    monkeypatch.setattr(recording.storyboard, "film", lambda *rest, **words: (_ for _ in ()).throw(OSError("no film")))
    monkeypatch.setattr(recording.gl_backends, "find", lambda: "egl")
    assert main(["record", "mine", "--no-gif"]) == 1
    assert "runs/mine: its policy, of 1 iterations" in capsys.readouterr().out
    assert len(played) == 1


def test_the_references_of_an_evaluation_may_be_runs(suite_file, capsys):
    for learner in ("oracle", "no-adaptation"):
        assert main(["train", suite_file, learner, "--iterations", "1", "--hidden", "4", *SMALL]) == 0
    capsys.readouterr()
    names = ["tiny-oracle-0", "tiny-no-adaptation-0"]
    assert main(["evaluate", names[1], "--reference", *names, "--shots", "0", "--worlds", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-4].startswith("oracle ")

"""A learner in a file of the user's own: the docs' worked example, mistakes told in a line, no code run unasked."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from conftest import TINY_SUITE

from robometa import registry, suites
from robometa.commands.main import main
from robometa.conformance.check_learner import check_learner
from robometa.errors import UserError
from robometa.learners.protocol import names_taken
from robometa.registry import user_file
from robometa.registry.options import read_config
from robometa.storage import sealed_folder
from robometa.training import loop
from robometa.training.evaluate import evaluate
from robometa.training.loggers.logger import TIMES
from robometa.training.train import resume, train
from robometa.trials import make
from robometa.video import gl_backends

ROOT = Path(__file__).parents[2]
MINE = '''\
"""Guessing, Anon 1900."""

from dataclasses import dataclass

import torch

from robometa.learners.random import Random


@dataclass(frozen=True)
class Options:
    """Options."""

    iterations: int = 2
    """Iterations that it takes."""
    tasks: int = 2
    worlds: int = 2
    shots: int = 1
    scale: float = 0.5
    """How large its guesses are."""


class MyLearner(Random):
    """Guesses, and counts."""

    configuration = Options

    def __init__(self, config, spaces, seed, device="cpu"):
        super().__init__(config, spaces, seed, device)
        self.count = torch.tensor(0)

    def act(self, adaptation, step, noise):
        return self.config.scale * noise, None

    def update(self, trial):
        self.count = self.count + 1
        return {"count": float(self.count)}

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"].clone()
'''
NAME = "./mine.py:MyLearner"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a learner and a suite."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE, encoding="utf-8")
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def policy(place, capsys):
    """A policy of the user's own learner, in runs/tiny-MyLearner-0."""
    assert main(["train", "tiny.toml", "--learner", NAME]) == 0
    capsys.readouterr()
    return Path("runs/tiny-MyLearner-0/policy")


def told(capsys, *words):
    """The one line that the command line says to a mistake."""
    assert main(words) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith("error: ")
    return line


@pytest.mark.slow
def test_the_docs_example_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    """Every command of the docs, in a folder of its own; where nothing can draw, all but the video."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / "own-learner.md").read_text(encoding="utf-8"), re.M | re.S)
    commands = [
        shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("robometa ")
    ]
    assert [words[0] for words in commands] == [*["learners"] * 3, "train", "resume", "evaluate", "record"]
    for words in commands[:-1]:
        assert main(words) == 0, words
    printed = capsys.readouterr().out
    assert "MyLearner keeps the learners' protocol" in printed
    described = json.loads(Path("runs/point-robot-MyLearner-0/policy/report.json").read_text())
    before, after = (row["mean_action"]["interquartile_mean"] for row in described["shots"])
    assert after > before + 3  # it adapts
    assert after > described["random"]["interquartile_mean"] + 6
    try:
        gl_backends.find()
    except UserError as error:
        pytest.skip(str(error))
    assert main(commands[-1]) == 0
    assert Path("videos/point-robot-MyLearner-0-task0.mp4").stat().st_size > 1000


def test_a_run_and_a_policy_say_whose_they_are(policy):
    run = json.loads((policy.parent / "run.json").read_text())
    manifest = json.loads((policy / "manifest.json").read_text())
    assert run["learner"] == f"{Path('mine.py').resolve()}:MyLearner"
    assert manifest["learner"] == "mine.py:MyLearner"  # without the folder, which is nobody's business
    assert run["learner_sha256"] == manifest["learner_sha256"] == sealed_folder.sha256(Path("mine.py"))
    card = (policy / "README.md").read_text()
    for words in ("# MyLearner on tiny", "Guesses, and counts.", "Guessing, Anon 1900.", manifest["learner_sha256"]):
        assert words in card
    assert "robometa train tiny.toml mine.py:MyLearner --seed 0 --torch-threads " in card
    assert not list(policy.parent.rglob("*.py"))
    assert not list(Path().rglob("__pycache__"))


def test_it_is_shown_with_its_options(place, capsys):
    assert main(["learners", NAME]) == 0
    printed = capsys.readouterr().out
    for words in ("MyLearner: Guesses, and counts.", "paper: Guessing, Anon 1900.", "--scale", "How large its guesses"):
        assert words in printed
    assert main(["train", "tiny.toml", NAME, "--help"]) == 0
    assert "How large its guesses are." in capsys.readouterr().out


def test_its_ranges_are_shown_and_held(place, capsys):
    text = MINE.replace(
        "import torch", "from typing import Annotated\n\nimport torch\n\nfrom robometa import errors", 1
    )
    text = text.replace("class Options:", "class Options(errors.Options):")
    text = text.replace("scale: float", 'scale: Annotated[float, "(0, 4]"]')
    Path("mine.py").write_text(text, encoding="utf-8")
    assert main(["train", "tiny.toml", NAME, "--help"]) == 0
    assert "How large its guesses are. Range: (0, 4]." in " ".join(capsys.readouterr().out.split())
    assert "option scale must be in (0, 4], not 5.0" in told(capsys, "train", "tiny.toml", NAME, "--scale", "5")


def test_its_options_are_read_and_its_presets_known(place, capsys):
    presets = "\nPRESETS = {'usual': Options(), 'large': Options(scale=3.0)}\n"
    Path("mine.py").write_text(MINE + presets, encoding="utf-8")
    own_options = '\n[learner."mine.py:MyLearner"]\ntasks = 1\n'
    Path("tiny.toml").write_text(TINY_SUITE + own_options, encoding="utf-8")
    assert main(["train", "tiny.toml", NAME, "--preset", "large", "--worlds", "3", "--folder", "large"]) == 0
    assert main(["train", "tiny.toml", NAME, "--folder", "usual"]) == 0
    large, usual = (json.loads(Path(name, "run.json").read_text())["config"] for name in ("large", "usual"))
    assert (large["scale"], large["worlds"]) == (3.0, 3)
    assert (usual["scale"], usual["tasks"]) == (0.5, 1)
    capsys.readouterr()
    assert "did you mean '--scale'" in told(capsys, "train", "tiny.toml", NAME, "--scail", "2")
    assert "did you mean 'large'" in told(capsys, "train", "tiny.toml", NAME, "--preset", "larg")
    # another learner does not mind what the suite says of this one
    assert main(["train", "tiny.toml", "random", "--iterations", "1", "--folder", "random"]) == 0


def changed(*words):
    def change():
        text = MINE
        for old, new in zip(words[::2], words[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        Path("mine.py").write_text(text, encoding="utf-8")

    return change


MISTAKES = {
    "no file": (lambda: Path("mine.py").unlink(), "no learner file './mine.py'"),
    "a folder": (lambda: (Path("mine.py").unlink(), Path("mine.py").mkdir()), "no learner file './mine.py'"),
    "no such class": (changed("class MyLearner", "class MyLaerner"), "did you mean 'MyLaerner'"),
    "a syntax error": (
        changed("self.count = torch.tensor(0)", "self.count = = 0"),
        "not Python: invalid syntax in line 30",
    ),
    "no text": (lambda: Path("mine.py").write_bytes(b"\xff\xfe"), "not Python in UTF-8"),
    "brackets without end": (
        lambda: Path("mine.py").write_text("x, y:" + 199 * "[", encoding="utf-8"),
        "nested too deeply",
    ),
    "minuses without end": (
        lambda: Path("mine.py").write_text("x = " + 5000 * "-" + "1", encoding="utf-8"),
        "nested too deeply",
    ),
    "a null byte": (lambda: Path("mine.py").write_bytes(b"a = '\0'"), "not Python"),
    "a failing import": (
        changed("import torch\n", "import troch\n"),
        "ModuleNotFoundError in line 5: No module named 'troch'",
    ),
    "methods lacking": (changed("(Random)", ""), "MyLearner of .* lacks begin, adapt, pools_worlds"),
    "former methods": (
        changed("def state_dict", "def state", "def load_state_dict", "def load"),
        "MyLearner of .*mine.py has state and load, which must be renamed to state_dict and load_state_dict",
    ),
    "a former method": (changed("def state_dict", "def state"), "has state, which must be renamed to state_dict"),
    "no dataclass": (changed("@dataclass(frozen=True)\n", ""), "must be a frozen dataclass"),
    "options lacking": (changed("    worlds: int = 2\n", ""), "lacks worlds"),
    "an option without default": (changed("iterations: int = 2", "iterations: int"), "default for every option"),
    "another constructor": (
        changed('config, spaces, seed, device="cpu"):', "config):"),
        "from .config, spaces, seed, device",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(
    "words", [["train", "tiny.toml", "--learner", NAME], ["learners", NAME]], ids=["train", "learners"]
)
def test_a_mistake_in_the_file_is_told_in_a_line(place, capsys, mistake, words):
    change, message = MISTAKES[mistake]
    change()
    assert re.search(message, told(capsys, *words))
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "tiny.toml", "./mine.py"], "is named as FILE.py:CLASS"),
        (["train", "tiny.toml", "./mine.py:"], "is named as FILE.py:CLASS"),
        (["train", "tiny.toml", "random", "--learner", NAME], "two learners: random and --learner ./mine.py:MyLearner"),
        (["train", "tiny.toml", "mime"], "./FILE.py:CLASS for one of your own"),
        (["train", "--learner", NAME], "suite and a learner"),
        (["learners", "--check"], "--check needs a learner"),
    ],
)
def test_a_mistake_in_the_name_is_told_in_a_line(place, capsys, words, message):
    assert message in told(capsys, *words)


RESULTS = {
    "no pair": (
        'return {"count": float(self.count)}',
        'return ["count"]',
        "update must return numbers by name, not list",
    ),
    "a tensor": ("float(self.count)", "self.count", "update must return finite floats, and 'count' is tensor"),
    "one action": ("* noise, None", "* noise[..., :1], None", r"act must return an action of shape .* \[3, 2, 2\]"),
    "a name taken": ('{"count"', '{"return_1"', "update of MyLearner returns return_1, which every training logs"),
    "a time's name": ('{"count"', '{"update"', "update of MyLearner returns update, which every training logs"),
}


@pytest.mark.parametrize("result", RESULTS)
def test_a_wrong_result_is_a_mistake_of_the_file_not_of_the_package(place, capsys, result):
    old, new, message = RESULTS[result]
    changed(old, new)()
    assert main(["train", "tiny.toml", NAME, "--log", "none"]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert re.search(message, line)
    assert not [*place.glob("robometa-bug-*")]


def test_a_name_that_is_taken_is_a_breach(place):
    changed('{"count"', '{"held_out_return_0"')()
    assert check_learner(NAME) == ["update returns held_out_return_0, which every training logs: rename it."]


def test_all_names_of_a_training_are_taken(place):
    train("tiny.toml", "maml-trpo", options={"iterations": 2, "tasks": 2, "worlds": 2}, evaluate_every=1, folder="run")
    rows = [json.loads(Path("run", name).read_text().splitlines()[0]) for name in ("metrics.jsonl", "timings.jsonl")]
    logged = {*TIMES, *(name for row in rows for name in row)}
    assert {"return_1", "held_out_return_0", "iteration_steps", "skipped", *TIMES} <= {*names_taken(logged)}
    # What is left comes from the update.
    assert not {name for name in logged - {*names_taken(logged)} if re.match("return|success|held_out|iter|step", name)}


@pytest.mark.parametrize("command", ["evaluate", "record"])
def test_a_policy_never_says_what_is_run(policy, capsys, command):
    """Whatever its manifest says: only the user names a file whose code is run."""
    Path("evil.py").write_text(MINE + "\nfrom pathlib import Path\nPath('run').touch()\n", encoding="utf-8")
    manifest = sealed_folder.read_manifest(policy)
    for name in ("mine.py:MyLearner", f"{Path('evil.py').resolve()}:MyLearner", "./evil.py:MyLearner"):
        sealed_folder.write_manifest(policy, manifest | {"learner": name})
        assert f"--learner PATH/{Path(name).name}" in told(capsys, command, str(policy))
    assert not Path("run").exists()


def test_code_is_loaded_from_a_user_s_file_in_one_place_only():
    loading = {
        "exec_module",
        "module_from_spec",
        "run_path",
        "run_module",
        "spec_from_file_location",
        "SourceFileLoader",
    }
    for path in Path(user_file.__file__).parents[1].rglob("*.py"):
        names = set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
        # Two stand around the loaders of installed modules.
        if path.name not in ("registration.py", "mujoco_gl.py"):
            assert not names & loading or path == Path(user_file.__file__), path


def test_the_file_given_must_be_of_the_policy_s_learner(policy, capsys):
    Path("other.py").write_text(MINE.replace("MyLearner", "Other"), encoding="utf-8")
    assert "is of learner mine.py:MyLearner, not of ./other.py:Other" in told(
        capsys, "evaluate", str(policy), "--learner", "./other.py:Other"
    )
    assert "not of maml-trpo" in told(capsys, "evaluate", str(policy), "--learner", "maml-trpo")
    assert "no learner file './gone.py'" in told(capsys, "evaluate", str(policy), "--learner", "./gone.py:MyLearner")
    assert main(["train", "tiny.toml", "random", "--iterations", "1", "--folder", "random"]) == 0
    capsys.readouterr()
    assert "random/policy is of learner random, not" in told(capsys, "evaluate", "random/policy", "--learner", NAME)
    with pytest.raises(UserError, match="is of learner random"):
        resume("random", learner=NAME)


def test_a_moved_file_is_found_with_a_word_and_a_changed_one_warned_of(policy, capsys):
    words = ["evaluate", str(policy), "--shots", "0", "--worlds", "2", "--learner"]
    Path("elsewhere").mkdir()
    Path("mine.py").rename("elsewhere/moved.py")
    assert main([*words, "elsewhere/moved.py:MyLearner"]) == 0
    assert capsys.readouterr().err == ""
    with Path("elsewhere/moved.py").open("a") as file:
        file.write("# another\n")
    assert main([*words, "elsewhere/moved.py:MyLearner"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: elsewhere/moved.py:MyLearner has changed since")
    report = evaluate(policy, shots=0, worlds=2, learner="elsewhere/moved.py:MyLearner")
    assert report.learner == "MyLearner"


@pytest.mark.parametrize("command", ["resume", "verify"])
def test_a_run_never_says_what_is_run(policy, capsys, command):
    """Its run.json may be a stranger's: the user names the file, and the message has the command to type."""
    Path("evil.py").write_text(MINE + "\nfrom pathlib import Path\nPath('run').touch()\n", encoding="utf-8")
    path, evil = policy.parent / "run.json", Path("evil.py").resolve()
    described = json.loads(path.read_text())
    hashed = {"learner_sha256": sealed_folder.sha256(evil)}
    for name in (f"{evil}:MyLearner", "evil.py:MyLearner", f"/proc/self/cwd/{evil.name}:MyLearner"):
        path.write_text(json.dumps(described | hashed | {"learner": name}))
        line = told(capsys, command, str(policy.parent))
        assert f"if that file is yours: robometa {command} {policy.parent} --learner {name}" in line
    assert not Path("run").exists()
    assert "none of /proc/" in told(capsys, command, str(policy.parent), "--learner", name)
    assert not Path("run").exists()


def test_a_run_goes_on_with_the_file_that_is_named(policy, capsys):
    run = str(policy.parent)
    assert main(["resume", run, "--iterations", "3", "--learner", NAME]) == 0
    assert capsys.readouterr().err == ""
    Path("mine.py").write_text(MINE.replace("self.count + 1", "self.count + 2"), encoding="utf-8")
    Path("mine.py").rename("moved.py")
    assert "no learner file" in told(capsys, "resume", run, "--iterations", "4", "--learner", NAME)
    assert main(["resume", run, "--iterations", "4", "--learner", "moved.py:MyLearner"]) == 0
    assert "warning: moved.py:MyLearner has changed" in capsys.readouterr().err
    tensors, manifest = sealed_folder.load(policy, "policy")
    assert torch.equal(tensors["count"], torch.tensor(3 + 2))
    assert manifest["learner"] == "moved.py:MyLearner"
    assert main(["verify", run, "--iterations", "1", "--learner", "moved.py:MyLearner"]) in (0, 1)


def test_a_file_that_changes_during_a_training_is_told_as_it_was(place, monkeypatch):
    measured = loop.trial_metrics

    def edited(trial):
        Path("mine.py").write_text("not Python any more", encoding="utf-8")
        return measured(trial)

    before = sealed_folder.sha256(Path("mine.py"))
    monkeypatch.setattr(loop, "trial_metrics", edited)
    policy = train("tiny.toml", NAME)
    assert sealed_folder.load(policy, "policy")[1]["learner_sha256"] == before


def test_files_of_the_same_name_are_kept_apart(place):
    Path("other").mkdir()
    Path("other/mine.py").write_text(MINE.replace("scale: float = 0.5", "scale: float = 2.0"), encoding="utf-8")
    first, second = (registry.find(name).load() for name in (NAME, "./other/mine.py:MyLearner"))
    assert (first.configuration().scale, second.configuration().scale) == (0.5, 2.0)
    assert registry.find(NAME).load() is first
    Path("mine.py").write_text(MINE.replace("scale: float = 0.5", "scale: float = 0.7"), encoding="utf-8")
    assert registry.find(NAME).load().configuration().scale == 0.7


def test_a_file_beside_it_may_be_imported_and_hides_nothing(place):
    Path("beside_mine.py").write_text("FACTOR = 4.0\n", encoding="utf-8")
    Path("json.py").write_text("raise RuntimeError\n", encoding="utf-8")
    Path("mine.py").write_text("import json\nfrom beside_mine import FACTOR\n" + MINE.replace("0.5", "FACTOR"))
    assert registry.find(NAME).load().configuration().scale == 4.0


def test_a_shipped_learner_may_be_built_upon(place):
    text = '"""A variant."""\nfrom robometa.learners.pearl import Pearl\n\nclass Mine(Pearl):\n    """Another."""\n'
    Path("variant.py").write_text(text, encoding="utf-8")
    entry = registry.find("./variant.py:Mine")
    assert list(entry.presets()) == ["default"]
    config = read_config("./variant.py:Mine", {})
    learner = make.build("./variant.py:Mine", config, suites.load("point-robot"), seed=0)
    assert registry.of("./variant.py:Mine", learner) == entry

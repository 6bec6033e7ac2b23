"""The command line: mistakes told in a line, nothing heavy loaded for a list, a training from end to end."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL_OPTIONS, TINY_SUITE

from robometa import registry, suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.storage import sealed_folder
from robometa.training.train import train
from robometa.video import storyboard

THREE_MISTAKES = """\
robot     = "pointt"
objective = "goal"
horizon   = 0

[train]
goal = [1.0, 0.0]
gaol = 3

[test]
goal = [0.0, 1.0]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, with a suite file, one of three mistakes, and an existing folder."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    Path("wrong.toml").write_text(THREE_MISTAKES, encoding="utf-8")
    Path("taken").mkdir()
    Path("sealed").mkdir()
    Path("sealed/manifest.json").write_text("{}", encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a policy that has been trained for a moment."""
    folder = tmp_path_factory.mktemp("trained")
    suite = folder / "tiny.toml"
    suite.write_text(TINY_SUITE, encoding="utf-8")
    return train(suite, "maml-trpo", options=SMALL_OPTIONS["maml-trpo"], folder=folder / "run")


@pytest.fixture
def policy(place, trained):
    """A copy of the policy to damage, in the place's folder."""
    shutil.copytree(trained, place / "policy", dirs_exist_ok=True)
    return Path("policy")


def contents(folder):
    """Every file below a folder, and what it holds."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(place, capsys, *words):
    """What the command line says to a mistake: exit code 2, nothing but it on the screen, nothing written."""
    before = contents(place)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "Traceback" not in printed.err
    assert contents(place) == before
    return printed.err.removeprefix("error: ").splitlines()


def refused_in_a_line(place, capsys, *words):
    lines = refused(place, capsys, *words)
    assert len(lines) == 1
    return lines[0]


MISTAKES = {
    "no suite": (["train"], "suite and a learner"),
    "no learner": (["train", "point-robot"], "suite and a learner"),
    "no policy": (["evaluate"], "POLICY"),
    "no policy to record": (["record"], "POLICY"),
    "no run": (["resume"], "RUN"),
    "unknown command": (["trian"], "trian"),
    "unknown suite": (["train", "point-robt", "maml-trpo"], "did you mean 'point-robot'"),
    "unknown suite to show": (["suites", "half-cheeta-velocity"], "did you mean 'half-cheetah-velocity'"),
    "no suite file": (["suites", "./nowhere.toml"], "no suite file './nowhere.toml'"),
    "unknown learner": (["train", "point-robot", "maml-trop"], "did you mean 'maml-trpo'"),
    "unknown learner to show": (["learners", "perl"], "did you mean 'pearl'"),
    "unknown option": (["train", "point-robot", "maml-trpo", "--worldz", "3"], "did you mean '--worlds'"),
    "no number": (
        ["train", "point-robot", "maml-trpo", "--iterations", "many", "--worlds", "3"],
        "option --iterations must be something like 200, not many",
    ),
    "no numbers": (
        ["train", "point-robot", "rl2", "--hidden=64", "wide"],
        "option --hidden must be something like 64, not 64 wide",
    ),
    "no number where zero is usual": (
        ["train", "point-robot", "rl2", "--entropy_weight", "some"],
        "option --entropy-weight must be something like 0.0, not some",
    ),
    "no number after an option that begins alike": (
        ["train", "point-robot", "pearl", "--context-next-obs", "--context", "all"],
        "option --context must be something like 100, not all",
    ),
    "an option of another": (["train", "point-robot", "maml-trpo", "--latent", "3"], "unknown option '--latent'"),
    "an option outside its range": (
        ["train", "point-robot", "rl2", "--discount", "1.5"],
        "option discount must be in (0, 1], not 1.5",
    ),
    "an unknown choice": (
        ["train", "point-robot", "rl2", "--memory", "gur"],
        "unknown memory 'gur' (did you mean 'gru'?)",
    ),
    "unknown option of evaluate": (["evaluate", "sealed", "--wurlds", "3"], "did you mean '--worlds'"),
    "unknown preset": (["train", "point-robot", "pearl", "--preset", "papper"], "did you mean 'paper'"),
    "not a number": (["train", "point-robot", "maml-trpo", "--worlds", "many"], "many"),
    "not a whole number": (["train", "point-robot", "maml-trpo", "--worlds", "1.5"], "1.5"),
    "no worlds": (["train", "point-robot", "maml-trpo", "--worlds", "0"], "worlds"),
    "no shots": (["train", "point-robot", "maml-trpo", "--shots", "0"], "shots"),
    "too high a discount": (["train", "point-robot", "maml-trpo", "--discount", "1.5"], "discount"),
    "no number at all": (["train", "point-robot", "pearl", "--learning-rate", "nan"], "learning_rate|learning-rate"),
    "a value missing": (["train", "point-robot", "maml-trpo", "--worlds"], "worlds"),
    "one word too many": (["train", "point-robot", "maml-trpo", "again"], "again"),
    "negative seed": (
        ["train", "point-robot", "maml-trpo", "--seed", "-1"],
        "--seed must be a whole number from 0.*-1",
    ),
    "no threads": (
        ["train", "point-robot", "maml-trpo", "--threads", "0"],
        "--threads must be a whole number from 1.*0",
    ),
    "seed in words": (
        ["train", "point-robot", "maml-trpo", "--seed", "one"],
        "--seed must be a whole number.*not one",
    ),
    "checkpoints in the past": (
        ["train", "point-robot", "maml-trpo", "--checkpoint-minutes", "-1"],
        "--checkpoint-minutes must be a number from 0, not -1",
    ),
    "checkpoints at no time": (
        ["train", "point-robot", "rl2", "--checkpoint-minutes", "nan"],
        "from 0, not nan",
    ),
    "too many torch threads": (["train", "point-robot", "rl2", "--torch-threads", "5000"], "1 to 1024, not 5000"),
    "existing folder": (["train", "point-robot", "maml-trpo", "--folder", "taken"], "taken exists already"),
    "existing file": (["train", "point-robot", "maml-trpo", "--folder", "tiny.toml"], "tiny.toml exists already"),
    "below a file": (["train", "point-robot", "maml-trpo", "--folder", "tiny.toml/run"], "tiny.toml"),
    "no folder of a run": (["resume", "nowhere"], "no run here: nowhere has no run.json"),
    "a file, not a run": (["resume", "tiny.toml"], "no run here: tiny.toml has no run.json"),
    "not a run": (["resume", "taken"], "no run here: taken has no run.json"),
    "not a policy": (["evaluate", "taken"], "taken is not a policy"),
    "no place for a report": (
        ["evaluate", "sealed", "--out", "tiny.toml"],
        "tiny.toml cannot be written: tiny.toml is not a folder",
    ),
    "no place for a report of experts": (
        ["baseline", "scripted", "ml1/reach-v3", "--out", "tiny.toml/report"],
        "tiny.toml/report cannot be written: ",
    ),
    "no second policy": (["merge", "sealed"], "B"),
    "an unknown option of learners": (["learners", "--chek"], "did you mean '--check'"),
    "not a policy to record": (["record", "nowhere"], "nowhere is not a policy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_a_line_and_writes_nothing(place, capsys, mistake):
    words, message = MISTAKES[mistake]
    line = refused_in_a_line(place, capsys, *words)
    found = [part for part in message.split("|") if part.split(".*")[0] in line and part.split(".*")[-1] in line]
    assert found, line


@pytest.mark.parametrize("command", [["suites"], ["train"], ["evaluate", "policy", "--suite"]])
def test_every_mistake_of_a_suite_file_is_told(policy, place, capsys, command):
    words = [*command, "./wrong.toml", *(["maml-trpo"] if command == ["train"] else [])]
    told = "\n".join(refused(place, capsys, *words))
    for mistake in (
        "'pointt'",
        "did you mean 'point'",
        "horizon must be",
        "'gaol'",
        "did you mean 'goal'",
        "wrong.toml",
    ):
        assert mistake in told


def test_several_unknown_options_are_all_told(place, capsys):
    lines = refused(place, capsys, "train", "point-robot", "maml-trpo", "--worldz", "3", "--iteration", "2")
    assert "--worldz" in lines[0]
    assert "did you mean '--iterations'" in lines[1]


def test_looking_at_a_suite_tells_every_mistake_of_its_options(place, capsys):
    more = "\n[learner.pearl]\nlatentt = 3\n[learner.rl2]\nshots = -1\n[learner.maml-trop]\nworlds = 3\n"
    Path("own.toml").write_text(TINY_SUITE + more, encoding="utf-8")
    told = "\n".join(refused(place, capsys, "suites", "./own.toml"))
    for mistake in ("latentt", "option shots", "did you mean 'maml-trpo'"):
        assert told.count(mistake) == 1, told
    Path("more.toml").write_text(f"colour = 1\n{TINY_SUITE}{more}", encoding="utf-8")
    told = "\n".join(refused(place, capsys, "suites", "./more.toml"))
    for mistake in ("unknown key 'colour'", "latentt", "option shots", "did you mean 'maml-trpo'"):
        assert told.count(mistake) == 1, told


def test_only_a_run_can_be_resumed_instead(place, capsys):
    line = refused_in_a_line(place, capsys, "train", "point-robot", "random", "--folder", "taken")
    assert "resume" not in line


def test_a_runs_folder_in_place_of_its_policy_is_told(place, policy, capsys):
    Path("run").mkdir()
    policy.rename("run/policy")
    assert "did you mean run/policy?" in refused_in_a_line(place, capsys, "evaluate", "run")


def test_a_look_at_some_tasks_leaves_a_policys_own_report_alone(place, policy, capsys):
    mine = policy.rename("mine")
    assert main(["evaluate", "mine", "--shots", "1", "--worlds", "2"]) == 0
    before = contents(mine)
    assert b"`robometa evaluate --shots 1 --worlds 2`" in before[mine / "README.md"]
    for words, folder in (
        (["--tasks", "1"], "mine-1-tasks"),
        (["--split", "train"], "mine-train"),
        (["--suite", "./tiny.toml"], "mine-tiny"),
    ):
        assert main(["evaluate", "mine", "--shots", "1", "--worlds", "2", *words]) == 0
        assert (place / "runs" / "evaluations" / folder / "report.json").is_file()
    assert contents(mine) == before


def test_mistakes_of_a_suites_own_options_name_its_file(place, capsys):
    Path("own.toml").write_text(TINY_SUITE + "\n[learner.pearl]\nlatentt = 3\n", encoding="utf-8")
    line = refused_in_a_line(place, capsys, "train", "./own.toml", "pearl")
    assert "latentt" in line
    assert "own.toml" in line
    assert "did you mean 'latent'" in line


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("hidden = 3", "hidden"),
        ('hidden = ["wide"]', "wide"),
        ('iterations = "many"', "many"),
        ("tasks = 2.5", "2.5"),
        ("context_next_obs = 1", "context_next_obs"),
        ("discount = 1.5", "discount"),
    ],
)
def test_a_suites_own_options_are_of_the_right_kind(place, capsys, option, message):
    Path("own.toml").write_text(f"{TINY_SUITE}\n[learner.pearl]\n{option}\n", encoding="utf-8")
    assert message in refused_in_a_line(place, capsys, "train", "./own.toml", "pearl")


def test_a_suites_own_options_are_used_and_the_command_line_has_the_last_word(place):
    own = "\n[learner.maml-trpo]\nhidden = [4, 4]\nworlds = 3\ntasks = 2\n"
    Path("own.toml").write_text(TINY_SUITE + own, encoding="utf-8")
    assert main(["train", "own.toml", "maml-trpo", "--worlds", "2", "--iterations", "1", "--folder", "run"]) == 0
    config = json.loads(Path("run/run.json").read_text())["config"]
    assert (config["hidden"], config["worlds"], config["tasks"]) == ([4, 4], 2, 2)


def test_an_unknown_learner_in_a_suite_file_is_told(place, capsys):
    Path("own.toml").write_text(TINY_SUITE + "\n[learner.perl]\nlatent = 3\n", encoding="utf-8")
    line = refused_in_a_line(place, capsys, "train", "./own.toml", "pearl")
    assert "unknown learner 'perl' in own.toml (did you mean 'pearl'?)" in line


def test_a_report_that_cannot_be_written_is_told_in_a_line(policy, place, capsys):
    assert main(["evaluate", "policy", "--shots", "0", "--worlds", "2", "--out", "tiny.toml/report"]) != 0
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert "tiny.toml/report" in printed[0]


def altered(policy):
    content = bytearray((policy / sealed_folder.TENSORS).read_bytes())
    content[-2] ^= 16
    (policy / sealed_folder.TENSORS).write_bytes(content)


def truncated(policy):
    (policy / sealed_folder.TENSORS).write_bytes((policy / sealed_folder.TENSORS).read_bytes()[:-4])


def without_manifest(policy):
    (policy / sealed_folder.MANIFEST).unlink()


@pytest.mark.parametrize("damage", [altered, truncated, without_manifest])
@pytest.mark.parametrize("command", ["evaluate", "record"])
def test_a_damaged_policy_is_told_in_a_line(policy, place, capsys, damage, command):
    damage(policy)
    assert "policy" in refused_in_a_line(place, capsys, command, "policy")


@pytest.mark.parametrize("command", ["evaluate", "record"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--suite", "half-cheetah-velocity"], "with 2 observations and 2 actions, but suite half-cheetah"),
        (["--split", "tset"], "did you mean 'test'"),
        (["--shots", "-1"], "-1"),
        (["--shots", "1000000"], "shots must be"),
    ],
)
def test_a_policy_is_not_used_where_it_cannot_be(policy, place, capsys, command, words, message):
    assert message in refused_in_a_line(place, capsys, command, "policy", *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("sb3-sac point-robot --device cuda", "unknown option '--device' in robometa baseline sb3-sac"),
        ("sb3-sac point-robot --protocol none", "unknown option '--protocol'"),
        ("scripted ml1/reach-v3 --steps 3", "unknown option '--steps'"),
        ("scripted ml1/reach-v3 --seed=3", "unknown option '--seed'"),
    ],
)
def test_an_option_that_would_change_nothing_is_not_taken(place, capsys, words, told):
    assert told in refused_in_a_line(place, capsys, "baseline", *words.split())


@pytest.mark.parametrize(("task", "split", "last"), [("3", "test", 2), ("6", "train", 5)])
def test_a_task_out_of_range_is_told_with_the_range(policy, place, capsys, task, split, last):
    line = refused_in_a_line(place, capsys, "record", "policy", "--task", task, "--split", split)
    assert f"no task {task} in the {split} split" in line
    assert f"0 to {last}" in line


def test_alone_it_prints_help(capsys):
    assert main([]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for command in ("train", "resume", "evaluate", "record", "suites", "learners", "doctor"):
        assert command in printed.out


@pytest.mark.parametrize("command", ["train", "resume", "evaluate", "record", "suites", "learners", "doctor"])
def test_every_command_explains_itself(capsys, command):
    try:
        code = main([command, "--help"])
    except SystemExit as stop:
        code = stop.code
    assert code == 0
    assert "usage: robometa" in capsys.readouterr().out


def test_the_help_of_a_training_shows_the_learners_options(capsys):
    assert main(["train", "point-robot", "pearl", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("--seed", "--gradient-steps", "Weight of the policy's entropy", "Range: (0, 1). (default: 0.99)"):
        assert words in printed
    assert printed.index("--gradient-steps") < printed.index("--seed"), "the learner's options come first"


def test_help_shows_the_values_of_the_preset_and_of_the_suites_file(place, capsys):
    Path("own.toml").write_text(f"{TINY_SUITE}\n[learner.rl2]\nworlds = 17\n", encoding="utf-8")
    assert main(["train", "own.toml", "rl2", "--preset", "lstm", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Range: {gru, lstm, transformer}. (default: lstm)" in printed
    assert "(default: 17)" in printed


@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_a_learner_is_shown_with_every_option(capsys, name):
    assert main(["learners", name]) == 0
    printed = capsys.readouterr().out
    preset = next(iter(registry.find(name).presets().values()))
    for option in vars(preset):
        assert f"--{option.replace('_', '-')}" in printed
    assert "range" in printed
    assert "[1, inf)" in printed


def test_a_learner_is_shown_with_what_each_preset_changes(capsys):
    assert main(["learners", "rl2"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "--preset lstm is --memory lstm --preset transformer is --memory transformer --memory-size 64 " in printed
    assert "--encoder 256 256" in printed


def test_every_suite_is_listed(capsys):
    assert main(["suites"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in suites.names())


LIGHT = """\
import sys
from robometa.commands.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code or 0
heavy = {"torch", "mujoco", "scipy", "gymnasium", "tensorboard", "matplotlib", "tyro", "numpy"} & set(sys.modules)
print(code, *sorted(heavy), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["train", "--help"], 0),
        (["suites"], 0),
        (["suites", "point-robot"], 0),
        (["suites", "./wrong.toml"], 2),
        (["suites", "nowhere"], 2),
        (["learners"], 0),
        (["train", "nowhere", "pearl"], 2),
        (["train", "point-robot", "perl"], 2),
        (["train", "point-robot", "./nowhere.py:Mine"], 2),
        (["merge"], 2),
        (["evaluate", "nowhere"], 2),
        (["evaluate", "taken"], 2),
        (["record", "nowhere"], 2),
        (["play", "nowhere"], 2),
        (["resume", "nowhere"], 2),
        (["verify", "nowhere"], 2),
        (["merge", "nowhere", "taken"], 2),
        (["doctor", "nowhere"], 2),
    ],
)
@pytest.mark.sample(8)
def test_nothing_heavy_is_loaded_for_what_needs_none(place, words, code):
    done = subprocess.run([sys.executable, "-c", LIGHT, *words], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == str(code)


def test_from_training_to_a_report(place, capsys):
    asked = ["--iterations", "2", "--tasks", "3", "--worlds", "4", "--hidden", "8", "--seed", "7", "--folder", "mine"]
    assert main(["train", "tiny.toml", "maml-trpo", *asked]) == 0
    printed = capsys.readouterr().out
    assert "robometa evaluate mine/policy" in printed
    assert "iteration 2/2" in printed
    assert json.loads(Path("mine/run.json").read_text())["config"]["hidden"] == [8]
    assert main(["resume", "mine"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "mine/policy", "--shots", "1", "--out", "report"]) == 0
    printed = capsys.readouterr().out
    assert "before" in printed
    assert "random" in printed
    described = json.loads(Path("report/report.json").read_text())
    assert [row["episodes_seen"] for row in described["shots"]] == [0, 4]
    assert len(Path("report/tasks.csv").read_text().splitlines()) == 1 + 2 * 2 * 3 * 4


def test_a_folder_of_its_own_by_default(place, capsys):
    assert main(["train", "point-robot", "random", "--iterations", "1"]) == 0
    assert (place / "runs" / "point-robot-random-0" / "policy").is_dir()
    capsys.readouterr()
    assert "runs/point-robot-random-0 exists already" in refused_in_a_line(
        place, capsys, "train", "point-robot", "random"
    )


@pytest.mark.parametrize(
    "words", ["evaluate policy --shots 0 --worlds 2", "merge policy other --out merged", "record policy --shots 1"]
)
def test_a_policy_is_loaded_once(place, policy, monkeypatch, words):
    shutil.copytree("policy", "other")
    loaded = []

    def load(folder, kind, load=sealed_folder.load):
        loaded.append(str(folder))
        return load(folder, kind)

    monkeypatch.setattr(policy_folder, "load", load)
    monkeypatch.setattr(sealed_folder, "load", load)
    monkeypatch.setattr(storyboard, "film", nothing_can_draw)
    assert main(words.split()) == (2 if words.startswith("record") else 0)
    assert loaded == [word for word in words.split() if word in ("policy", "other")]


def nothing_can_draw(*arguments, **named):
    raise UserError("nothing can draw here")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 1),
        (["learners"], 1),
        (["suites", "point-robot"], 1),
        (["search", "point-robot", "rl2", "--dry-run"], 1),
        (["export-table", "policy", "--out", "table.md"], 0),
        (["export-table", "policy"], 1),
    ],
)
def test_a_command_that_only_prints_fails_if_nobody_can_read_it(words, code, place, monkeypatch, capsys):
    monkeypatch.setattr("robometa.commands.main._run", lambda words: print("shown") or 0)
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(words) == code
    assert ("standard output cannot be written" in capsys.readouterr().err) == (code == 1)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_c_turned_into_another_error_is_no_bug(kind, place, monkeypatch, capsys):
    def importing(words):
        try:
            signal.raise_signal(kind)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    before = signal.getsignal(kind)
    monkeypatch.setattr("robometa.commands.main._run", importing)
    assert main(["evaluate", "policy"]) == 130
    assert capsys.readouterr().err == "stopped at once; saved work is kept\n"
    assert not [*place.glob("robometa-bug-*")]
    assert signal.getsignal(kind) is before

"""Hints for words that the command line does not know."""

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from robometa import registry
from robometa.commands import hints, train
from robometa.commands.arguments import Commands, Parser
from robometa.commands.main import main


def told(capsys, words):
    """The one line that answers a mistake."""
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line.removeprefix("error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list", "unknown command 'list' (did you mean 'suites' or 'learners'?); known: baseline, "),
        ("eval policies/x", "did you mean 'evaluate'?"),
        ("evalute policies/x", "did you mean 'evaluate'?"),
        ("help", "did you mean '--help'?"),
        ("sb3-ppo point-robot", "did you mean 'baseline sb3-ppo'?"),
        ("--hepl", "unknown option '--hepl' in robometa (did you mean '--help'?)"),
        ("baseline sb3-pop point-robot", "unknown baseline 'sb3-pop' (did you mean 'sb3-ppo'?); known: sb3-ppo, "),
        ("suites point-robot ant-goal", "one argument too many: 'ant-goal' (see `robometa suites --help`)"),
        ("evaluate a b", "robometa compare A B shows several side by side"),
        ("record x --live", "unknown option '--live' in robometa record: robometa play POLICY"),
        ("train point-robot sb3-ppo", "sb3-ppo is a baseline: robometa baseline sb3-ppo point-robot"),
        (
            "train point-robot rl2 --seed 1 2 3",
            "one argument too many: '2' (see `robometa train --help`); several seeds",
        ),
        (
            "train point-robot rl2 --hidden 64 64 --seed 1 2",
            "one argument too many: '2' (see `robometa train --help`); several seeds go after --seeds",
        ),
        ("train point-robot rl2 --hidden 64 --seed 64 64 --clip 0.1", "one argument too many: '64'"),
        ("train point-robot rl2 --clip 0.1 --seed 1 -2", "one argument too many: '-2'"),
        ("train point-robot --seed 1 rl2", "train needs a suite and a learner, as in `robometa train half"),
        ("train rl2 --seed 1 point-robot", "rl2 is a learner: robometa train SUITE rl2"),
        ("train point-robot rl2 extra", "one argument too many: 'extra' (see `robometa train --help`)"),
        ("train arm.xml rl2", "arm.xml is a robot's model, not a suite: `robometa suites arm.xml` prints one for it"),
        ("train ./a/b.XML rl2", "./a/b.XML is a robot's model, not a suite"),
        ("train mine.py:My point-robot", "mine.py:My is a learner: robometa train point-robot mine.py:My"),
    ],
)
def test_an_unknown_word_is_answered_with_the_one_that_is_meant(capsys, words, message):
    assert message in told(capsys, words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train pearl half-cheetah-velocity", "pearl is a learner: robometa train half-cheetah-velocity pearl"),
        ("train pearl ml1/reach-v3", "pearl is a learner: robometa train ml1/reach-v3 pearl"),
        ("train pearl", "pearl is a learner: robometa train SUITE pearl"),
        ("suites pearl", "pearl is a learner: robometa learners pearl"),
        ("learners ml10", "ml10 is a suite: robometa suites ml10"),
        ("baseline point-robot sb3-ppo", "point-robot is a suite: robometa baseline sb3-ppo point-robot"),
        ("evaluate sb3-ppo", "sb3-ppo is a baseline: robometa baseline sb3-ppo SUITE"),
        ("evaluate sb3-sac --suite ant-goal --steps 3", "sb3-sac is a baseline: robometa baseline sb3-sac SUITE"),
        ("evaluate scripted --suite ml10", "scripted is a baseline: robometa baseline scripted SUITE"),
        ("record sb3-td3", "sb3-td3 is a baseline: robometa baseline sb3-td3 SUITE"),
        ("evaluate rl2", "rl2 is a learner, not the folder of a policy: robometa train SUITE rl2 writes one"),
        ("record ml10", "ml10 is a suite, not the folder of a policy: robometa evaluate POLICY --suite ml10"),
    ],
)
def test_a_name_in_the_wrong_place_is_answered_with_the_right_command(capsys, words, message):
    assert told(capsys, words) == message


def test_a_folder_may_have_the_name_of_a_baseline(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("scripted").mkdir()
    assert "scripted is not a policy" in told(capsys, "evaluate scripted")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("pearl --lr 0.1", "unknown option '--lr' in learner pearl (did you mean '--learning-rate'?)"),
        ("maml-trpo --lr 0.1", "did you mean '--inner-step-size'?"),
        ("promp --lr 0.1", "did you mean '--learning-rate' or '--inner-step-size'?"),
        ("rl2 --gamma 0.9", "did you mean '--discount'?"),
        ("rl2 --total-timesteps 10000", "unknown option '--total-timesteps' in learner rl2 (did you mean '--steps'?)"),
        ("rl2 --n-envs 4", "did you mean '--worlds'?"),
        ("rl2 --eval-freq 4", "did you mean '--evaluate-every'?"),
        ("rl2 --env x", "unknown option '--env': suite and learner go without one, the suite first, as in `robometa"),
        ("--algo=rl2", "unknown option '--algo': suite and learner go without one, the learner second"),
        ("random --device gpu", "unknown device 'gpu' in this machine (did you mean 'cuda'?)"),
        (
            "rl2 --hidden 64,64",
            "option --hidden takes numbers with spaces between them, as in --hidden 64 64, not 64,64",
        ),
        ("rl2 --hidden=[64,64]", "as in --hidden 64 64, not [64,64]"),
        ("rl2 --hidden wide,deep", "option --hidden must be something like 64, not wide,deep"),
    ],
)
def test_an_option_is_answered_with_the_one_that_is_meant(capsys, words, message):
    assert message in told(capsys, f"train point-robot {words}")


def test_steps_are_separated_by_spaces(capsys):
    line = told(capsys, "baseline sb3-ppo point-robot --steps 400,4000")
    assert line.startswith("--steps must be a whole number from 1, not 400,4000; separate several by spaces")


@pytest.mark.parametrize("option", hints.OPTIONS)
def test_a_hint_is_only_for_options_that_there_are(option):
    assert "did you mean" not in hints.unknown_option(option, ["--zzzzzzzzzzzz"], "a command")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate", "missing POLICY, as in `robometa evaluate "),
        ("baseline scripted", "missing SUITE, as in `robometa baseline scripted ml1/reach-v3"),
        ("merge a b --weight half", "--weight must be a number from 0 to 1, not half"),
        ("merge a b --weight 1.5", "--weight must be a number from 0 to 1, not 1.5"),
        ("evaluate a --contact-capacity 0", "--contact-capacity must be a number above 0 and at most 1000, not 0"),
        ("evaluate a --seed", "--seed: expected one argument"),
        ("evaluate a --shots 1.5", "--shots must be a whole number from 0, not 1.5"),
    ],
)
def test_a_mistake_names_the_value_and_the_allowed_ones(capsys, words, message):
    assert told(capsys, words).startswith(message)


def test_every_option_that_is_meant_is_one_of_ours():
    ours = set(train.add_to(Commands(Parser())).options())
    for learner in registry.LEARNERS:
        presets = registry.find(learner).presets()
        ours |= {f"--{name.replace('_', '-')}" for name in asdict(next(iter(presets.values())))}
    assert {option for options in hints.OPTIONS.values() for option in options} <= ours | {"--out"}


def test_a_folder_of_runs_and_the_policy_of_a_run_are_answered_with_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("two", "one", ".one.old"):
        (tmp_path / "runs" / name / "policy").mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    assert told(capsys, "evaluate runs").endswith("; did you mean runs/one or another of 2 there?")
    assert told(capsys, "resume runs/one/policy").endswith("has no run.json; did you mean runs/one?")
    assert told(capsys, "evaluate runs/one/policy").endswith("it needs manifest.json and tensors.safetensors")


def test_a_folder_that_cannot_be_listed_is_answered_without_a_hint(tmp_path, monkeypatch, capsys):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert told(capsys, f"evaluate {tmp_path}").endswith("it needs manifest.json and tensors.safetensors")


@pytest.mark.parametrize("command", ["compare", "report", "export-table", "export", "evaluate", "play", "resume"])
def test_a_wrong_path_is_refused_before_torch_is_loaded(command, tmp_path):
    program = (
        "import sys\nfrom robometa.commands.main import main\n"
        f"code = main([{command!r}, 'nowhere'])\nassert 'torch' not in sys.modules\nsys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (2, ""), run.stderr
    assert "nowhere" in run.stderr


def test_a_suite_s_file_beside_is_meant_by_its_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("slope.toml").touch()
    assert told(capsys, "train slope rl2").endswith("(did you mean ./slope.toml?)")
    assert told(capsys, "train slop rl2").endswith("(or the path of a .toml file)")

"""The help of every command: grouped, short, with an example that works, and a default for every option."""

import argparse
import shlex

import pytest

from robometa.commands import main as cli
from robometa.commands.hints import FROM_SCRATCH
from robometa.commands.main import GROUPS, main
from robometa.evaluation.stable_baselines3 import ALGORITHMS

RIDDLES = {"what", "how", "whether", "where", "which", "who", "the", "for", "of", "to"}
"""Words that begin neither with a verb nor with a noun."""


def commands(parser, name=""):
    """Every parser below one, by the words that reach it."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                found[f"{name} {word}".strip()] = inner
                found |= commands(inner, f"{name} {word}".strip())
    return found


PARSERS = commands(cli.parser())


def test_commands_stand_in_groups(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    places = [printed.index(f"\n{group}:\n") for group in ("train", "measure", "deploy", "look", "housekeeping")]
    assert places == sorted(places)
    for members in GROUPS.values():
        for module in members:
            name = module.__name__.rpartition(".")[2].replace("_", "-")
            assert f"\n  {name:14} {module.ABOUT}\n" in printed


@pytest.mark.parametrize("name", PARSERS)
def test_help_is_short_and_names_defaults(name):
    parser = PARSERS[name]
    texts = [parser.description.partition("\n")[0]]
    for action in parser._actions:
        texts.append(action.help)
        if action.option_strings and action.nargs != 0:
            assert ("(required)" if action.required else "(default: ") in action.help, action.option_strings
        if action.type is not None and action.default not in (None, argparse.SUPPRESS):
            assert f"(default: {action.default:g})" in action.help, action.option_strings
    for text in texts:
        words = text.partition(" (default")[0].removesuffix(" (required)").split()
        assert len(words) <= 12, text
        assert words[0].lower() not in RIDDLES, text


@pytest.mark.parametrize("name", PARSERS)
def test_prose_fits_the_terminal(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    description = PARSERS[name].format_help().partition("\npositional arguments:")[0].partition("\noptions:")[0]
    assert not [line for line in description.splitlines() if len(line) > 80 and not line.startswith(" ")]


def test_the_whole_help_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli.parser().format_help().splitlines()
    assert not [line for line in lines if len(line) > 80 and not line.startswith("  robometa ")]


@pytest.mark.parametrize("name", PARSERS)
def test_no_name_is_torn_at_a_hyphen(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    after = PARSERS[name].format_help().partition("\noptions:")[2]
    assert not [line for line in after.splitlines() if line.endswith("-")]


@pytest.mark.parametrize("name", PARSERS)
def test_the_example_in_the_help_is_understood(name, capsys):
    parser = PARSERS[name]
    line = parser.epilog.removeprefix("example:\n  ")
    assert "\n" not in line
    assert line.startswith(f"robometa {name}")
    asked, rest = cli.parser().parse_known_args(shlex.split(line)[1:])
    assert not rest or asked.takes_learner_options
    with pytest.raises(SystemExit) if name != "train" else pytest.MonkeyPatch.context():
        main([*name.split(), "--help"])
    assert line in capsys.readouterr().out


def test_every_algorithm_has_a_command():
    assert set(ALGORITHMS) == set(FROM_SCRATCH)

"""The card of a policy: its command trains the same configuration again."""

import shlex
from dataclasses import asdict

import pytest
from conftest import record_of

from robometa import suites
from robometa.commands.learner_options import read_options
from robometa.policies import card
from robometa.registry.options import read_config, resolve
from robometa.trials.make import build


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("maml-trpo", {"first_order": True, "hidden": (8, 8)}),
        ("fomaml", {"first_order": False, "tasks": 7}),
        ("fomaml", {}),
        ("anil", {"worlds": 3}),
    ],
)
def test_the_command_on_a_card_trains_the_same_configuration(name, changed):
    suite = suites.load("point-robot")
    config = resolve(suite, name, changed)
    text = card.text(name, build(name, config, suite, seed=3), suite, record_of(name))
    command = next(line for line in text.splitlines() if line.startswith("Train it again")).split("`")[1]
    words = shlex.split(command)
    assert words[:4] == ["robometa", "train", "point-robot", name]
    rest = words[4:]
    assert rest[:2] == ["--seed", "3"]
    assert read_options(suite, name, None, rest[2:]) == asdict(config)


def test_options_that_a_name_stands_for_hold_where_nothing_else_is_said():
    suite = suites.load("point-robot")
    assert build("fomaml", read_config("fomaml", {}), suite, seed=0).config.first_order
    assert build("anil", read_config("anil", {}), suite, seed=0).config.last_layer_only
    assert not build("maml-trpo", read_config("maml-trpo", {}), suite, seed=0).config.first_order

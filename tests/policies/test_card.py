"""The card of a policy: its command trains the same configuration again."""

import shlex
from dataclasses import asdict, replace

import pytest
from conftest import record_of

from robometa import suites
from robometa.commands.learner_options import read_options
from robometa.policies import card, card_tables
from robometa.policies.manifest import TrainingRecord
from robometa.registry.options import read_config, resolve
from robometa.storage.table import Table
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
    text = card.text(
        name, build(name, config, suite, seed=3), suite, replace(record_of(name), torch_threads=2, piece=3)
    )
    command = next(line for line in text.splitlines() if line.startswith("Train it again")).split("`")[1]
    words = shlex.split(command)
    assert words[:4] == ["robometa", "train", "point-robot", name]
    rest = words[4:]
    assert rest[:2] == ["--seed", "3"]
    assert rest[-4:] == ["--torch-threads", "2", "--piece", "3"]
    rest = rest[:-4]
    assert read_options(suite, name, None, rest[2:]) == asdict(config)


def test_options_that_a_name_stands_for_hold_where_nothing_else_is_said():
    suite = suites.load("point-robot")
    assert build("fomaml", read_config("fomaml", {}), suite, seed=0).config.first_order
    assert build("anil", read_config("anil", {}), suite, seed=0).config.last_layer_only
    assert not build("maml-trpo", read_config("maml-trpo", {}), suite, seed=0).config.first_order


@pytest.mark.parametrize("source", ["Rakelly et al. 2019", ""])
def test_a_suite_has_a_row_for_its_source_if_it_has_one(source):
    suite = replace(suites.load("point-robot"), source=source)
    text = card.text(
        "maml-trpo", build("maml-trpo", read_config("maml-trpo", {}), suite, 0), suite, record_of("maml-trpo")
    )
    rows = [line for line in text.splitlines() if line.startswith("| source")]
    assert rows == ([f"| source | {source} |"] if source else [])
    assert "\n\n| learner" not in text  # the table is one


def test_a_policy_that_was_chosen_among_seeds_says_so():
    suite = suites.load("point-robot")
    learner = build("maml-trpo", read_config("maml-trpo", {}), suite, seed=3)
    record = replace(record_of("maml-trpo"), chosen_from=5)
    assert "best of 5 seeds by training return" in card.text("maml-trpo", learner, suite, record)
    assert "best of" not in card.text("maml-trpo", learner, suite, record_of("maml-trpo"))
    assert TrainingRecord.read(Table(record.to_json(), "a manifest")).chosen_from == 5


def test_a_number_that_a_report_does_not_have_is_a_dash():
    row = {"interquartile_mean": -2.0, "low": -3.0, "high": -1.0}
    shot = {"shot": 0, "label": "first episode", "episodes_seen": 0.0, "mean_action": row, "exploring": row}
    report = {"shots": [shot], "random": row, "references": None}
    assert "| first episode | 0 | -2.0 [-3.0, -1.0] | \N{EN DASH} | -2.0 [-3.0, -1.0] |\n" in card_tables.returns(
        report
    )
    assert "| first episode | \N{EN DASH} | \N{EN DASH} |\n" in card_tables.successes(report)
    assert "no adaptation" not in card_tables.successes(report)  # nobody measured it on such a suite
    assert "not recorded by the version that measured this" in card_tables.missing(report)
    assert card_tables.gap(report) == ""


def test_a_card_names_the_gpu_and_trains_on_one():
    suite = suites.load("point-robot")
    learner = build("maml-trpo", read_config("maml-trpo", {}), suite, seed=3)
    record = replace(record_of("maml-trpo"), gpu="NVIDIA H200")
    text = card.text("maml-trpo", learner, suite, record)
    assert "on 2 cores and one NVIDIA H200, seed 3" in text
    assert "--device cuda" in text
    assert "--device" not in card.text("maml-trpo", learner, suite, record_of("maml-trpo"))
    assert TrainingRecord.read(Table(record.to_json(), "a manifest")).gpu == "NVIDIA H200"

"""A learner's options: described, resolved, read from a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated

import pytest

from robometa import registry
from robometa.errors import Options, Range, UserError
from robometa.nn.recurrent import KINDS
from robometa.registry.options import Option, configuration_words, described, read_config, resolve


@dataclass(frozen=True)
class Base(Options):
    """An option whose meaning takes two lines."""

    rate: Annotated[float, "(0, 1]"] = 0.5
    """How fast
    it goes."""


@dataclass(frozen=True)
class Config(Base):
    """Options with and without a range, a meaning, a plain default."""

    steps: Annotated[int, "[1, inf)"] = 3
    """Steps."""
    fast: bool = False
    names: tuple[str, ...] = field(default_factory=lambda: ("a",))
    """Names."""


def test_options_are_described_in_order():
    assert described(Config) == [
        Option("rate", float, Range("(0, 1]"), 0.5, "How fast it goes."),
        Option("steps", int, Range("[1, inf)"), 3, "Steps."),
        Option("fast", bool, None, False, ""),
        Option("names", tuple[str, ...], None, ("a",), "Names."),
    ]


def test_a_class_without_source_is_described_without_meanings():
    namespace = {"__name__": __name__}
    exec("from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Made:\n    rate: float = 1.0", namespace)
    assert described(namespace["Made"]) == [Option("rate", float, None, 1.0, "")]


@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_every_option_of_a_shipped_learner_has_a_range_and_a_meaning(name):
    configuration = registry.find(name).load().configuration
    for option in described(configuration):
        assert option.meaning, option.name
        assert option.range is not None or option.kind is bool, option.name
        if option.name == "memory":
            assert option.range.choices[0] == next(iter(KINDS))
            assert {*option.range.choices} <= {*KINDS, "transformer"}
    for preset in registry.find(name).presets().values():
        for option in described(configuration):
            value = getattr(preset, option.name)
            inside = value if isinstance(value, tuple) else (value,)
            assert option.range is None or all(entry in option.range for entry in inside)


@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_a_number_below_its_range_is_refused_by_every_shipped_learner(name):
    configuration = registry.find(name).load().configuration
    for option in described(configuration):
        if option.range is not None and not option.range.choices:
            below = option.range.ends[0] - 1
            value = (int(below),) if isinstance(option.default, tuple) else type(option.default)(below)
            with pytest.raises(UserError, match=f"option {option.name} must be (in|at least|above) "):
                configuration(**{option.name: value})


def test_the_preset_gives_way_to_the_suite_and_the_suite_to_the_user(tiny_suite):
    suite = replace(tiny_suite, learner={"maml-trpo": {"worlds": 7, "tasks": 6, "hidden": [8, 8], "discount": 1}})
    paper = registry.find("maml-trpo").presets()["paper"]
    config = resolve(suite, "maml-trpo", {"tasks": 5, "discount": 0.5}, "paper")
    assert config == replace(paper, worlds=7, tasks=5, hidden=(8, 8), discount=0.5)
    assert resolve(tiny_suite, "maml-trpo", {}) == next(iter(registry.find("maml-trpo").presets().values()))


def test_a_variant_keeps_its_option_unless_the_user_changes_it(tiny_suite):
    assert resolve(tiny_suite, "fomaml", {}).first_order
    assert not resolve(tiny_suite, "fomaml", {"first_order": False}).first_order


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worlds": 0}, "option worlds must be at least 1, not 0"),
        ({"wurlds": 3}, "unknown option 'wurlds' in learner rl2 (did you mean 'worlds'?)"),
        ({"worlds": "many"}, "option worlds of learner rl2 must be something like 2, not 'many'"),
        ({"memory": "gur"}, "unknown memory 'gur' (did you mean 'gru'?); known: gru, lstm, transformer"),
    ],
)
def test_what_cannot_be_resolved_is_told(tiny_suite, options, message):
    with pytest.raises(UserError) as told:
        resolve(tiny_suite, "rl2", options)
    assert message in str(told.value)


@pytest.mark.parametrize("name", list(registry.LEARNERS))
def test_a_configuration_is_read_as_it_was_written(name):
    for preset in registry.find(name).presets().values():
        assert read_config(name, json.loads(json.dumps(asdict(preset)))) == preset


def test_what_a_file_leaves_out_has_its_default():
    assert read_config("anil", {"hidden": [4]}) == replace(
        registry.find("anil").load().configuration(), hidden=(4,), last_layer_only=True
    )


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"worlds": 0}, "option worlds must be at least 1, not 0"),
        ({"worlds": None}, "learner rl2: option worlds must be something like 2, not None"),
        ({"hidden": ["wide"]}, "learner rl2: option hidden must be something like (64,), not ('wide',)"),
        ({"surprise": 1}, "learner rl2: "),
    ],
)
def test_a_file_that_holds_no_configuration_is_refused(saved, message):
    with pytest.raises(UserError) as told:
        read_config("rl2", saved)
    assert message in str(told.value)


def test_ranges_are_told_along_with_names_and_kinds(tiny_suite):
    with pytest.raises(UserError) as raised:
        resolve(tiny_suite, "rl2", {"memry": 3, "epochs": 0, "hidden": "wide"})
    told = str(raised.value)
    assert "memry" in told
    assert "hidden" in told
    assert "epochs must be at least 1" in told


def test_a_configuration_s_name_tells_what_differs_from_its_preset():
    assert configuration_words("gru", {}) == configuration_words("gru", {"iterations": 3}) == "gru configuration"
    assert configuration_words("gru", {"memory": "transformer"}) == "gru configuration with memory transformer"
    many = configuration_words("gru", dict.fromkeys("abcde", 1))
    assert many == "gru configuration with a 1, b 1, c 1 and 2 more"

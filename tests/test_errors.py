"""Options and their ranges: in annotations or in a call, for numbers, lists and choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest

from robometa.errors import Options, Range, UserError, ranges_of, require, unknown


@dataclass(frozen=True)
class Config(Options):
    """An option of every kind."""

    rate: Annotated[float, "(0, 1]"] = 0.5
    steps: Annotated[int, "[1, inf)"] = 3
    hidden: Annotated[tuple[int, ...], "[1, 512]"] = (64,)
    places: Annotated[tuple[int, ...], "[0, inf)"] = ()
    memory: Annotated[str, "{gru, lstm}"] = "gru"
    limit: Annotated[int | None, "[1, inf)"] = None
    fast: bool = False
    note: Annotated[str, "shown in the card"] = ""


@dataclass(frozen=True)
class Narrower(Config):
    """Those options, with another range."""

    rate: Annotated[float, "(0, 0.1)"] = 0.05


@dataclass(frozen=True)
class Plain:
    """Options without base and ranges."""

    rate: float = 0.5
    steps: int = 3


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("(0, 1]", (1, 0.5, 1e-300), (0, -1, 1.1, float("nan"))),
        ("[0, 1)", (0, 0.5), (1, -1e-9)),
        ("[1, inf)", (1, 10**9), (0, float("inf"), float("nan"))),
        ("(-inf, inf)", (0, -1e300), (float("inf"), float("-inf"))),
        ("{gru, lstm}", ("gru", "lstm"), ("gur", "", "gru, lstm")),
    ],
)
def test_a_range_contains_what_it_says(text, inside, outside):
    assert all(value in Range(text) for value in inside)
    assert not any(value in Range(text) for value in outside)
    assert str(Range(text)) == text


@pytest.mark.parametrize("text", ["(0 1]", "[1, many)", "(0, 1", "{}", "(see the paper)", "(1, 2, 3)"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="a range must be written as"):
        Range(text)


def test_a_range_can_be_read_by_a_search():
    assert Range("(0, inf)").ends == (0, float("inf"))
    assert Range("(0, inf)").choices == ()
    assert Range("[1e-6, -0.5]").ends == (1e-6, -0.5)
    assert Range("{gru, lstm}").choices == Range("{gru,lstm}").choices == ("gru", "lstm")


def test_ranges_are_read_from_annotations_and_a_subclass_may_replace_them():
    ranges = ranges_of(Config)
    assert list(ranges) == ["rate", "steps", "hidden", "places", "memory", "limit"]
    assert ranges["rate"] == Range("(0, 1]")
    assert ranges_of(Narrower) == ranges | {"rate": Range("(0, 0.1)")}
    assert ranges_of(Plain) == {}


@pytest.mark.parametrize("name", ["RL2", "Rl-2"])
def test_the_nearest_name_is_found_in_another_case(name):
    assert unknown("learner", name, ["rl2", "pearl"]).startswith(f"unknown learner {name!r} (did you mean 'rl2'?)")


def test_a_long_list_of_names_is_shown_only_without_a_guess():
    names = [f"option-{number:02}" for number in range(30)]
    assert unknown("option", "option-077", names) == "unknown option 'option-077' (did you mean 'option-07'?)"
    assert unknown("option", "something", names).endswith("option-28, option-29")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0.0}, "option rate must be in (0, 1], not 0.0"),
        ({"rate": "fast"}, "option rate must be a number in (0, 1], not 'fast'"),
        ({"rate": True}, "option rate must be a number in (0, 1], not True"),
        ({"steps": 2.5}, "option steps must be a whole number in [1, inf), not 2.5"),
        ({"hidden": (64, 0)}, "option hidden must be in [1, 512], not (64, 0)"),
        ({"places": (-1,)}, "option places must be at least 0, not (-1,)"),
        ({"places": (0.5,)}, "option places must be a whole number in [0, inf), not (0.5,)"),
        ({"memory": "gur"}, "unknown memory 'gur' (did you mean 'gru'?); known: gru, lstm"),
        ({"limit": 0}, "option limit must be at least 1, not 0"),
        (
            {"rate": 2, "steps": 0},
            "option rate must be in (0, 1], not 2\noption steps must be at least 1, not 0",
        ),
    ],
)
def test_an_option_outside_its_range_is_refused(changes, message):
    with pytest.raises(UserError) as told:
        Config(**changes)
    assert str(told.value) == message


def test_options_within_their_ranges_are_taken():
    assert Config(rate=1, hidden=(), places=(0, 3), memory="lstm", limit=7).limit == 7
    assert Narrower().rate == 0.05
    with pytest.raises(UserError, match=r"rate must be in \(0, 0\.1\)"):
        Narrower(rate=0.5)


def test_ranges_in_a_call_need_neither_base_nor_annotations():
    require(Plain(), rate="(0, 1]", steps="[1, inf)")
    with pytest.raises(UserError) as told:
        require(Plain(rate=2.0, steps=0.5), rate="(0, 1]", steps="[1, inf)")
    assert str(told.value).splitlines() == [
        "option rate must be in (0, 1], not 2.0",
        "option steps must be a whole number in [1, inf), not 0.5",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, inf)", "at least 1"),
        ("(0, inf)", "above 0"),
        ("(0, 1]", "in (0, 1]"),
        ("(-inf, inf)", "in (-inf, inf)"),
    ],
)
def test_an_interval_without_an_end_is_put_in_words(text, words):
    assert Range(text).words == words

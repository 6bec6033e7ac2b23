"""Untrusted text: one function for each place where it is shown, and nothing of it acts there."""

import pytest

from robometa import escape
from robometa.console import PlainConsole, styled
from torture.markup import HOSTILE, NAMES, faults_of_card, faults_of_terminal


@pytest.mark.parametrize("text", [*HOSTILE, *NAMES])
def test_no_hostile_text_acts(text, capsys):
    assert escape.printable(text).isprintable()
    assert not faults_of_terminal(escape.lines(text))
    for shown in (escape.markdown(text), escape.code(text), f"x {escape.code(text)} y"):
        assert not faults_of_card(shown)
        assert "\n" not in shown
        assert "<" not in shown
    assert "<" not in escape.html(text)
    assert '"' not in escape.html('" onclick="x')
    console = PlainConsole(width=1000)
    console.print(text)
    console.print(styled(text))
    assert not faults_of_terminal(capsys.readouterr().out)


def test_plain_text_is_shown_as_it_is():
    for text in ("runs/a_b-c.1", "-18.8, x86_64", "RL^2: 1.5 of 2 (see https://arxiv.org/abs/1703.03400)", "ümläut"):
        assert escape.printable(text) == text
        assert escape.markdown(text).lstrip("\\") == text
        assert escape.code(text) == f"`{text}`"


@pytest.mark.parametrize("text", ["- a", "1. a", "12) a", "# a", "===", "+ a"])
def test_no_text_begins_a_list_or_a_heading(text):
    assert "\\" in escape.markdown(text)


def test_a_word_is_one_for_the_shell():
    assert escape.word("a b; rm x") == "'a b; rm x'"
    assert escape.word("runs/x-0") == "runs/x-0"

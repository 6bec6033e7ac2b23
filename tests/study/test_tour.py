"""The tour's outputs in the documentation: blocks are found, and shortened by rule."""

import pytest

from study import tour

EVALUATED = """\
maml-trpo on point-robot (test)

success
shot   seen mean action any step
before 0    0.0%        0.0%

return
shot   seen steps mean action          mean
before 0    0     -15.5 [-15.5, -15.4] -15.5
1      20   400   -6.4 [-6.5, -6.4]    -6.4
random                                 -20.2 [-20.6, -19.9]

mean return of each task
0    goal 0.8 -1.0 -2.0
"""


@pytest.mark.parametrize("page", tour.PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_can_be_renewed(page):
    text = page.read_text(encoding="utf-8")
    commands = []

    def output(command):
        commands.append(command)
        return ["policy: here", "written: there", "shot seen steps"]

    assert tour.renewed(text, output) != text
    assert commands[0].startswith("robometa train point-robot maml-trpo")
    assert commands[1].startswith("robometa evaluate ")


def test_an_output_is_shortened_by_rule():
    assert tour.shortened("robometa evaluate X", EVALUATED.splitlines()).splitlines() == [
        "shot   seen steps mean action          mean",
        "before 0    0     -15.5 [-15.5, -15.4] -15.5",
        "1      20   400   -6.4 [-6.5, -6.4]    -6.4",
        "random                                 -20.2 [-20.6, -19.9]",
        "...",
    ]
    lines = [
        "maml-trpo (default) on x",
        "iteration 1/30  8",
        "iteration 2/30  9",
        "iteration 30/30  9",
        "policy: p",
        "q",
    ]
    assert tour.shortened("robometa train X", lines).split("\n")[:5] == [*lines[:2], "...", *lines[3:5]]

"""Hardware that a command may use."""

from contextlib import suppress

import pytest

from robometa.commands.main import main
from robometa.compute.hardware import ENGINES, EVALUATORS, Hardware, collector_named, forms_of
from robometa.errors import UserError


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"torch_threads": 1025}, "torch_threads must be from 1 to 1024, not 1025"),
        ({"contact_capacity": 0.0}, "contact_capacity must be above 0"),
        ({"contact_capacity": 1001.0}, "at most 1000, not 1001"),
    ],
)
def test_a_number_out_of_its_range_is_refused(asked, message):
    with pytest.raises(UserError, match=message):
        Hardware(**asked)


def test_each_form_of_a_collector_names_one_and_nothing_else_does():
    named = {form: collector_named(form) for form in forms_of()}
    assert named["processes:N"] == named["processes"] == "processes"
    assert named["ray://HOST:PORT"] == named["ray:HOST:PORT"] == named["ray"] == "ray"
    for wrong in ("there", "here:1", "auto:", ""):
        with pytest.raises(UserError, match=r"unknown collect .*; known: auto, here, processes, processes:N, ray, "):
            collector_named(wrong)
    with pytest.raises(UserError, match=r"; known: here, processes, processes:N$"):
        collector_named("ray", EVALUATORS)


@pytest.mark.parametrize(("command", "forms"), [("train", forms_of()), ("evaluate", forms_of(EVALUATORS))])
def test_help_lists_what_is_allowed(command, forms, capsys):
    with suppress(SystemExit):
        main([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert ", ".join(forms) in shown
    assert ", ".join(ENGINES) in shown

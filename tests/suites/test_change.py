"""Changes of tasks in suites' files: every mistake in a line, part of the hash only where there are any."""

import pytest

from robometa import suites
from robometa.commands.suites import print_suite
from robometa.errors import UserError

SUITE = """
robot = "half-cheetah"
objective = "velocity"
horizon = 10
[train]
tasks = 3
velocity = { uniform = [0, 1] }
gravity = 1
payload = { uniform = [0, 1] }
joint_offset = { normal = [0, 0.1] }
[test]
tasks = 2
velocity = { uniform = [2, 3] }
gravity = { uniform = [1, 2] }
payload = { uniform = [0, 1] }
joint_offset = { normal = [0, 0.1] }
"""
GOOD = 'every = 5\nredraw = ["velocity"]'


@pytest.fixture
def load(tmp_path):
    """Loads a suite with a `[change]`; every call writes a file of its own."""
    count = iter(range(1000))

    def load(change):
        file = tmp_path / f"mine-{next(count)}.toml"
        file.write_text(SUITE + (f"[change]\n{change}" if change else ""))
        return suites.load(str(file))

    return load


def test_a_change_is_read_with_the_distributions_of_its_split(load):
    suite = load('at = [3, 8]\nevery = [2, 4]\nbetween_episodes = true\nredraw = ["velocity"]')
    change = suite.train[0].change
    assert (change.at, change.every, change.between_episodes, change.names) == ((3, 8), (2, 4), True, ("velocity",))
    assert [dict(task.change.redraw)["velocity"]["uniform"] for task in (suite.train[0], suite.test[0])] == [
        [0.0, 1.0],
        [2.0, 3.0],
    ]
    assert suite.change == change
    assert suite.drawn(0, 0).change == change
    hash(suite.train[0])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("evry = 5", "unknown key 'evry' in [change] of"),
        ('redraw = ["velocity"]', "never happens: it needs one of at, every, between_episodes"),
        ("every = 5", "does nothing: it needs one of redraw, before, drift, wander"),
        ("every = 0", "every = 0 in [change] of"),
        ("every = [4, 2]", "must be a number of steps, or a range [least, most]"),
        ("every = { uniform = [4, 8] }", "must be a number of steps, or a range [least, most]"),
        ("every = 2.5", "must be a whole number from 1"),
        ("at = []", "must be a list of 1 to 1000 steps"),
        ("at = [4, 4]", "must rise from step to step"),
        ("at = [0]", "must be a whole number from 1"),
        ("between_episodes = 1", "must be true or false"),
        ('redraw = "velocity"', "must be a list of parameters"),
        ('redraw = ["velocity", "velocity"]', "has velocity more than once"),
        ('redraw = ["velocty"]', "did you mean 'velocity'"),
        ('every = 5\nredraw = ["gravity"]', "draws gravity anew, and [train] has one number for it"),
        ('redraw = ["joint_offset"]', "joint_offset cannot change within a trial"),
        ("before = 1", "must be a table with an entry for each parameter"),
        ("before = { velocity = [1, 2] }", "1 number needed"),
        ("before = { velocity = { uniform = [0, 1] } }", "must be a number, or a list of 1"),
        ("drift = { payload = { unform = 1 } }", "did you mean 'uniform'"),
        ("every = 5\ndrift = { payload = 0.1 }", "needs limits = { payload = [low, high] }"),
        ("every = 5\nwander = { payload = 0.1 }\nlimits = { payload = [1, 0] }", "must be a range [low, high]"),
        (f"{GOOD}\nlimits = {{ payload = [0, 1] }}", "limits payload, which neither drifts nor wanders"),
        (f"{GOOD}\ndrift = {{ velocity = 0.1 }}\nlimits = {{ velocity = [0, 1] }}", "moves velocity twice"),
        (
            "every = 5\nbefore = { payload = 0 }\ndrift = { payload = 1 }\nlimits = { payload = [0, 1] }",
            "gives payload in before, and lets it drift or wander",
        ),
    ],
)
def test_each_mistake_is_told_in_a_line(load, change, told):
    with pytest.raises(UserError) as caught:
        load(change)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_is_told_once(load):
    with pytest.raises(UserError) as caught:
        load("every = 5\ndrift = { payload = 0.1 }\nwander = { payload = 0.1 }")
    assert str(caught.value).count("needs limits") == 1


def test_what_no_model_can_have_is_refused(tmp_path):
    for change in ("before = { body_mass = 0 }", "drift = { body_mass = -0.1 }\nlimits = { body_mass = [0, 1] }"):
        body = SUITE.replace("payload = ", "body_mass = ")
        file = tmp_path / f"heavy-{len(change)}.toml"
        file.write_text(f"{body}[change]\nevery = 5\n{change}")
        with pytest.raises(UserError, match="body_mass must be above 0, not 0"):
            suites.load(str(file))


def test_the_hash_is_of_the_change_too(load):
    hashes = {load(change).content_hash for change in ("", GOOD, 'every = 6\nredraw = ["velocity"]')}
    assert len(hashes) == 3
    assert load(GOOD).content_hash == load(GOOD).content_hash


def test_a_shipped_suite_without_a_change_keeps_its_hash():
    assert suites.load("half-cheetah-velocity").content_hash.startswith("1413a9c1e35848f9")


def test_the_command_shows_the_change(load, capsys):
    print_suite(load("every = [2, 4]\nwander = { payload = { normal = [0, 0.1] } }\nlimits = { payload = [0, 2] }"))
    shown = " ".join(capsys.readouterr().out.split())
    assert "changes every 2 to 4 steps of a trial: payload wanders by normal [0.0, 0.1], within 0..2" in shown


def test_meta_worlds_tasks_stay(tmp_path):
    file = tmp_path / "arm.toml"
    file.write_text('robot = "sawyer"\n[change]\nevery = 5')
    with pytest.raises(UserError, match=r"Meta-World's tasks stay as they are: no \[change\]"):
        suites.load(str(file))


def test_a_change_that_no_trial_reaches_is_told(load):
    suite = load('at = [3, 25, 31]\nevery = [30, 40]\nredraw = ["velocity"]')
    assert suite.unreached(3) is None
    assert suite.unreached(2) == "a trial has 30 steps, so the task does not change at step 31, 30"
    assert load("").unreached(0) is None

"""The limit of a test's processor time notices a test beyond it, and children count."""

import subprocess
import sys
import types

import processor_time
import pytest


def test_a_test_beyond_the_limit_is_told_unless_it_is_slow():
    assert not processor_time.fault(60.0, 60.0, slow=False)
    assert "shorten the test" in processor_time.fault(61.0, 60.0, slow=False)
    assert not processor_time.fault(61.0, 60.0, slow=True)


def test_the_time_of_children_counts():
    before = processor_time.used()
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-I", "-S", "-c", busy], check=True)
    assert processor_time.used() - before >= 0.3


def test_a_test_beyond_the_limit_fails():
    """The hook itself, around a call that takes no time, with a limit below it."""
    config = types.SimpleNamespace(getini={processor_time.LIMIT: "-1"}.get)
    item = types.SimpleNamespace(user_properties=[], get_closest_marker=lambda name: None, config=config)
    around = processor_time.pytest_runtest_call(item)
    next(around)
    with pytest.raises(pytest.fail.Exception, match="shorten the test"):
        around.send(None)
    assert item.user_properties[0][0] == processor_time.PROPERTY


def test_the_longest_come_first():
    def report(name, *seconds):
        noted = [(processor_time.PROPERTY, value) for value in seconds]
        return types.SimpleNamespace(nodeid=name, when="teardown", user_properties=noted)

    tests, total = processor_time.longest([report("short", 0.1, 0.2), report("long", 3.0, 1.0), "a warning"])
    assert tests == [("long", 4.0), ("short", 0.1 + 0.2)]
    assert total == 4.0 + (0.1 + 0.2)

"""Processor time of every test, its child processes included: a limit for the default run, and a list of the longest.

Unlike the time on a clock it hardly depends on what else the machine does, so a limit can be kept.
"""

import resource

import pytest

LIMIT = "processor_seconds"
"""Setting of pytest: processor time that a test may take without its fixtures, s. A busy machine doubles it."""
SHOWN = 10
"""Tests in the list at the end."""
PROPERTY = "processor seconds"


def used():
    """Processor time of this process and of its children that have ended, s."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def fault(seconds, limit, slow):
    """Message about a test that takes too long; empty if there is nothing wrong."""
    if slow or seconds <= limit:
        return ""
    return f"{seconds:.0f} s of processor time, more than {limit:.0f}: shorten the test or mark it as slow"


def add_setting(parser):
    """Makes the limit a setting; where kernels are compiled (make test-gpu) it is higher."""
    parser.addini(LIMIT, "processor time that a test may take without its fixtures, s", default="60")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """Notes what the fixtures of a test take."""
    before = used()
    try:
        return (yield)
    finally:
        item.user_properties.append((PROPERTY, used() - before))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Notes what a test takes itself, and fails it beyond the limit."""
    before = used()
    try:
        result = yield
    finally:
        seconds = used() - before
        item.user_properties.append((PROPERTY, seconds))
    told = fault(seconds, float(item.config.getini(LIMIT)), item.get_closest_marker("slow") is not None)
    if told:
        pytest.fail(told, pytrace=False)
    return result


def longest(reports):
    """Names of the tests that took most, with seconds, and the sum of all."""
    seconds = {
        report.nodeid: sum(value for name, value in report.user_properties if name == PROPERTY)
        for report in reports
        if getattr(report, "when", None) == "teardown"
    }
    return sorted(seconds.items(), key=lambda entry: -entry[1])[:SHOWN], sum(seconds.values())


def pytest_terminal_summary(terminalreporter):
    """Lists the tests with the most processor time."""
    tests, total = longest([report for kept in terminalreporter.stats.values() for report in kept])
    if len(tests) == SHOWN:
        terminalreporter.section(f"processor time: {total:.0f} s, of which with fixtures and children")
        for name, seconds in tests:
            terminalreporter.write_line(f"{seconds:7.1f} s  {name}")

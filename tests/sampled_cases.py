"""Tests of many like cases: a default run takes some of them, `make test-all` all."""

import pytest

ALL = "all_cases"
"""Setting of pytest: take all cases."""


def add_setting(parser):
    """Makes it a setting that all cases are taken, for targets that choose their files (make test-gpu)."""
    parser.addini(ALL, "take all cases of tests with a sample", type="bool", default=False)


def chosen(count, most):
    """Numbers of at most `most` of so many cases, spread evenly, the first and the last among them."""
    if most >= count:
        return set(range(count))
    return {round(place * (count - 1) / max(most - 1, 1)) for place in range(most)}


@pytest.hookimpl(tryfirst=True)  # before slow ones are deselected
def pytest_collection_modifyitems(config, items):
    """Marks the cases beyond a test's sample as slow."""
    if config.getini(ALL):
        return
    cases = {}
    for item in items:
        if item.get_closest_marker("sample") is not None and item.get_closest_marker("slow") is None:
            cases.setdefault((item.path, item.originalname), []).append(item)
    for of_test in cases.values():
        kept = chosen(len(of_test), of_test[0].get_closest_marker("sample").args[0])
        for number, item in enumerate(of_test):
            if number not in kept:
                item.add_marker(pytest.mark.slow)

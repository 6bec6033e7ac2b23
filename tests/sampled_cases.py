"""Tests of many like cases: a default run takes some of them, `make test-all` all."""

import pytest


def chosen(count, most):
    """Numbers of at most `most` of so many cases, spread evenly, the first and the last among them."""
    if most >= count:
        return set(range(count))
    return {round(place * (count - 1) / max(most - 1, 1)) for place in range(most)}


@pytest.hookimpl(tryfirst=True)  # before slow ones are deselected
def pytest_collection_modifyitems(items):
    """Marks the cases beyond a test's sample as slow."""
    cases = {}
    for item in items:
        if item.get_closest_marker("sample") is not None and item.get_closest_marker("slow") is None:
            cases.setdefault((item.path, item.originalname), []).append(item)
    for of_test in cases.values():
        kept = chosen(len(of_test), of_test[0].get_closest_marker("sample").args[0])
        for number, item in enumerate(of_test):
            if number not in kept:
                item.add_marker(pytest.mark.slow)

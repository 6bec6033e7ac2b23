"""A default run takes a sample of a test's cases, spread evenly."""

import types

import pytest
import sampled_cases


def test_a_sample_is_spread_evenly_and_has_both_ends():
    assert sampled_cases.chosen(9, 3) == {0, 4, 8}
    assert sampled_cases.chosen(3, 5) == {0, 1, 2}
    assert sampled_cases.chosen(4, 1) == {0}
    assert len(sampled_cases.chosen(220, 44)) == 44


def test_cases_beyond_the_sample_are_slow_ones():
    class Item(types.SimpleNamespace):
        def get_closest_marker(self, name):
            return next((mark for mark in self.marks if mark.name == name), None)

        def add_marker(self, mark):
            self.marks.append(mark.mark)

    sample = pytest.mark.sample(2).mark
    items = [Item(path="a.py", originalname="test", marks=[sample]) for _ in range(5)]
    other = Item(path="a.py", originalname="another", marks=[])
    for every in (True, False):
        assert not any(item.get_closest_marker("slow") for item in items)
        config = types.SimpleNamespace(getini={sampled_cases.ALL: every}.get)
        sampled_cases.pytest_collection_modifyitems(config, [*items, other])
    assert [item.get_closest_marker("slow") is not None for item in items] == [False, True, True, True, False]
    assert other.get_closest_marker("slow") is None

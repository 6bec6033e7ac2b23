"""Parallel work on tasks."""

import multiprocessing

import pytest

from robometa.compute import parallel


def _doubled(value):
    return parallel.for_each_task(lambda one: 2 * one, [value])[0]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_process_has_threads_of_its_own():
    assert _doubled(1) == 2
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_doubled, (3,)).get(60) == 6

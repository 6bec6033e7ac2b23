"""Parallel work on tasks."""

import multiprocessing
import threading

import pytest
import torch

from robometa.compute import parallel
from robometa.trials.trial import torch_on


def _doubled(value):
    return parallel.for_each_task(lambda one: 2 * one, [value])[0]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_process_has_threads_of_its_own():
    assert _doubled(1) == 2
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_doubled, (3,)).get(60) == 6


@pytest.mark.parametrize(("threads", "tasks", "own"), [(1, 1, True), (1, 2, False), (2, 1, False)])
def test_a_single_task_stays_on_the_calling_thread_where_torch_computes_on_one(threads, tasks, own):
    def seen(task):
        return threading.get_ident() == caller, torch.get_num_threads(), torch.is_grad_enabled()

    caller = threading.get_ident()
    with torch_on(threads), torch.no_grad():
        assert parallel.for_each_task(seen, torch.zeros(tasks)) == [(own, 1, True)] * tasks

"""The regressions that read hidden parameters: what they find, and what they must not."""

import numpy as np
import pytest

from robometa.evaluation.readers import folds, readable
from robometa.reports.probed import NETWORK, RIDGE

TASKS, TRIALS = 60, 3
ROWS = np.repeat(np.arange(TASKS), TRIALS)
SOURCE = np.random.default_rng(1)
TARGETS = SOURCE.normal(size=(TASKS, 2))[ROWS]
MIXING = SOURCE.normal(size=(2, 20))


def r2(features, targets=TARGETS):
    return {name: values[:, 0] for name, values in readable(features, targets, ROWS).items()}


def test_a_linear_code_is_read_through_noise():
    features = TARGETS @ MIXING + 0.2 * SOURCE.normal(size=(len(ROWS), 20))
    found = readable(features, TARGETS, ROWS)
    for values in found.values():
        assert (values[:, 0] > 0.95).all()
        assert (values[:, 1] <= values[:, 0]).all()
        assert (values[:, 0] <= values[:, 2]).all()


def test_a_bent_code_is_read_by_the_network_only():
    found = r2(TARGETS @ MIXING, np.abs(TARGETS[:, :1]))
    assert found[RIDGE] < 0.2
    assert found[NETWORK] > 0.5


def test_what_has_nothing_to_do_with_the_task_is_not_read():
    found = r2(SOURCE.normal(size=(len(ROWS), 40)))
    assert max(values.max() for values in found.values()) < 0.15


def test_a_name_of_the_task_says_nothing_of_other_tasks():
    """Rows that only tell tasks apart are read within a task, never across: a leak between the folds would show."""
    names = SOURCE.normal(size=(TASKS, 50))[ROWS]
    assert max(values.max() for values in r2(names).values()) < 0.15


@pytest.mark.parametrize("features", [np.ones((len(ROWS), 3)), np.zeros((len(ROWS), 0))])
def test_features_that_are_all_alike_give_the_mean(features):
    for values in r2(features).values():
        np.testing.assert_allclose(values, 0, atol=1e-9)


def test_the_rows_of_a_task_stay_together():
    parts = list(folds(ROWS))
    assert sorted(np.concatenate([read for _, read in parts]).tolist()) == list(range(len(ROWS)))
    for fitted, read in parts:
        assert not {*ROWS[fitted]} & {*ROWS[read]}

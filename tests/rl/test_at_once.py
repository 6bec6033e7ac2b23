"""On a GPU the tasks of a batch are computed in one go: the numbers are those of computing them one by one."""

import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout

from robometa import registry
from robometa.compute import parallel
from robometa.compute.parallel import of_each_task
from robometa.data import Spaces, Trial
from robometa.noise import Noise
from robometa.rl import meta_gradient

TASKS, WORLDS, HORIZON = 3, 4, 6


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Makes the processors count as a GPU, and counts what is computed for all tasks at once."""
    calls, vmap = [], torch.func.vmap

    def counted(function):
        calls.append(function)
        return vmap(function)

    def switch():
        for module in (parallel, meta_gradient):
            monkeypatch.setattr(module, "on_gpu", lambda tensor: True)
        monkeypatch.setattr(torch.func, "vmap", counted)
        return calls

    return switch


def learned(name, broken=False):
    """Parameters of every task after an adaptation, and the learner's after an update."""
    kind = registry.find(name).load()
    options = registry.find(name).overrides | SMALL_OPTIONS[name] | ({"shots": 2} if name == "maml-trpo" else {})
    learner = kind(kind.configuration(**options), Spaces(5, 2), 0)
    noise = Noise(0, ("at once",), TASKS, WORLDS)
    # Double precision: on so few steps the Fisher matrix is nearly singular, which magnifies rounding a thousandfold.
    seeds = range(learner.config.shots + 1)
    rollouts = tuple(fake_rollout(TASKS, WORLDS, HORIZON, 5, 2, seed, torch.float64) for seed in seeds)
    for vector in ("parameters", "rate"):
        if isinstance(getattr(learner, vector, None), torch.Tensor):
            setattr(learner, vector, getattr(learner, vector).double())
    if broken:  # one task then has fewer steps than the others
        rollouts[0].diverged[1, 2, 3] = rollouts[0].terminated[1, 2, 3] = True
    adapted = learner.adapt(learner.begin(TASKS, WORLDS, noise), rollouts[0], noise)
    metrics = learner.update(Trial(torch.arange(TASKS), rollouts, noise.fork("update")))
    return adapted, learner.state_dict(), metrics


@pytest.mark.parametrize("name", ["maml-trpo", "fomaml", "anil", "meta-sgd", "e-maml", "promp", "reptile"])
def test_tasks_at_once_are_tasks_one_by_one(name, as_on_a_gpu):
    adapted, state, metrics = learned(name)
    calls = as_on_a_gpu()
    at_once, its_state, its_metrics = learned(name)
    assert calls
    torch.testing.assert_close(adapted, at_once, rtol=1e-4, atol=1e-5)
    for key, value in state.items():
        torch.testing.assert_close(
            its_state[key], value, rtol=2e-3, atol=2e-4, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert metrics.keys() == its_metrics.keys()


def test_tasks_of_different_sizes_are_computed_one_by_one(as_on_a_gpu):
    adapted, state, _ = learned("maml-trpo", broken=True)
    as_on_a_gpu()
    again, its_state, _ = learned("maml-trpo", broken=True)
    torch.testing.assert_close(adapted, again, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(its_state["parameters"], state["parameters"], rtol=2e-3, atol=2e-4)


def test_tuples_of_tensors_go_in_and_out(as_on_a_gpu):
    calls = as_on_a_gpu()
    rows = [(torch.full((2,), float(task)), torch.ones(2, 3)) for task in range(4)]
    found = of_each_task(lambda row: (row[0] * 2, row[1].sum()), rows)
    assert len(calls) == 1
    assert [entry[0].tolist() for entry in found] == [[2.0 * task] * 2 for task in range(4)]
    assert [entry[1].item() for entry in found] == [6.0] * 4

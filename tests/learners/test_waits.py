"""How often an update would wait for a GPU: some times an iteration, however many gradient steps it takes."""

import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout
from torch.utils._python_dispatch import TorchDispatchMode

from robometa import registry
from robometa.compute import parallel
from robometa.compute.parallel import shares_of
from robometa.data import Spaces, Trial
from robometa.learners import varibad
from robometa.noise import Noise
from robometa.rl import ppo, ppo_on_trials
from robometa.training.guarded_update import guarded_update

SPACES = Spaces(5, 2)
ASKS = ("_local_scalar_dense", "nonzero", "masked_select")


class Waits(TorchDispatchMode):
    """Counts what would wait for a device: reading a number, and what has as many rows as a tensor says."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        masked = name.startswith("aten.index.") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.count += masked or any(part in name for part in ASKS)
        return function(*args, **(kwargs or {}))


@pytest.fixture
def waits(monkeypatch):
    """Counts them on this thread, on which everything is computed."""

    def here(function, *batches):
        return [function(*entry) for entry in zip(*batches, strict=True)]

    for module in (parallel, ppo, ppo_on_trials, varibad):
        monkeypatch.setattr(module, "for_each_task", here)
    counter, tolist = Waits(), torch.Tensor.tolist

    def told(tensor):
        counter.count += 1
        return tolist(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", told)
    return counter


def learner_of(name, **options):
    kind = registry.find(name).load()
    return kind(kind.configuration(**(registry.find(name).overrides | SMALL_OPTIONS[name] | options)), SPACES, 0)


def trial(seed):
    rollouts = tuple(fake_rollout(3, 2, 6, SPACES.observation, SPACES.action, seed + shot) for shot in (0, 1))
    return Trial(torch.arange(3), rollouts, Noise(seed, ("update",), 3, 2))


def asked(waits, name, **options):
    """How often the second update of a learner asks."""
    learner = learner_of(name, **options)
    learner.update(trial(0))
    waits.count = 0
    with waits:
        learner.update(trial(5))
    return waits.count


@pytest.mark.parametrize(
    ("name", "few", "many"),
    [
        ("rl2", {"epochs": 1, "minibatches": 1}, {"epochs": 3, "minibatches": 4}),
        ("varibad", {"epochs": 1, "minibatches": 1}, {"epochs": 3, "minibatches": 4}),
        ("varibad", {"gradient_steps": 1}, {"gradient_steps": 6}),
    ],
)
def test_an_update_asks_as_often_however_many_steps_it_takes(name, few, many, waits):
    assert asked(waits, name, **few) == asked(waits, name, **many) <= 10


@pytest.mark.parametrize("name", ["rl2", "maml-trpo"])
def test_the_guard_asks_once_before_an_update_and_once_after(name, waits, monkeypatch):
    learner = learner_of(name)
    guarded_update(learner, trial(0))
    monkeypatch.setattr(learner, "update", lambda trial: {})
    waits.count = 0
    with waits:
        assert guarded_update(learner, trial(5)) == ({}, "")
    assert waits.count == 2


def test_on_a_gpu_a_batch_is_one_piece_and_learns_the_same(monkeypatch):
    logged = []
    for gpu in (False, True):
        monkeypatch.setattr(parallel, "on_gpu", lambda tensor, gpu=gpu: gpu)
        assert [len(piece) for piece in shares_of(torch.arange(5), 2)] == ([5] if gpu else [2, 2, 1])
        learner = learner_of("rl2", chunk=2)
        logged.append([*learner.update(trial(0)).values(), *learner.state_dict()["network/log_std"].tolist()])
    assert logged[0] == pytest.approx(logged[1], rel=1e-3, abs=1e-5)

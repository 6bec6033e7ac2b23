"""Learners run where they are put: nothing that they make stands on another device than theirs.

There is no second device on most machines, so they run on `meta`, whose tensors have shapes and no numbers:
every operation between it and the CPU fails as it would between a GPU and the CPU. What must have a number gets one.
"""

from functools import partial

import pytest
import torch
import torch.fx.experimental._config
from conftest import SMALL_OPTIONS, fake_rollout

from robometa import registry
from robometa.data import Spaces, Step, Trial
from robometa.noise import Noise

SPACES, TASKS, WORLDS, HORIZON = Spaces(5, 2), 3, 2, 4
PRIVILEGED = Spaces(3, 2, privileged=("one", "two"))
"""Of a learner whose observations hold hidden parameters in training; there are as many numbers then."""
META = torch.device("meta")


@pytest.fixture
def elsewhere(monkeypatch):
    """A device without numbers: reading one gives 1."""

    def numbers(tensor):
        return 1 if tensor.dim() == 0 else [numbers(row) for row in tensor]

    for name, value in (("item", 1.0), ("__float__", 1.0), ("__int__", 1), ("__bool__", True), ("__index__", 1)):
        monkeypatch.setattr(torch.Tensor, name, lambda self, value=value: value)
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: numbers(self) if self.is_meta else tolist(self))
    monkeypatch.setattr(torch.optim, "Adam", partial(_unfused, torch.optim.Adam))
    with torch.fx.experimental._config.patch(meta_nonzero_assume_all_nonzero=True):
        yield


def _unfused(kind, parameters, **options):
    return kind(parameters, **{**options, "fused": False})


def learner_of(name, device):
    kind = registry.find(name).load()
    options = registry.find(name).overrides | SMALL_OPTIONS[name]
    return kind(kind.configuration(**options), PRIVILEGED if kind.trains_on_parameters else SPACES, 0, device)


def tensors_of(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors_of(part)]
    return []


@pytest.mark.parametrize("name", registry.LEARNERS)
@pytest.mark.sample(7)
def test_a_learner_acts_and_learns_on_its_device(name, elsewhere):
    learner = learner_of(name, "meta")
    assert learner.device == META
    assert {tensor.device for tensor in learner.state_dict().values()} <= {META, torch.device("cpu")}
    noise = Noise(0, ("test",), TASKS, WORLDS)
    adaptation = learner.begin(TASKS, WORLDS, noise)
    shape = (TASKS, WORLDS)
    seen = Step(torch.zeros(*shape, 5), torch.zeros(*shape, 2), torch.zeros(shape), torch.zeros(shape).bool()).to(META)
    action, adaptation = learner.act(adaptation, seen, torch.zeros(*shape, 2, device=META))
    assert action.device == META
    rollouts = tuple(fake_rollout(TASKS, WORLDS, HORIZON, 5, 2, seed).to(META) for seed in (0, 1))
    adaptation = learner.adapt(adaptation, rollouts[0], noise.fork("adapt"))
    assert {tensor.device for tensor in tensors_of(adaptation)} <= {META}
    learner.update(Trial(torch.arange(TASKS), rollouts, noise.fork("update")))


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")  # there is nothing to copy to
@pytest.mark.parametrize("name", registry.LEARNERS)
def test_the_numbers_are_those_of_the_seed_wherever_it_is(name):
    """What a seed draws is drawn on the CPU, and a state is taken back to where the learner is."""
    here, there = learner_of(name, "cpu"), learner_of(name, "meta")
    assert {key: value.shape for key, value in here.state_dict().items()} == {
        key: value.shape for key, value in there.state_dict().items()
    }
    there.load_state_dict(here.state_dict())
    assert there.device == META

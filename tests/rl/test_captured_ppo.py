"""PPO's gradient steps in a graph are the plain ones, for every learner that trains with PPO; without a GPU."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL_OPTIONS, copied, fake_rollout, same_tensors
from recorded_graph import recorded

from robometa import registry
from robometa.compute import cuda_graphs, parallel
from robometa.data import Spaces, Trial
from robometa.noise import Noise
from robometa.rl import learning_rate, ppo
from robometa.training.guarded_update import guarded_update

SPACES, TASKS, WORLDS, HORIZON = Spaces(3, 2), 3, 2, 6
RATE = 2.0**-10
"""The same number in float32, which is what a graph reads, and in float64; so are its quarters on the way to 4 less."""
RATES = {"learning_rate": RATE, "final_learning_rate": RATE / 4}
PREDICTS = {"decoder_learning_rate": RATE}
VARIANTS = [
    ("rl2", {}),
    ("rl2", {"memory": "lstm", "backpropagation": 3}),
    ("varibad", PREDICTS | {"decode_state": True}),
    ("rl2", {"memory": "transformer", "memory_heads": 1, "backpropagation": 3, "context": 4}),
    ("hypernetwork", {}),
    ("no-adaptation", {}),
    ("rma-concurrent", {"module_learning_rate": RATE}),
]
NO_CREDIT = ("no-adaptation", "rma-concurrent")
"""Learners whose episodes stand for themselves: no credit crosses their ends."""


@pytest.fixture(autouse=True)
def seeming_gpu(monkeypatch):
    """A batch is one piece, as on a GPU, and what is captured is recorded."""
    recorded.captured = 0
    monkeypatch.setattr(cuda_graphs, "torch_graph", recorded)
    monkeypatch.setattr(parallel, "on_gpu", lambda tensor: True)
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)  # its LSTM cannot be done again
    yield
    torch._C._set_mkldnn_enabled(enabled)


class Pair:
    """A learner whose steps are captured, and one whose steps are not."""

    def __init__(self, monkeypatch, name, **options):
        self.monkeypatch = monkeypatch
        kind = registry.find(name).load()
        config = kind.configuration(**(registry.find(name).overrides | SMALL_OPTIONS[name] | RATES | options))
        spaces = Spaces(1, 2, privileged=("mass", "friction")) if kind.trains_on_parameters else SPACES
        self.captured, self.plain = self.capturing(lambda: kind(config, spaces, 0)), kind(config, spaces, 0)
        assert self.captured.captured is not None
        assert self.plain.captured is None

    def capturing(self, work):
        """Does something as if there were a GPU that captures."""
        with self.monkeypatch.context() as patched:
            for module in (cuda_graphs, learning_rate):
                patched.setattr(module, "captures", lambda device: True)
            return work()

    def update(self, one):
        """Updates both, which must agree in every bit."""
        found, expected = self.capturing(lambda: self.captured.update(one)), self.plain.update(one)
        assert found == expected
        assert same_tensors(self.captured.state_dict(), self.plain.state_dict())


def trial(seed, full=False, horizon=HORIZON):
    """A trial that no simulator made; if `full`, no episode ends before the rollout does."""
    shots = []
    for shot in (0, 1):
        rollout = fake_rollout(TASKS, WORLDS, horizon, SPACES.observation, SPACES.action, 10 * seed + shot)
        shots.append(replace(rollout, terminated=torch.zeros_like(rollout.terminated)) if full else rollout)
    return Trial(torch.arange(TASKS), tuple(shots), Noise(0, ("update", seed), TASKS, WORLDS))


def steps_of(learner):
    """Everything of a learner that captures gradient steps."""
    return [held for held in vars(learner).values() if isinstance(held, cuda_graphs.CapturedSteps)]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.sample(3)
def test_captured_steps_are_the_plain_ones_to_the_bit_and_are_captured_once(monkeypatch, name, options):
    pair = Pair(monkeypatch, name, **options)
    pair.update(trial(0))
    captured = recorded.captured
    assert captured == len(steps_of(pair.captured)) + (name not in NO_CREDIT)  # the credit of trials is one, too
    for seed in (1, 2, 3):  # the learning rate falls, and the weights of steps come and go
        pair.update(trial(seed, full=seed == 2))
    assert recorded.captured == captured
    assert all(steps.in_graph for steps in steps_of(pair.captured))
    rates = [float(group["lr"]) for group in pair.captured.optimizer.param_groups]
    assert rates == [RATE * (1 - 0.75 * 0.75)]


def test_trials_of_another_shape_are_captured_anew_and_minibatches_of_two_sizes_are_not(monkeypatch):
    pair = Pair(monkeypatch, "rl2")
    pair.update(trial(0))
    pair.update(trial(1, horizon=HORIZON + 1))
    assert recorded.captured == 4
    uneven = Pair(monkeypatch, "rl2", minibatches=4)  # 6 sequences
    uneven.update(trial(0))
    assert recorded.captured == 5  # the credit alone
    assert not uneven.captured.captured.in_graph


@pytest.mark.parametrize(("name", "options"), [("rl2", {}), ("varibad", PREDICTS)])
def test_an_update_that_is_taken_back_leaves_the_graphs_usable(monkeypatch, name, options):
    pair = Pair(monkeypatch, name, **options)
    pair.update(trial(0))
    state = copied(pair.plain.state_dict())
    loss = ppo._loss
    with monkeypatch.context() as patched:
        patched.setattr(ppo, "_loss", lambda *given: (loss(*given)[0] * float("nan"), loss(*given)[1]))
        pair.captured.captured.forget()
        assert "not finite" in pair.capturing(lambda: guarded_update(pair.captured, trial(1)))[1]
        assert "not finite" in guarded_update(pair.plain, trial(1))[1]
    assert all(
        torch.equal(state[name], now) for name, now in pair.captured.state_dict().items() if "replay" not in name
    )
    pair.update(trial(2))


@pytest.mark.parametrize(("name", "options"), VARIANTS[:4])
def test_a_step_that_cannot_be_captured_is_the_plain_one_and_says_so_once(monkeypatch, name, options):
    def refused(work, device):
        if work.__name__ != "_work":  # the credit
            return recorded(work, device)
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(cuda_graphs, "torch_graph", refused)
    pair = Pair(monkeypatch, name, **options)
    with pytest.warns(UserWarning, match="run without a CUDA graph, .*: operation not permitted.*capturing$") as told:
        pair.update(trial(0))
    pair.update(trial(1))
    assert len(told) == len(steps_of(pair.captured))
    assert not any(steps.in_graph for steps in steps_of(pair.captured))


def test_a_loss_that_reads_a_number_cannot_be_captured(monkeypatch):
    """The recorder does refuse what would wait for a device."""
    pair = Pair(monkeypatch, "rl2")
    loss = ppo._loss

    def asks(*given):
        found, metrics = loss(*given)
        return found * float(metrics[0]), metrics

    monkeypatch.setattr(ppo, "_loss", asks)
    with pytest.raises(AssertionError, match=r"_local_scalar_dense.* cannot be captured"):
        pair.capturing(lambda: pair.captured.update(trial(0)))

"""Acting by a graph is acting as the learner does."""

import dataclasses

import pytest
import torch
from conftest import SMALL_OPTIONS
from recorded_graph import recorded

from robometa.compute import cuda_graphs
from robometa.data import Step
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.trials.captured_policy import PolicyGraph
from robometa.trials.make import build, engine_for
from robometa.trials.trial import run_trial

CAPTURED = sorted(set(SMALL_OPTIONS) - {"grbal"})


@pytest.fixture(autouse=True)
def seeming_gpu(monkeypatch):
    """Captures wherever the tensors are, and counts the graphs that act: adaptations capture some of their own."""
    policy_graphs = []

    def capture(work, device):
        if getattr(work, "__func__", None) is PolicyGraph._act:
            policy_graphs.append(work)
        return recorded(work, device)

    recorded.captured = 0
    monkeypatch.setattr(cuda_graphs, "torch_graph", capture)
    monkeypatch.setattr(cuda_graphs, "captures", lambda device: True)
    return policy_graphs


def trial(learner, engine, suite, **options):
    """Three rollouts, whose second and third see what the one before led to."""
    noise = Noise(0, ("test",), engine.tasks, engine.worlds)
    return run_trial(engine, learner, suite.train, range(engine.tasks), 2, noise, **options)


def pair(name, suite):
    """A trial as the learner acts, and one by graphs."""
    learner = build(name, read_config(name, SMALL_OPTIONS[name]), suite, 0)
    engine = engine_for(learner, suite, 3, 2)
    return trial(learner, engine, suite), trial(learner, engine, suite, policy_graph=True)


@pytest.mark.parametrize("name", CAPTURED)
def test_a_trial_by_graphs_is_the_plain_one_to_the_bit(name, tiny_suite, seeming_gpu):
    plain, captured = pair(name, tiny_suite)
    assert len(seeming_gpu) == 3  # one for each rollout: parameters may have been replaced
    for one, other in zip(plain.rollouts, captured.rollouts, strict=True):
        for field in dataclasses.fields(one):
            assert torch.equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_a_learner_that_plans_on_the_processors_is_refused(tiny_suite):
    with pytest.raises(UserError, match="Grbal cannot act by a graph, as its adaptation is not of tensors alone"):
        pair("grbal", tiny_suite)


def test_without_a_gpu_it_is_refused(tiny_suite, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "captures", lambda device: device.type == "cuda")
    with pytest.raises(UserError, match=r"^policy_graph needs a learner on a GPU, not on cpu"):
        pair("rl2", tiny_suite)


class Shifts:
    """Remembers the last two observations, handing on the tensors that it was given."""

    def act(self, adaptation, step, noise):
        """An action that tells the earlier one."""
        newest, before = adaptation
        return noise + before.sum(), (step.obs, newest)


def test_an_adaptation_may_hand_on_a_part_of_the_one_before():
    learner, adaptation, draws = Shifts(), (torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)), torch.zeros(1, 1, 4, 2)
    nothing = torch.zeros(1, 1, 2), torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bool)
    shown = [Step(torch.full((1, 1, 4), float(number)), *nothing) for number in (1, 2, 3, 4)]
    graph = PolicyGraph(learner, adaptation, shown[0], draws)
    for time, step in enumerate(shown):
        expected, adaptation = learner.act(adaptation, step, draws[:, :, time])
        assert torch.equal(graph.act(step)[0], expected)

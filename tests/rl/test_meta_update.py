"""Updates of all tasks in one go, and captured: the numbers are those of computing the tasks one by one."""

import pytest
import torch
from conftest import copied, fake_rollout
from recorded_graph import recorded

from robometa import registry
from robometa.compute import cuda_graphs, parallel
from robometa.data import Spaces, Trial
from robometa.learners.maml_trpo import Config, MamlTrpo
from robometa.noise import Noise
from robometa.rl import policy_gradient, trust_region
from robometa.rl.meta_update import _cut, _distribution

SPACES, TASKS, WORLDS = Spaces(5, 2), 3, 4
VARIANTS = [
    ("maml-trpo", {}),
    ("maml-trpo", {"shots": 2}),
    ("maml-trpo", {"shots": 3, "fisher_stride": 1}),
    ("maml-trpo", {"shots": 2, "value_weight": 0.5}),
    ("anil", {"value_weight": 0.5}),
    ("fomaml", {}),
    ("anil", {"shots": 2}),
    ("meta-sgd", {}),
    ("meta-sgd", {"shots": 2}),
    ("meta-sgd", {"shots": 2, "value_weight": 0.5}),
    ("meta-sgd", {"shots": 2, "rate_learning_rate": 0.01}),
    ("e-maml", {}),
    ("e-maml", {"shots": 2}),
]


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Makes the processors count as a GPU; captured with a stand-in, if that is asked for."""
    recorded.captured = 0
    policy_gradient._by_graph.cache_clear()

    def switch(on, captured=False):
        for module in (parallel, policy_gradient, trust_region):
            monkeypatch.setattr(module, "on_gpu", lambda tensor: on)
        monkeypatch.setattr(cuda_graphs, "torch_graph", recorded)
        for module in (cuda_graphs, policy_gradient):
            monkeypatch.setattr(module, "captures", lambda device: captured)

    yield switch
    policy_gradient._by_graph.cache_clear()


def learner(name, dtype, **options):
    """A learner whose Fisher matrix is far from singular: else every rounding matters."""
    entry = registry.find(name)
    kind = entry.load()
    made = kind(kind.configuration(**(entry.overrides | {"hidden": (8, 8), "damping": 0.1} | options)), SPACES, 0)
    made.parameters = made.parameters.to(dtype)
    if name == "meta-sgd":
        made.rate = made.rate.to(dtype)
        if made.rate_optimizer is not None:
            made.rate_optimizer = torch.optim.Adam([made.rate], lr=made.config.rate_learning_rate)
    return made


def trial(shots, seed, dtype, horizon=20):
    rollouts = tuple(
        fake_rollout(TASKS, WORLDS, horizon, SPACES.observation, SPACES.action, 10 * seed + shot, dtype)
        for shot in range(shots + 1)
    )
    return Trial(torch.arange(TASKS), rollouts, Noise(seed, ("update",), TASKS, WORLDS))


def compare(one, other, moved, tolerance):
    """Compares what two learners became, by how far they moved."""
    for name, tensor in one.state_dict().items():
        if name.startswith("training/"):
            continue
        way = (tensor - moved[name]).norm()
        assert way > 0
        assert (other.state_dict()[name] - tensor).norm() < tolerance * way, name


@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), pytest.param(torch.float32, 1e-3, marks=pytest.mark.slow)]
)
@pytest.mark.sample(4)
def test_a_captured_update_is_that_of_tasks_one_by_one(name, options, dtype, tolerance, as_on_a_gpu):
    plain, captured = (learner(name, dtype, **options) for _ in range(2))
    for seed in range(3):  # of which the last two are launches with numbers that no capture saw
        one, before = trial(plain.config.shots, seed, dtype), copied(plain.state_dict())
        as_on_a_gpu(False)
        logged = plain.update(one)
        as_on_a_gpu(True, captured=True)
        assert captured.update(one) == pytest.approx(logged, rel=max(tolerance, 1e-6))
        compare(plain, captured, before, tolerance)
        captured.load_state_dict(plain.state_dict())
    assert recorded.captured == 4  # the returns, the advantages, the proposal and the line search's points


@pytest.mark.parametrize("name", ["maml-trpo", "meta-sgd", "e-maml"])
def test_a_captured_update_is_the_uncaptured_one_to_the_bit(name, as_on_a_gpu):
    plain, captured = (learner(name, torch.float32, shots=2) for _ in range(2))
    for seed in range(3):
        one = trial(2, seed, torch.float32)
        as_on_a_gpu(True)
        logged = plain.update(one)
        as_on_a_gpu(True, captured=True)
        assert captured.update(one) == logged
        for key, value in plain.state_dict().items():
            assert torch.equal(captured.state_dict()[key], value)


def test_a_trial_of_another_size_is_captured_anew_and_the_oldest_graph_goes(as_on_a_gpu):
    as_on_a_gpu(True, captured=True)
    made = learner("maml-trpo", torch.float32)
    for horizon, wanted in ((20, 4), (30, 8), (20, 8), (25, 12), (20, 12), (30, 16)):
        made.update(trial(1, 0, torch.float32, horizon))
        assert recorded.captured == wanted
    assert len(made._at_once.propose._graphs) == len(made._at_once.change_at._graphs) == 2


def test_tasks_with_a_step_left_out_are_computed_one_by_one(as_on_a_gpu):
    made, other = (learner("maml-trpo", torch.float32) for _ in range(2))
    one = trial(1, 0, torch.float32)
    one.rollouts[0].diverged[1, 2, 3] = one.rollouts[0].terminated[1, 2, 3] = True
    one.rollouts[0].action[1, 2, 3] = 0.0  # it was none: the task has a step less than the others
    before = made.state_dict()
    as_on_a_gpu(False)
    made.update(one)
    as_on_a_gpu(True, captured=True)
    other.update(one)
    assert not other._at_once.propose._graphs
    compare(made, other, before, 1e-3)


def test_without_a_gradient_nothing_changes(as_on_a_gpu):
    as_on_a_gpu(True, captured=True)
    made = learner("maml-trpo", torch.float32)
    before, flat = made.parameters.clone(), trial(1, 0, torch.float32)
    for rollout in flat.rollouts:
        rollout.reward.zero_()
    for _ in range(2):
        logged = made.update(flat)
        assert torch.equal(made.parameters, before)
        assert logged["line_search_refusals"] == made.config.line_search_trials
        assert logged["expected_improvement"] == logged["gradient_norm"] == 0.0


def test_an_update_waits_for_a_gpu_as_often_as_the_line_search_and_twice(as_on_a_gpu, monkeypatch):
    asked, tolist = [], torch.Tensor.tolist
    as_on_a_gpu(True, captured=True)
    made = learner("maml-trpo", torch.float32)
    made.update(trial(1, 0, torch.float32))
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: asked.append(tensor) or tolist(tensor))
    for name in ("__float__", "__bool__", "item"):
        read = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda tensor, read=read: asked.append(tensor) or read(tensor))
    logged = made.update(trial(1, 1, torch.float32))
    points = int(logged["line_search_refusals"]) + 1
    assert len(asked) == points + 2  # what diverged before it, and what is logged after it


def test_no_grad_around_an_update_changes_nothing(as_on_a_gpu):
    as_on_a_gpu(True)
    made, other = (learner("e-maml", torch.float32) for _ in range(2))
    made.update(trial(1, 0, torch.float32))
    with torch.no_grad():
        other.update(trial(1, 0, torch.float32))
    assert torch.equal(made.parameters, other.parameters)
    assert not made.parameters.requires_grad


def test_the_policy_in_parts_is_the_policy():
    policy = MamlTrpo(Config(hidden=(8, 4)), SPACES, 0).policy
    generator = torch.Generator().manual_seed(0)
    point, obs = torch.randn(TASKS, policy.size, generator=generator), torch.randn(TASKS, 7, 5, generator=generator)
    point[0, -1] = -100.0  # the deviation has a least value
    for found, wanted in zip(
        _distribution(policy, _cut(policy, point), obs), policy.distribution(point, obs), strict=True
    ):
        torch.testing.assert_close(found, wanted)

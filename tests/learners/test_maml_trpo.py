"""MAML-TRPO's derivatives against finite differences and explicit matrices, in float64."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest
import torch
from conftest import copied, fake_rollout
from torch.distributions import Independent, Normal, kl_divergence

from robometa import registry
from robometa.compute import parallel
from robometa.data import Spaces, Step, Trial
from robometa.learners.maml_trpo import PRESETS, Config, MamlTrpo
from robometa.noise import Noise
from robometa.rl.meta_gradient import fisher_product, outer_gradient
from robometa.rl.policy_gradient import rollout_batches, trial_batches

TASKS, WORLDS, HORIZON, SPACES = 3, 2, 6, Spaces(2, 2)


def learner(**options):
    """A tiny learner in float64 whose Fisher matrix is exact."""
    exact = {"hidden": (3,), "fisher_stride": 1, "damping": 0.0, "action_scale": 1.0}
    made = MamlTrpo(Config(**(exact | options)), SPACES, seed=0)
    made.parameters = made.parameters.double()
    made.parameters[-SPACES.action :] = torch.tensor([-0.2, 0.3], dtype=torch.float64)
    return made


def trial(shots, tasks=TASKS):
    rollouts = tuple(
        fake_rollout(tasks, WORLDS, HORIZON, SPACES.observation, SPACES.action, seed, torch.float64)
        for seed in range(shots + 1)
    )
    return Trial(torch.arange(tasks), rollouts, Noise(0, ("update",), tasks, WORLDS))


def batches(maml, rollout):
    """A rollout's batches. `[task]`."""
    config = maml.config
    return rollout_batches(rollout, config.discount, config.gae_lambda, config.action_scale)


def taught(maml, shots):
    """What a trial taught. `[task]`."""
    config = maml.config
    return trial_batches(trial(shots), config.discount, config.gae_lambda, config.action_scale)


def gradient_of(maml, tasks):
    """The learner's outer gradient, and each task's adapted parameters."""
    return outer_gradient(maml.step, maml._adapted, maml.parameters, tasks)


def policy(maml, parameters, obs):
    """The policy written once more: a layer, a tanh, a layer, and a normal distribution of torch's."""
    sizes = (SPACES.observation * 3, 3, 3 * SPACES.action, SPACES.action, SPACES.action)
    weight, bias, last_weight, last_bias, log_std = parameters.split(sizes)
    hidden = torch.tanh(obs @ weight.reshape(SPACES.observation, 3) + bias)
    mean = hidden @ last_weight.reshape(3, SPACES.action) + last_bias
    return Independent(Normal(mean, log_std.exp().expand_as(mean)), 1)


def inner_step(maml, parameters, batch):
    """One policy-gradient step on the likelihood times the advantage."""
    if not parameters.requires_grad:
        parameters = parameters.clone().requires_grad_(True)
    loss = -(policy(maml, parameters, batch.obs).log_prob(batch.output) * batch.advantage).mean()
    (gradient,) = torch.autograd.grad(loss, parameters, create_graph=True)
    moving = len(parameters) - (3 + 2) * SPACES.action if maml.config.last_layer_only else 0  # weights, bias, deviation
    gradient = torch.cat((torch.zeros_like(gradient[:moving]), gradient[moving:]))
    return parameters - maml.config.inner_step_size * gradient


def adapted(maml, start, shots):
    for batch in shots:
        start = inner_step(maml, start, batch)
    return start


def outer_loss(maml, start, tasks):
    """The surrogate after adaptation, mean over tasks, old probabilities those of the adapted learner itself."""
    losses = []
    for shots, batch in tasks:
        old = policy(maml, adapted(maml, maml.parameters, shots), batch.obs).log_prob(batch.output).detach()
        new = policy(maml, adapted(maml, start, shots), batch.obs).log_prob(batch.output)
        losses.append(-((new - old).exp() * batch.advantage).mean())
    return torch.stack(losses).mean()


def mean_divergence(maml, start, tasks):
    """KL divergence from the learner's adapted policies to those adapted from another start, mean over tasks."""
    divergences = []
    for shots, batch in tasks:
        old = policy(maml, adapted(maml, maml.parameters, shots).detach(), batch.obs)
        divergences.append(kl_divergence(old, policy(maml, adapted(maml, start, shots), batch.obs)).mean())
    return torch.stack(divergences).mean()


def central_differences(function, point, width=1e-5):
    gradient = torch.empty_like(point)
    for place in range(len(point)):
        offset = torch.zeros_like(point)
        offset[place] = width
        gradient[place] = (function(point + offset) - function(point - offset)).detach() / (2 * width)
    return gradient


def fisher_matrix(maml, tasks):
    """The matrix of the learner's Fisher products, column by column."""
    config, (_, after) = maml.config, gradient_of(maml, tasks)
    product = fisher_product(maml.step, maml.parameters, tasks, after, config.fisher_stride, config.damping, maml.rate)
    return torch.stack([product(column) for column in torch.eye(len(maml.parameters), dtype=torch.float64)], dim=1)


def relative(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("size", [0.1, 0.7])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.sample(3)
def test_the_outer_gradient_is_that_of_finite_differences(shots, size, last):
    maml = learner(shots=shots, inner_step_size=size, last_layer_only=last)
    tasks = taught(maml, shots)
    found, after = gradient_of(maml, tasks)
    wanted = central_differences(lambda point: outer_loss(maml, point, tasks), maml.parameters)
    assert relative(found, wanted) < 1e-6
    for task in range(TASKS):
        torch.testing.assert_close(after[task], adapted(maml, maml.parameters, tasks[task].inner).detach())


@pytest.mark.parametrize("shots", [1, 2])
def test_first_order_is_the_gradient_at_the_adapted_parameters(shots):
    full, first = (learner(shots=shots, inner_step_size=0.7, first_order=order) for order in (False, True))
    tasks = taught(full, shots)
    wanted = []
    for shot_batches, batch in tasks:
        after = adapted(full, full.parameters, shot_batches).detach().requires_grad_(True)
        loss = -(policy(full, after, batch.obs).log_prob(batch.output) * batch.advantage).mean()
        wanted += torch.autograd.grad(loss, after)
    wanted = torch.stack(wanted).mean(dim=0)
    found, after = gradient_of(first, tasks)
    assert relative(found, wanted) < 1e-10
    second, second_after = gradient_of(full, tasks)
    assert relative(second, wanted) > 0.05
    torch.testing.assert_close(torch.stack(after), torch.stack(second_after))  # the adaptation itself is the same


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("last", [False, True])
def test_the_fisher_products_are_those_of_the_divergences_hessian(shots, last):
    maml = learner(shots=shots, inner_step_size=0.7, last_layer_only=last)
    tasks = taught(maml, shots)
    found = fisher_matrix(maml, tasks)
    wanted = torch.autograd.functional.hessian(lambda point: mean_divergence(maml, point, tasks), maml.parameters)
    assert relative(found, wanted) < 1e-8
    torch.testing.assert_close(found, found.T)
    assert torch.linalg.eigvalsh(found).min() > -1e-10


def test_first_order_fisher_products_pass_over_the_inner_step():
    maml = learner(inner_step_size=0.7, first_order=True)
    tasks = taught(maml, 1)
    after = [adapted(maml, maml.parameters, shots).detach() for shots, _ in tasks]

    def divergence(offset):
        moved = [
            kl_divergence(policy(maml, start, batch.obs), policy(maml, start + offset, batch.obs)).mean()
            for start, (_, batch) in zip(after, tasks, strict=True)
        ]
        return torch.stack(moved).mean()

    wanted = torch.autograd.functional.hessian(divergence, torch.zeros_like(maml.parameters))
    assert relative(fisher_matrix(maml, tasks), wanted) < 1e-8


def test_damping_is_added_to_the_diagonal():
    maml, damped = learner(), learner(damping=0.5)
    tasks = taught(maml, 1)
    extra = fisher_matrix(damped, tasks) - fisher_matrix(maml, tasks)
    torch.testing.assert_close(extra, 0.5 * torch.eye(len(maml.parameters), dtype=torch.float64))


@pytest.mark.parametrize("bound", [1e-4, 0.01, 0.1])
def test_an_update_improves_the_surrogate_within_the_bound(bound):
    maml = learner(kl_bound=bound)
    tasks = taught(maml, 1)
    before = learner(kl_bound=bound)
    logged = maml.update(trial(1))
    assert not torch.equal(maml.parameters, before.parameters)
    losses = [outer_loss(before, point, tasks).detach() for point in (before.parameters, maml.parameters)]
    assert losses[1] < losses[0]
    divergence = float(mean_divergence(before, maml.parameters, tasks).detach())
    assert 0.1 * bound < divergence <= bound * (1 + 1e-9)
    assert all(isinstance(value, float) for value in logged.values())


def test_an_update_without_a_gradient_changes_nothing():
    maml = learner()
    before = copied(maml.state_dict())
    flat = trial(1)
    for rollout in flat.rollouts:
        rollout.reward.zero_()
    logged = maml.update(flat)
    assert torch.equal(maml.parameters, before["parameters"])
    assert logged["line_search_refusals"] == maml.config.line_search_trials


@pytest.mark.parametrize("threads", [2, 4])
def test_results_do_not_depend_on_the_number_of_threads(monkeypatch, threads):
    def updated(count):
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            monkeypatch.setattr(parallel, "_pool", lambda threads: pool)
            maml = MamlTrpo(Config(hidden=(32, 32)), SPACES, seed=0)
            rollouts = tuple(fake_rollout(8, 4, 30, SPACES.observation, SPACES.action, seed) for seed in range(2))
            maml.update(Trial(torch.arange(8), rollouts, Noise(0, (), 8, 4)))
            return maml.parameters, maml.adapt(maml.begin(8, 4, Noise(0, (), 8, 4)), rollouts[0], Noise(0, (), 8, 4))

    for one, several in zip(updated(1), updated(threads), strict=True):
        assert torch.equal(one, several)


def test_adapting_is_one_gradient_step_of_each_task_on_all_its_worlds():
    maml = learner()
    noise = Noise(0, (), TASKS, WORLDS)
    start = maml.begin(TASKS, WORLDS, noise)
    rollout = trial(1).rollouts[0]
    after = maml.adapt(start, rollout, noise)
    for task, batch in enumerate(batches(maml, rollout)):
        assert len(batch.obs) == WORLDS * HORIZON
        torch.testing.assert_close(after[task], inner_step(maml, maml.parameters, batch).detach())


def test_an_anil_adaptation_moves_the_last_layer_and_nothing_before_it():
    maml = learner(last_layer_only=True)
    noise = Noise(0, (), TASKS, WORLDS)
    rollout = trial(1).rollouts[0]
    moved = maml.adapt(maml.begin(TASKS, WORLDS, noise), rollout, noise) != maml.parameters
    before = SPACES.observation * 3 + 3
    assert not moved[:, :before].any()
    assert moved[:, before:].all()
    # the outer step moves all of it
    start = maml.parameters
    maml.update(trial(1))
    assert (maml.parameters != start).all()


@pytest.mark.parametrize(("name", "option"), [("fomaml", "first_order"), ("anil", "last_layer_only")])
def test_a_variants_name_sets_its_option_in_every_configuration(name, option):
    entry = registry.find(name)
    assert entry.load() is MamlTrpo
    assert entry.presets().keys() == PRESETS.keys()
    for preset, config in entry.presets().items():
        assert getattr(config, option)
        assert not getattr(PRESETS[preset], option)
        assert asdict(config) == asdict(PRESETS[preset]) | {option: True}


def test_adapting_goes_on_from_the_adaptation_and_leaves_the_learner_alone():
    maml = learner()
    noise = Noise(0, (), TASKS, WORLDS)
    rollout = trial(1).rollouts[0]
    before = copied(maml.state_dict())
    once = maml.adapt(maml.begin(TASKS, WORLDS, noise), rollout, noise)
    twice = maml.adapt(once, rollout, noise)
    batch = batches(maml, rollout)[0]
    torch.testing.assert_close(twice[0], inner_step(maml, once[0], batch).detach())
    assert torch.equal(maml.parameters, before["parameters"])


def test_tasks_do_not_see_each_other():
    maml = learner()
    noise = Noise(0, (), TASKS, WORLDS)
    rollout = trial(1).rollouts[0]
    before = maml.adapt(maml.begin(TASKS, WORLDS, noise), rollout, noise)
    rollout.reward[0] *= torch.linspace(-1, 2, HORIZON, dtype=torch.float64)
    after = maml.adapt(maml.begin(TASKS, WORLDS, noise), rollout, noise)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1:], after[1:])


def test_no_noise_is_the_mean_action_and_the_output_is_the_action_before_scaling():
    maml = learner(action_scale=0.25)
    obs = torch.randn(TASKS, WORLDS, SPACES.observation, dtype=torch.float64)
    zero = torch.zeros(TASKS, WORLDS, SPACES.action, dtype=torch.float64)
    step = Step(obs, zero, zero[..., 0], torch.zeros(TASKS, WORLDS, dtype=torch.bool))
    adaptation = maml.begin(TASKS, WORLDS, Noise(0, (), TASKS, WORLDS))
    mean, _ = maml.act(adaptation, step, zero)
    distribution = policy(maml, maml.parameters, obs)
    torch.testing.assert_close(mean, 0.25 * distribution.mean)
    noisy, _ = maml.act(adaptation, step, zero + 2.0)
    torch.testing.assert_close(noisy, 0.25 * (distribution.mean + 2.0 * distribution.base_dist.scale))
    rollout = trial(1).rollouts[0]
    torch.testing.assert_close(batches(maml, rollout)[0].output, rollout.action[0].flatten(0, 1) / 0.25)


def test_what_follows_a_termination_does_not_count_and_the_rollouts_end_is_worth_nothing():
    maml = learner(discount=0.9)
    rollout = trial(1).rollouts[0]
    before = batches(maml, rollout)[0].advantage
    rollout.next_obs.fill_(1e6)  # what would be seen after the end is not asked for
    torch.testing.assert_close(batches(maml, rollout)[0].advantage, before)


def test_work_on_tasks_keeps_their_order_and_each_has_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    parallel._pool.cache_clear()
    try:
        found = parallel.for_each_task(
            lambda task, other: (task, other, torch.get_num_threads()), range(9), "abcdefghi"
        )
        assert found == [(task, "abcdefghi"[task], 1) for task in range(9)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)

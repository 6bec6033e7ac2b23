"""The value's error in the inner loss, statistics of a gradient learner, minibatches of tasks, learned step sizes."""

from dataclasses import replace

import pytest
import torch
from conftest import copied
from test_maml_trpo import SPACES, TASKS, central_differences, relative, trial

from robometa import registry
from robometa.data import Trial
from robometa.errors import UserError
from robometa.learners.maml_trpo import Config, MamlTrpo
from robometa.learners.meta_sgd import MetaSgd
from robometa.learners.promp import ProMp
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.rl.gradient_learner import PooledShots, effective_share
from robometa.rl.meta_gradient import outer_gradient
from robometa.rl.policy_gradient import InnerStep, rollout_batches, trial_batches

KINDS = ["maml-trpo", "anil", "fomaml", "meta-sgd", "e-maml", "promp", "reptile"]
NOISE = Noise(0, (), TASKS, 2)
SPACES_SIZES = (SPACES.observation, SPACES.action)


def made(name, **options):
    """A tiny learner in float32 with statistics and a value."""
    entry = registry.find(name)
    usual = {"hidden": (3,), "normalize_observations": True, "value_weight": 0.5}
    return entry.load()(entry.load().configuration(**(entry.overrides | usual | options)), SPACES, seed=0)


def single(shots=1, seed=0):
    """A trial in float32."""
    whole = trial(shots)
    rollouts = [type(one)(**{name: _single(part) for name, part in vars(one).items()}) for one in whole.rollouts]
    return Trial(whole.tasks, tuple(rollouts), Noise(seed, ("update",), TASKS, 2))


def _single(part):
    return part.float() if part.is_floating_point() else part


@pytest.mark.parametrize("name", KINDS)
def test_statistics_are_learned_saved_and_used(name):
    one, other = made(name), made(name)
    one.update(single())
    seen = torch.cat([rollout.obs.flatten(0, 2) for rollout in single().rollouts])
    torch.testing.assert_close(one.observations.mean.float(), seen.mean(dim=0))
    assert float(one.returns.count) == len(seen)
    policys = {key: value for key, value in one.state_dict().items() if not key.startswith("training/")}
    other.load_state_dict(policys)
    rollout = single().rollouts[0]
    before, again = (each.adapt(each.begin(TASKS, 2, NOISE), rollout, NOISE) for each in (one, other))
    assert torch.equal(before, again)
    shifted = replace(rollout, obs=3.0 * rollout.obs + 1.0)
    one.observations.mean, one.observations.variance = (
        3.0 * one.observations.mean + 1.0,
        9.0 * one.observations.variance,
    )
    one.observations._prepare()
    torch.testing.assert_close(one.adapt(one.begin(TASKS, 2, NOISE), shifted, NOISE), before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_a_resumed_training_goes_on_alike(name):
    one, other = made(name), made(name)
    one.update(single())
    other.load_state_dict(copied(one.state_dict()))
    for each in (one, other):
        each.update(single(seed=1))
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("name", KINDS)
def test_without_the_new_options_nothing_is_new(name):
    """A configuration that was written before there were these options is the paper's form."""
    entry = registry.find(name)
    config = read_config(name, {"hidden": [3]})
    learner = entry.load()(config, SPACES, seed=0)
    assert (learner.observations, learner.returns, learner.policy.value) == (None, None, False)
    assert [key for key in learner.state_dict() if not key.startswith("training/")] in (
        ["parameters"],
        ["parameters", "rate"],
    )


@pytest.mark.parametrize("name", ["maml-trpo", "anil", "meta-sgd", "e-maml", "promp", "reptile"])
def test_the_level_of_the_return_moves_the_inner_step_only_with_a_value(name):
    """A constant on every reward leaves the advantages as they are: only the value's error sees it."""
    rollout = single().rollouts[0]
    ended = torch.zeros_like(rollout.terminated)
    rollout = replace(rollout, terminated=ended, truncated=ended.clone())
    rollout.truncated[..., -1] = True
    better = replace(rollout, reward=rollout.reward + 3.0)
    apart = []
    for weight in (0.0, 0.5):
        one = made(name, value_weight=weight, discount=1.0, gae_lambda=1.0)
        ends = [one.adapt(one.begin(TASKS, 2, NOISE), each, NOISE) for each in (rollout, better)]
        apart.append(float((ends[0] - ends[1]).norm()))
    assert apart[1] > 5 * apart[0]


def test_the_value_is_the_last_output_and_no_action():
    one = made("maml-trpo")
    obs = torch.randn(TASKS, 4, SPACES.observation)
    mean, _, value = one.policy.outputs(one.parameters, obs)
    assert mean.shape == (TASKS, 4, SPACES.action)
    assert value.shape == (TASKS, 4)
    assert one.policy.size == len(one.parameters)


@pytest.mark.parametrize("order", [False, True])
def test_the_outer_gradient_goes_through_the_values_error_and_has_none_of_its_own(order):
    torch.manual_seed(0)
    config = Config(hidden=(3,), value_weight=0.7, inner_step_size=0.5, first_order=order)
    learner = MamlTrpo(config, SPACES, 0)
    start = learner.parameters.double()
    step = InnerStep(learner.policy, 0.5, order, 0.7)
    tasks = trial_batches(trial(1), 0.99, 0.9, 1.0)

    def outer(point):
        return torch.stack([step.policy_loss(step.after(point, inner), last) for inner, last in tasks]).mean()

    found, _ = outer_gradient(step, step.after, start, tasks)
    wanted = central_differences(outer, start)
    assert (relative(found, wanted) < 1e-6) == (not order)


def test_minibatches_of_promp_take_every_task_once_an_epoch():
    one = ProMp(ProMp.configuration(hidden=(3,), minibatches=2, epochs=3), SPACES, 0)
    shares = one._shares(5, Noise(0, ("update",), 5, 2))
    assert [len(epoch) for epoch in shares] == [2, 2, 2]
    assert all(sorted(task for share in epoch for task in share) == list(range(5)) for epoch in shares)
    assert shares[0] != shares[1] or shares[1] != shares[2]
    one.update(single())
    assert int(next(iter(one.optimizer.state.values()))["step"]) == 6


def test_the_learning_rate_of_promp_falls_to_its_end():
    one = ProMp(
        ProMp.configuration(hidden=(3,), iterations=2, epochs=1, learning_rate=0.01, final_learning_rate=0.002),
        SPACES,
        0,
    )
    rates = []
    for _ in range(3):
        one.update(single())
        rates.append(one.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01, 0.006, 0.002])


def test_a_small_last_layer_begins_with_small_actions():
    whole, small = (made("promp", last_layer_scale=scale) for scale in (1.0, 0.1))
    last = slice(-whole.policy.last_size, -SPACES.action)
    torch.testing.assert_close(small.parameters[last], 0.1 * whole.parameters[last])
    assert torch.equal(small.parameters[-SPACES.action :], whole.parameters[-SPACES.action :])


def test_meta_sgds_step_sizes_move_by_an_optimizer_of_their_own():
    apart = made("meta-sgd", rate_learning_rate=0.01, hidden=(8, 8))
    start = MetaSgd(apart.config, SPACES, 0)
    tasks = trial_batches(start._seen_trial(single()), *start._estimator())
    gradient, _ = outer_gradient(start.step, start._adapted_from, torch.cat((start.parameters, start.rate)), tasks)
    gradient = gradient[len(start.rate) :]
    apart.update(single())
    # Adam's first step has the length of its rate, wherever there is a gradient.
    moved = gradient.abs() > 1e-5
    assert moved.any()
    torch.testing.assert_close(apart.rate[moved], (1 - 0.01 * gradient.sign())[moved], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", KINDS)
def test_pooled_shots_adapt_from_the_start_to_a_mean_of_a_step_on_every_shot(name):
    """Weights are effective sample sizes of importance weights, here from torch's own distributions."""
    pooled, plain = made(name, pooled_shots=True), made(name)
    start = plain.begin(TASKS, 2, NOISE)
    steps, weights, adaptation = [], [], pooled.begin(TASKS, 2, NOISE)
    for rollout in single(2).rollouts:
        likely = []
        for parameters in (start, adaptation.parameters):
            mean, log_std = plain.policy.distribution(parameters, rollout.obs.flatten(1, 2))
            one = torch.distributions.Normal(mean, log_std.exp().expand_as(mean))
            likely.append(one.log_prob((rollout.action / plain.config.action_scale).flatten(1, 2)).sum(dim=-1))
        ratio = (likely[0] - likely[1]).exp()
        weights.append(ratio.sum(dim=1) ** 2 / (ratio**2).sum(dim=1) / ratio.shape[1])
        steps.append(plain.adapt(start, rollout, NOISE))
        adaptation = pooled.adapt(adaptation, rollout, NOISE)
        share = torch.stack(weights)[..., None]
        expected = (torch.stack(steps) * share).sum(dim=0) / share.sum(dim=0)
        torch.testing.assert_close(adaptation.parameters, expected)
    assert torch.equal(adaptation.start, start)
    torch.testing.assert_close(adaptation.weight, torch.stack(weights).sum(dim=0)[:, None])
    assert torch.equal(weights[0], torch.ones(TASKS))


def test_a_step_without_an_action_has_no_part_in_a_shots_weight():
    """Its observation may be no number, and its ratio beside those of the others anything."""
    one = made("maml-trpo", pooled_shots=True)
    start = one.begin(1, 2, NOISE).start
    adaptation = PooledShots(start + 0.1, start, torch.ones(1, 1))
    obs, output = (torch.randn(1, 6, size, generator=torch.Generator().manual_seed(0)) for size in SPACES_SIZES)
    whole = effective_share(one.policy, adaptation, obs[:, 1:], output[:, 1:], torch.ones(1, 5))
    counted = torch.tensor([[0.0, 1, 1, 1, 1, 1]])
    for bad in (float("nan"), 1e3):
        spoilt = output.index_fill(1, torch.tensor([0]), bad)
        torch.testing.assert_close(effective_share(one.policy, adaptation, obs, spoilt, counted), whole)
    assert float(effective_share(one.policy, adaptation, obs, output, torch.zeros(1, 6))) == 0.0


def test_pooled_shots_are_refused_in_training_with_several():
    with pytest.raises(UserError, match="shots must be 1 with pooled_shots, not 2"):
        Config(pooled_shots=True, shots=2)


def test_batches_have_the_returns_on_one_scale():
    one = made("promp")
    one.returns.include(torch.tensor([[0.0], [4.0]]))
    rollout = single().rollouts[0]
    plain = rollout_batches(rollout, 0.99, 0.9, 1.0)
    scaled = rollout_batches(rollout, 0.99, 0.9, 1.0, one.returns)
    for first, second in zip(plain, scaled, strict=True):
        torch.testing.assert_close((first.target - 2.0) / 2.0, second.target)

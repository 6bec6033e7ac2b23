"""Networks as functions of flat parameters, and the normal distributions they end in."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from robometa.nn.networks import GaussianPolicy, Perceptron, normal_kl, normal_log_density


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_parameters_of_each_task_act_as_they_would_alone():
    policy = GaussianPolicy(3, 2, (5, 4))
    parameters, obs, output = drawn(6, policy.size), drawn(6, 7, 3, seed=1), drawn(6, 7, 2, seed=2)
    mean, log_std = policy.distribution(parameters, obs)
    density = policy.log_likelihood(parameters, obs, output)
    assert mean.shape == (6, 7, 2)
    assert density.shape == (6, 7)
    for task in range(6):
        alone = policy.distribution(parameters[task], obs[task])
        torch.testing.assert_close(mean[task], alone[0])
        torch.testing.assert_close(log_std[task], alone[1])
        torch.testing.assert_close(
            density[task], policy.log_likelihood(parameters[task], obs[task], output[task]), rtol=1e-10, atol=1e-10
        )


def test_the_flat_parameters_are_weights_and_biases_layer_by_layer_then_deviations():
    policy = GaussianPolicy(1, 1, (2,))
    # hidden = tanh(x * (1, -2) + (0.5, 0)), mean = 3 * hidden_1 - hidden_2 + 0.25
    parameters = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, -1.0, 0.25, math.log(0.7)])
    assert policy.size == len(parameters)
    mean, log_std = policy.distribution(parameters, torch.tensor([[0.3]]))
    assert float(mean) == pytest.approx(3 * math.tanh(0.8) - math.tanh(-0.6) + 0.25)
    assert float(log_std.exp()) == pytest.approx(0.7)


def test_the_initial_policy_has_the_deviation_asked_for_and_a_seed():
    policy = GaussianPolicy(3, 2, (50,))
    first, again, other = (policy.initial(torch.Generator().manual_seed(seed), 0.5) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.testing.assert_close(first[-2:].exp(), torch.full((2,), 0.5))
    limit = math.sqrt(6 / 53)
    assert 0.9 * limit < first[:150].abs().max() <= limit
    assert torch.equal(first[150:200], torch.zeros(50))


def test_the_deviation_has_a_floor():
    policy = GaussianPolicy(1, 1, (2,), minimum_std=0.1)
    parameters = torch.full((policy.size,), -50.0)
    assert float(policy.distribution(parameters, torch.zeros(1, 1))[1].exp()) == pytest.approx(0.1)


def test_the_log_density_is_that_of_torch():
    value, mean, log_std = drawn(4, 3), drawn(4, 3, seed=1), 0.3 * drawn(4, 3, seed=2)
    wanted = Independent(Normal(mean, log_std.exp()), 1).log_prob(value)
    torch.testing.assert_close(normal_log_density(value, mean, log_std), wanted)


def test_the_divergence_is_that_of_torch_and_not_symmetric():
    means, log_stds = drawn(2, 4, 3), 0.5 * drawn(2, 4, 3, seed=1)
    first, second = (Independent(Normal(mean, log_std.exp()), 1) for mean, log_std in zip(means, log_stds, strict=True))
    found = normal_kl(means[0], log_stds[0], means[1], log_stds[1])
    torch.testing.assert_close(found, kl_divergence(first, second))
    back = normal_kl(means[1], log_stds[1], means[0], log_stds[0])
    torch.testing.assert_close(back, kl_divergence(second, first))
    assert not torch.allclose(found, back)


def test_a_perceptron_is_drawn_from_the_generator_passed_in():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    made = [Perceptron((3, 8, 2), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), before)
    x = torch.ones(1, 3)
    assert torch.equal(made[0](x), made[1](x))
    assert not torch.equal(made[0](x), made[2](x))


def test_a_perceptron_ends_in_a_linear_layer_of_small_weights_if_asked():
    network = Perceptron((3, 8, 2), torch.Generator().manual_seed(0), last_limit=1e-3)
    assert [type(layer).__name__ for layer in network] == ["Linear", "ReLU", "Linear"]
    assert network[-1].weight.abs().max() <= 1e-3
    assert network[-1].bias.abs().max() <= 1e-3
    assert network[0].weight.abs().max() > 0.1


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch was built without oneDNN")
@pytest.mark.parametrize("rows", [(4096,), (16, 256)])
def test_many_rows_come_out_as_few_do_and_so_do_their_gradients(rows, monkeypatch):
    network = Perceptron((5, 200, 200, 3), torch.Generator().manual_seed(0))
    many = drawn(*rows, 5).float().requires_grad_()
    few = many.detach().clone().requires_grad_()
    calls, way = [], torch.Tensor.to_mkldnn
    monkeypatch.setattr(torch.Tensor, "to_mkldnn", lambda x: calls.append(x.shape) or way(x))
    out = network(many)
    assert calls == [(*rows, 200)]  # the large layer alone
    at_once = torch.autograd.grad(out.square().sum(), [many, *network.parameters()])
    piecewise = torch.cat([network(piece) for piece in few.flatten(0, -2).split(100)]).unflatten(0, rows)
    in_pieces = torch.autograd.grad(piecewise.square().sum(), [few, *network.parameters()])
    assert out.shape == (*rows, 3)
    assert len(calls) == 1
    torch.testing.assert_close((out, *at_once), (piecewise, *in_pieces), rtol=1e-4, atol=1e-4)


def test_what_is_no_number_stays_none_in_many_rows():
    network, x = Perceptron((5, 200, 200, 3), torch.Generator().manual_seed(0)), torch.zeros(4096, 5)
    x[7] = torch.nan
    assert network(x).isnan().any(dim=-1).nonzero().flatten().tolist() == [7]

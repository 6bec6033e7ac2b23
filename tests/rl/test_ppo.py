"""Proximal policy optimisation against its paper's equations written with torch's distributions."""

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from robometa.errors import UserError
from robometa.nn.actor_critic import Output
from robometa.rl import ppo

N, TIME, INPUTS, ACTION = 6, 5, 3, 2


class Line(nn.Module):
    """A policy that is a matrix, with a value that is another."""

    def __init__(self):
        super().__init__()
        drawn = torch.randn(INPUTS, ACTION + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.actor, self.critic = nn.Parameter(drawn[:, :ACTION].clone()), nn.Parameter(drawn[:, ACTION].clone())
        self.log_std = nn.Parameter(torch.tensor([-0.3, 0.2], dtype=torch.float64))

    def forward(self, inputs):
        """What it says. `[n, time, inputs]`."""
        return Output(inputs @ self.actor, self.log_std, inputs @ self.critic)


def experience(n=N, seed=1, off=0.3):
    """Experience of a policy that differs from the network by about `off` nats in its log densities."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(n, TIME, *shape, generator=generator, dtype=torch.float64)

    inputs, action = normal(INPUTS), normal(ACTION)
    with torch.no_grad():
        density = distribution(Line(), inputs).log_prob(action)
    return ppo.Experience((inputs,), action, density + off * normal(), normal(), normal())


def distribution(network, inputs):
    output = network(inputs)
    return Independent(Normal(output.mean, output.log_std.exp().expand_as(output.mean)), 1)


def written_out(network, learned, options):
    """The loss once more, sample by sample: the smaller of what the ratio and the clipped ratio promise."""
    inputs, total = learned.inputs[0], 0.0
    density = distribution(network, inputs).log_prob(learned.action)
    for sequence in range(len(inputs)):
        for time in range(TIME):
            ratio = (density[sequence, time] - learned.log_density[sequence, time]).exp()
            advantage = learned.advantage[sequence, time]
            nearest = min(max(float(ratio.detach()), 1 - options.clip), 1 + options.clip)
            promised, bounded = ratio * advantage, nearest * advantage
            total = total - (promised if bool(promised <= bounded) else bounded.detach())
            error = network(inputs[sequence, time]).value - learned.target[sequence, time]
            total = total + options.value_weight * error**2
    entropy = distribution(network, inputs).entropy().mean()
    return total / (len(inputs) * TIME) - options.entropy_weight * entropy


def gradients_of_update(learned, **changes):
    """The gradient at an update's only step, before it is cut."""
    options = ppo.Options(**({"epochs": 1, "minibatches": 1, "gradient_norm": 1e9} | changes))
    network = Line()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    ppo.update(network, optimizer, learned, options, torch.Generator().manual_seed(0))
    return [parameter.grad for parameter in network.parameters()], options


def test_the_gradient_is_that_of_the_paper():
    learned = experience()
    found, options = gradients_of_update(learned, entropy_weight=0.1, value_weight=0.7)
    network = Line()
    expected = torch.autograd.grad(written_out(network, learned, options), list(network.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_pieces_give_the_gradient_of_the_whole():
    learned = experience(n=11)  # 11 sequences are pieces of 4, 4 and 3
    whole, _ = gradients_of_update(learned)
    pieces, _ = gradients_of_update(learned, chunk=4)
    for one, other in zip(pieces, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("ahead", "advantage", "moves"), [(0.5, 1, 0), (0.5, -1, 1), (-0.5, 1, 1), (-0.5, -1, 0)])
def test_clipping_stops_only_what_went_far_enough(ahead, advantage, moves):
    """A ratio beyond the clip gives no more gradient, unless the advantage wants it back."""
    learned = experience(off=0.0)
    learned = learned._replace(
        log_density=learned.log_density - ahead, advantage=torch.full((N, TIME), float(advantage)).double()
    )
    (of_actor, *_), _ = gradients_of_update(learned)
    assert bool(of_actor.abs().max() > 0) == bool(moves)


def test_what_is_logged():
    learned, options = experience(), ppo.Options(epochs=1, minibatches=1)
    network = Line()
    found = ppo.update(network, torch.optim.SGD(network.parameters(), lr=1.0), learned, options, torch.Generator())
    density = distribution(Line(), learned.inputs[0]).log_prob(learned.action).detach()
    ratio = (density - learned.log_density).exp()
    assert found["clipped"] == pytest.approx(float(((ratio < 0.8) | (ratio > 1.2)).double().mean()))
    assert found["kl"] == pytest.approx(float((ratio - 1 - ratio.log()).mean()))
    assert found["kl"] > 0


def test_long_gradients_are_cut():
    network, learned = Line(), experience()
    options = ppo.Options(epochs=1, minibatches=1, gradient_norm=1e-3)
    found = ppo.update(network, torch.optim.SGD(network.parameters(), lr=1.0), learned, options, torch.Generator())
    norm = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)
    assert found["gradient_norm"] > 1e-2


def test_every_sequence_is_used_once_in_a_pass(monkeypatch):
    seen = []

    def loss(network, batch, options):
        seen.append(batch.target[:, 0].tolist())
        zero = 0 * torch.stack([parameter.square().sum() for parameter in network.parameters()]).sum()
        return zero, torch.zeros(5)

    monkeypatch.setattr(ppo, "_loss", loss)
    network = Line()
    options = ppo.Options(epochs=2, minibatches=3)
    learned = experience(n=7)
    learned.target[:, 0] = torch.arange(7)
    ppo.update(network, torch.optim.SGD(network.parameters(), lr=1.0), learned, options, torch.Generator())
    assert [len(piece) for piece in seen] == [3, 2, 2] * 2
    for one_pass in (seen[:3], seen[3:]):
        assert sorted(member for piece in one_pass for member in piece) == list(range(7))
    assert seen[:3] != seen[3:]


@pytest.mark.parametrize(("decay_end", "rates"), [(0, (4.0, 2.5, 1.0)), (2, (4.0, 1.0, 1.0))])
def test_the_learning_rate_falls_with_the_steps_that_were_taken(decay_end, rates):
    # an iteration is 2 passes of 2 steps; at its last step the rate has 1 of 4 steps of an iteration to go
    options = ppo.Options(
        iterations=4, epochs=2, minibatches=2, learning_rate=4e-9, final_learning_rate=1e-9, decay_end=decay_end
    )
    network = Line()
    optimizer = torch.optim.Adam(network.parameters())
    found = []
    for _ in range(5):
        ppo.update(network, optimizer, experience(), options, torch.Generator())
        found.append(optimizer.param_groups[0]["lr"] * 1e9)
    assert (found[0], found[2], found[4]) == pytest.approx(rates)


def test_cut_sequences_are_their_pieces_in_order():
    learned = ppo.Experience(
        (torch.arange(12.0).reshape(2, 6, 1), torch.arange(4.0).reshape(2, 2, 1)),
        *(torch.arange(12.0).reshape(2, 6) for _ in range(4)),
    )
    found = ppo.cut(learned, 2)
    assert torch.equal(found.inputs[0][..., 0], torch.arange(12.0).reshape(4, 3))
    assert torch.equal(found.inputs[1][..., 0], torch.arange(4.0).reshape(4, 1))
    assert torch.equal(found.target, torch.arange(12.0).reshape(4, 3))


def test_outputs_are_the_networks_without_gradients():
    network, inputs = Line(), experience(n=11).inputs[0]
    found, expected = ppo.outputs(network, inputs, chunk=4), network(inputs)
    for one, other in zip(found, expected, strict=True):
        assert not one.requires_grad
        torch.testing.assert_close(one, other.detach())


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match=r"option clip must be in \(0, 1\), not 1.0"):
        ppo.Options(clip=1.0)

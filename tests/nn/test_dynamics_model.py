"""Models of dynamics: what they see, what they lose, and sequences played in them."""

import math

import pytest
import torch
from torch.distributions import Normal

from robometa.data import Meaning, Spaces
from robometa.nn.dynamics_model import BOUNDS, Ensemble, Form, joined_from, split_over
from robometa.nn.imagination import imagined

SPACES = Spaces(4, 2)
PAID = Meaning(free=(3,), pitch=1, reward=lambda obs, action, after: after[:, 3] - obs[:, 3] - action.square().sum(1))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ensemble(members=3, context=0, probabilistic=True, meaning=PAID):
    form = Form((8, 8), "hardswish", probabilistic, context, meaning)
    made = Ensemble(SPACES, form, members, torch.Generator().manual_seed(1))
    made.include(torch.cat((normal(50, 6), 0.3 * normal(50, 5, seed=1) + 0.1), dim=1))
    return made


def test_a_place_that_nothing_depends_on_is_not_seen_and_a_whole_turn_changes_nothing():
    made = ensemble()
    obs, action = normal(3, 5, 4), normal(3, 5, 2)
    moved, turned, tilted = obs.clone(), obs.clone(), obs.clone()
    moved[..., 3] += 7.0
    turned[..., 1] += 2 * math.pi
    tilted[..., 1] += 1.0
    for outcome, *others in zip(*(made.predicted(made.parameters, one, action) for one in (obs, moved, turned, tilted)),
                                strict=True):  # fmt: skip
        torch.testing.assert_close(others[0], outcome)
        torch.testing.assert_close(others[1], outcome, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(others[2], outcome, atol=1e-3)


def test_the_loss_with_variances_is_the_negative_log_likelihood_times_the_variance():
    made = ensemble()
    steps, weight = normal(3, 6, 11), torch.ones(3, 6)
    weight[0, 2:] = 0
    mean, log_variance = made.predicted(made.parameters, steps[..., :4], steps[..., 4:6])
    wanted = -Normal(mean, (0.5 * log_variance).exp()).log_prob(made.outcome(steps[..., 6:])[..., :4])
    wanted = ((wanted - 0.5 * math.log(2 * math.pi)) * log_variance.exp()).mean(-1)
    expected = torch.stack((wanted[0, :2].mean(), wanted[1].mean(), wanted[2].mean()))
    torch.testing.assert_close(made.loss(made.parameters, steps, weight), expected)


def test_means_learn_as_by_squared_error_whatever_the_variances():
    made, steps = ensemble(), normal(3, 6, 11)
    made.loss(made.parameters, steps, torch.ones(3, 6)).sum().backward()
    error, log_variance = made.errors(made.parameters, steps)
    (wanted,) = torch.autograd.grad(0.5 * error.square().mean(dim=(1, 2)).sum(), made.parameters)
    last = made.cut(made.parameters.grad)[-1][1], made.cut(wanted)[-1][1]  # biases of means, then of variances
    torch.testing.assert_close(last[0][..., :4], last[1][..., :4])
    assert log_variance.std() > 0


def test_log_variances_stay_within_their_bounds_which_are_learned():
    made = ensemble()
    far = 1e3 * made.parameters
    _, log_variance = made.predicted(far, normal(3, 50, 4), normal(3, 50, 2))
    assert log_variance.min() >= BOUNDS[0] - 1e-4
    assert log_variance.max() <= BOUNDS[1] + 1e-4
    made.spread_of_bounds().backward()
    assert (made.bounds.grad[1] > 0).all()
    assert (made.bounds.grad[0] < 0).all()


@pytest.mark.parametrize("count", [6, 7])
def test_rows_are_dealt_out_in_turn_and_come_back_in_order(count):
    rows = torch.arange(2.0 * count).view(2, count)
    dealt = split_over(rows, 3)
    assert dealt.shape == (3, 2, -(-count // 3))
    assert dealt[1, 0, :2].tolist() == [1, 4]
    assert torch.equal(joined_from(dealt, count), rows)


def played(made, parameters, obs, inputs, penalty):
    """Reward of a single sequence in a single member, by its one-step predictions."""
    total, action = 0.0, inputs[:, :2]
    for step, given in enumerate(inputs):
        outcome, _ = made.predicted(parameters[None], obs[None, None], given[None, None])
        full = torch.zeros(5)
        full[: made.targets] = outcome[0, 0]
        change = made.outcome.undo(full)
        after = obs + change[:4]
        if made.meaning.reward is None:
            total += change[4]
        else:
            total += made.meaning.reward(obs[None], action[step][None], after[None])[0]
        if made.pitch is not None:
            total -= penalty * float(after[1].cos() < 0)
        obs = after
    return total


@pytest.mark.parametrize("meaning", [PAID, Meaning()])
@pytest.mark.parametrize("of_worlds", [False, True])
@pytest.mark.parametrize("particles", [1, 2])
def test_a_sequence_earns_what_its_members_predict_step_by_step(meaning, of_worlds, particles):
    made = ensemble(context=1, meaning=meaning)
    obs, inputs = normal(2, 4), normal(2, 5, 3, 3, seed=2)
    obs[:, 1] = torch.tensor([1.4, 0.0])  # the first world is about to fall onto its back
    parameters = made.parameters.detach()
    own = torch.stack([parameters, 1.1 * parameters], dim=1) if of_worlds else parameters
    found = imagined(made, own, obs, inputs, particles=particles, flip_penalty=10.0)
    for world in range(2):
        for row in range(5):
            members = [(row * particles + turn) % 3 for turn in range(particles)]
            each = [
                played(made, own[member, world] if of_worlds else own[member], obs[world], inputs[world, row], 10.0)
                for member in members
            ]
            torch.testing.assert_close(found[world, row], torch.stack(each).mean(), rtol=1e-4, atol=1e-4)


def test_a_single_member_is_saved_as_one_vector_and_any_number_comes_back():
    for members in (1, 3):
        made, other = ensemble(members), ensemble(members)
        made.parameters.data += 1.0
        state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
        assert state["parameters"].dim() == (1 if members == 1 else 2)
        other.load_state_dict(state)
        assert torch.equal(other.parameters, made.parameters)
    with pytest.raises(ValueError, match="parameters expected, not"):
        ensemble(2).load_state_dict(state)

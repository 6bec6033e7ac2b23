"""Beliefs and what they predict, against torch's distributions and decoders called one pair at a time."""

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from robometa.data import Spaces
from robometa.nn.task_belief import Decoders, Encoder, Moves, divergences

SPACES, LATENT, TRIALS, TIME = Spaces(3, 2), 2, 4, 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def moves(steps=5):
    widths = (SPACES.observation, SPACES.action, 1, SPACES.observation)
    return Moves(*(normal(TRIALS, steps, width, seed=seed) for seed, width in enumerate(widths)))


def test_the_divergence_of_each_belief_is_from_the_one_before():
    mean, log_variance = normal(TRIALS, TIME, LATENT), normal(TRIALS, TIME, LATENT, seed=1)
    found = divergences(mean, log_variance)
    assert found.shape == (TRIALS, TIME)

    def belief(time):
        return Independent(Normal(mean[:, time], (0.5 * log_variance[:, time]).exp()), 1)

    prior = Independent(Normal(torch.zeros(LATENT), torch.ones(LATENT)), 1)
    torch.testing.assert_close(found[:, 0], kl_divergence(belief(0), prior.expand((TRIALS,))))
    for time in range(1, TIME):
        torch.testing.assert_close(found[:, time], kl_divergence(belief(time), belief(time - 1)))


def test_a_belief_that_stays_the_prior_costs_nothing():
    assert torch.equal(divergences(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2)), torch.zeros(1, 3))


def test_the_encoder_gives_the_same_belief_step_by_step():
    encoder = Encoder(7, 5, LATENT, generator())
    inputs = normal(TRIALS, TIME, 7)
    mean, log_variance = encoder(inputs)
    memory = torch.zeros(TRIALS, 5)
    for time in range(TIME):
        memory, *belief = encoder.step(inputs[:, time], memory)
        torch.testing.assert_close(belief[0], mean[:, time])
        torch.testing.assert_close(belief[1], log_variance[:, time])


@pytest.mark.parametrize("states", [False, True])
def test_every_latent_variable_predicts_every_step(states):
    decoders = Decoders(SPACES, LATENT, (4,), states, generator())
    latent, steps = normal(TRIALS, 3, LATENT, seed=9), moves()
    of_reward, of_state, pairs = 0.0, 0.0, TRIALS * 3 * 5
    for trial in range(TRIALS):
        for variable in latent[trial]:
            for step in range(5):
                obs, action, reward, next_obs = (part[trial, step] for part in steps)
                paid = decoders.reward(torch.cat((variable, obs, action, next_obs)))
                of_reward += (paid - reward).square().sum() / pairs
                if states:
                    led_to = decoders.next_obs(torch.cat((variable, obs, action)))
                    of_state += (led_to - next_obs).square().sum() / pairs  # summed over what is observed
    found = decoders(latent, steps)
    torch.testing.assert_close(found, torch.stack((of_reward, torch.as_tensor(of_state))))


def test_the_decoder_of_states_is_not_told_what_it_predicts():
    decoders, latent, steps = Decoders(SPACES, LATENT, (4,), True, generator()), normal(TRIALS, 3, LATENT), moves()
    seen = []
    decoders.next_obs.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    decoders(latent, steps)
    decoders(latent, steps._replace(next_obs=steps.next_obs + 1, reward=steps.reward + 1))
    assert torch.equal(*seen)


def test_the_mean_of_a_states_error_is_its_sum_over_the_dimensions_count():
    summed, mean = (Decoders(SPACES, LATENT, (4,), True, generator(), mean_error=way) for way in (False, True))
    latent, steps = normal(TRIALS, 3, LATENT), moves()
    first, second = summed(latent, steps), mean(latent, steps)
    torch.testing.assert_close(first[0], second[0])
    torch.testing.assert_close(first[1], SPACES.observation * second[1])

"""A gradient step of PEARL as the authors' implementation takes it, to stand beside ours.

Written anew from the paper's algorithm 1 and its published sizes: twin Q networks, a value network with a slow copy, an
Adam of its own for each network, gradients through the Q networks' weights where the policy learns, and one pass over
the whole batch at a time. It measures; it is not used to learn anything.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from robometa.data import Spaces
from robometa.learners.pearl import Config


def perceptron(*widths: int) -> nn.Sequential:
    """A multilayer perceptron with ReLU."""
    layers: list[nn.Module] = []
    for into, out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(into, out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Reference:
    """The networks, and a step on random transitions of the right shape."""

    def __init__(self, config: Config, spaces: Spaces) -> None:
        """Networks of the configuration's sizes."""
        obs, action, latent = spaces.observation, spaces.action, config.latent
        self.config, self.spaces = config, spaces
        self.encoder = perceptron(obs + action + 1, *config.encoder_hidden, 2 * latent)
        self.actor = perceptron(obs + latent, *config.hidden, 2 * action)
        self.first, self.second = (perceptron(obs + action + latent, *config.hidden, 1) for _ in range(2))
        self.value = perceptron(obs + latent, *config.hidden, 1)
        self.slow_value = copy.deepcopy(self.value)
        learning = (self.encoder, self.actor, self.first, self.second, self.value)
        self.optimizers = [torch.optim.Adam(network.parameters(), lr=config.learning_rate) for network in learning]
        shape = (config.meta_batch, config.batch)
        generator = torch.Generator().manual_seed(0)
        self.context = torch.randn(config.meta_batch, config.context, obs + action + 1, generator=generator)
        self.obs, self.next_obs = torch.randn(2, *shape, obs, generator=generator)
        self.action = torch.randn(*shape, action, generator=generator).clamp(-1, 1)
        self.reward, self.terminated = torch.randn(*shape, 1, generator=generator), torch.zeros(*shape, 1)

    def step(self) -> None:
        """One step of every network."""
        config = self.config
        encoder, actor, first, second, value = self.optimizers
        mean, raw = self.encoder(self.context).chunk(2, dim=-1)
        variance = functional.softplus(raw).clamp(min=1e-7)
        variance_of_all = 1 / (1 / variance).sum(dim=1)
        mean_of_all = variance_of_all * (mean / variance).sum(dim=1)
        sample = mean_of_all + variance_of_all.sqrt() * torch.randn_like(mean_of_all)
        latent = sample.unsqueeze(1).expand(-1, config.batch, -1)
        known = latent.detach()

        new_action, log_density = self._act(known)
        both = [network(torch.cat((self.obs, self.action, latent), dim=-1)) for network in (self.first, self.second)]
        expected = self.value(torch.cat((self.obs, known), dim=-1))
        with torch.no_grad():
            following = self.slow_value(torch.cat((self.next_obs, known), dim=-1))

        for optimizer in (encoder, first, second):
            optimizer.zero_grad()
        kl = 0.5 * (variance_of_all + mean_of_all.square() - 1 - variance_of_all.log()).sum()
        (config.kl_weight * kl).backward(retain_graph=True)
        target = config.reward_scale * self.reward + (1 - self.terminated) * config.discount * following
        sum((values - target).square().mean() for values in both).backward()
        for optimizer in (first, second, encoder):
            optimizer.step()

        of_new = torch.cat((self.obs, new_action, known), dim=-1)
        least = torch.minimum(self.first(of_new), self.second(of_new))
        value.zero_grad()
        (expected - (least - log_density).detach()).square().mean().backward()
        value.step()
        with torch.no_grad():
            for slow, fast in zip(self.slow_value.parameters(), self.value.parameters(), strict=True):
                slow.lerp_(fast, config.target_rate)
        actor.zero_grad()
        (log_density - least).mean().backward()
        actor.step()

    def _act(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(torch.cat((self.obs, latent), dim=-1)).chunk(2, dim=-1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        output = normal.rsample()
        action = torch.tanh(output)
        log_density = normal.log_prob(output) - torch.log(1 - action.square() + 1e-6)
        return action, log_density.sum(dim=-1, keepdim=True)

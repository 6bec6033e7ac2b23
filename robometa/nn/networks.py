"""Networks as functions of flat parameter vectors; a task's copy of a policy is a row of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robometa.errors import UserError

LOG_TWO_PI = math.log(2 * math.pi)
ONEDNN_MIN_MULTIPLICATIONS = 100_000_000
"""Multiplications above which oneDNN is faster, despite its layout conversions."""
LARGEST = 100_000_000
"""Most parameters of a network. A policy from elsewhere could otherwise exhaust the memory."""


def check_size(parameters: int, what: str) -> None:
    """Refuses a network that is too large, before its parameters are allocated.

    Raises:
        UserError: If it has more than `LARGEST`.
    """
    if parameters > LARGEST:
        raise UserError(f"{what} makes a network of {parameters:.3g} parameters; the most is {LARGEST:,}")


class GaussianPolicy:
    """A Gaussian policy: a multilayer perceptron gives the mean, a separate parameter the standard deviation.

    It holds no parameters. Every method takes a flat vector `[parameter]`, or one per task `[task, parameter]`; with
    one per task, observations are `[task, n, obs]`.
    """

    def __init__(
        self, observation: int, action: int, hidden: Sequence[int], minimum_std: float = 1e-6, *, value: bool = False
    ) -> None:
        """Lays out a policy from `observation` numbers through `hidden` tanh layers to `action` numbers.

        Args:
            observation: Numbers of an observation.
            action: Numbers of an action.
            hidden: Widths of the hidden layers.
            minimum_std: Lower bound of the standard deviation.
            value: Add an output of the last layer that predicts the return.
        """
        self.value = value
        widths = (observation, *hidden, action + value)
        self.layers = list(zip(widths[:-1], widths[1:], strict=True))
        self.action = action
        self.minimum_log_std = math.log(minimum_std)
        self.size = sum(into * out + out for into, out in self.layers) + action
        into, out = self.layers[-1]
        self.last_size = into * out + out + action
        """Parameters of the last layer and the standard deviation, which are the last ones."""
        check_size(self.size, f"hidden {hidden}")

    def initial(self, generator: torch.Generator, std: float = 1.0) -> Tensor:
        """Glorot-uniform weights, zero biases, and the given standard deviation. `[parameter]`."""
        parts = []
        for into, out in self.layers:
            limit = math.sqrt(6 / (into + out))
            parts += [(2 * torch.rand(into * out, generator=generator) - 1) * limit, torch.zeros(out)]
        return torch.cat([*parts, torch.full((self.action,), math.log(std))])

    def linear_layers(self, parameters: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Weights `[out, in]` and biases `[out]` of every layer of one flat vector, and the log standard deviation."""
        found, start = [], 0
        for into, out in self.layers:
            weight, bias = parameters[start : start + into * out], parameters[start + into * out :][:out]
            found.append((weight.unflatten(0, (into, out)).T, bias))
            start += into * out + out
        return found, parameters[start:].clamp(min=self.minimum_log_std)

    def distribution(self, parameters: Tensor, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean `[..., n, action]` and log standard deviation `[..., 1, action]` of the policy's output."""
        mean, log_std, _ = self.outputs(parameters, obs)
        return mean, log_std

    def outputs(self, parameters: Tensor, obs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Mean and log standard deviation as `distribution`, and the value `[..., n]`, None if there is none."""
        # Cut weights and biases out of the vector, layer by layer.
        start, x = 0, obs
        for index, (into, out) in enumerate(self.layers):
            weight = parameters[..., start : start + into * out].unflatten(-1, (into, out))
            start += into * out
            bias = parameters[..., start : start + out].unsqueeze(-2)
            start += out
            x = x @ weight + bias
            if index < len(self.layers) - 1:
                x = torch.tanh(x)
        mean, value = self.parted(x)
        return mean, parameters[..., start:].unsqueeze(-2).clamp(min=self.minimum_log_std), value

    def parted(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Parts the last layer's output into mean and value. `[..., n, number]`."""
        return (output[..., :-1], output[..., -1]) if self.value else (output, None)

    def last_layer(self) -> Tensor:
        """Mask of the last layer and the standard deviation: 1 for these, 0 for the others. `[parameter]`."""
        mask = torch.zeros(self.size)
        mask[-self.last_size :] = 1
        return mask

    def log_likelihood(self, parameters: Tensor, obs: Tensor, output: Tensor) -> Tensor:
        """Log density of the policy's outputs. `[..., n]`."""
        mean, log_std = self.distribution(parameters, obs)
        return normal_log_density(output, mean, log_std)


def normal_log_density(value: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density of a diagonal normal distribution, summed over the last axis."""
    # -0.5 * ((x - mean) / std)^2 - log std - 0.5 * log(2 pi), summed over the last axis.
    scaled = (value - mean) * torch.exp(-log_std)
    return -(0.5 * scaled.square() + log_std).sum(dim=-1) - 0.5 * LOG_TWO_PI * value.shape[-1]


def normal_kl(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    """KL divergence between diagonal normal distributions, KL(first || other), summed over the last axis."""
    # log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2, summed over the last axis.
    ratio = torch.exp(2 * (log_std - other_log_std))
    distance = (mean - other_mean).square() * torch.exp(-2 * other_log_std)
    return (other_log_std - log_std + 0.5 * (ratio + distance - 1)).sum(dim=-1)


class Linear(torch.nn.Linear):
    """A linear layer that uses oneDNN for large products on a CPU.

    PyTorch uses MKL in single precision, which took more than twice as long on an AMD EPYC (docs/benchmark.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer. `[..., in] -> [..., out]`."""
        if torch.compiler.is_exporting():  # a branch on a size that may change cannot be exported
            return super().forward(x)
        many = x.numel() * self.out_features >= ONEDNN_MIN_MULTIPLICATIONS
        if not (many and x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.is_available()):
            return super().forward(x)
        out: Tensor = torch.ops.aten.mkldnn_linear(x.to_mkldnn(), self.weight, self.bias).to_dense()
        return out


class Perceptron(torch.nn.Sequential):
    """A multilayer perceptron with initial weights from a given generator."""

    def __init__(
        self,
        widths: Sequence[int],
        generator: torch.Generator,
        activation: Callable[[], torch.nn.Module] = torch.nn.ReLU,
        last_limit: float | None = None,
    ) -> None:
        """Builds layers of these widths; `last_limit`, if given, bounds the last layer's initial weights and biases."""
        layers: list[torch.nn.Module] = []
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        check_size(sum(into * out + out for into, out in pairs), f"layers of {list(widths)}")
        for index, (into, out) in enumerate(pairs):
            layer = torch.nn.utils.skip_init(Linear, into, out)
            last = index == len(pairs) - 1
            limit = last_limit if last and last_limit is not None else 1 / math.sqrt(into)
            with torch.no_grad():
                layer.weight.uniform_(-limit, limit, generator=generator)
                layer.bias.uniform_(-limit, limit, generator=generator)
            layers += [layer] if last else [layer, activation()]
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layers, without the calls around a module's own. `[..., in] -> [..., out]`."""
        for layer in self._modules.values():
            x = layer.forward(x)
        return x

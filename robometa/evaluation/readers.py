"""Regressions that read hidden parameters from an adaptation: ridge and a small network, cross-validated over tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robometa.reports.probed import NETWORK, RIDGE
from robometa.reports.statistics import CONFIDENCE, Array

FOLDS = 5
"""Parts that the tasks are cut into; each is read by regressions that were fitted on the others."""
PENALTIES = np.logspace(-3, 4, 8)
"""Penalties of the ridge regression to choose from, of standardised features."""
COMPONENTS, HIDDEN = 32, 32
"""Principal components that the network is given, and the units of its hidden layer."""
STEPS, RATE, DECAY = 300, 1e-2, 1e-2
"""Steps, step size and weight decay of the network's optimiser (AdamW, all rows at once)."""
CHECK_EVERY = 10
"""Steps between two looks at the rows that are held back; the best of these networks is taken."""
RESAMPLES = 1000
LEAST = 1e-8
"""Standard deviation below which a feature counts as constant, relative to its size."""

Rows = NDArray[np.intp]
Reader = Callable[[Array, Array, Rows], Array]
"""Takes features, targets and tasks of all rows; predicts each row's targets from the rows of other tasks alone."""


def readable(features: Array, targets: Array, tasks: Rows) -> dict[str, Array]:
    """Measures how well targets can be read from features, of tasks that the regression was not fitted on.

    Args:
        features: `[row, feature]`
        targets: `[row, target]`
        tasks: Number of each row's task, from 0; the rows of a task stay together. `[row]`

    Returns:
        By reader: the coefficient of determination R2 of each target, and its 95 % bootstrap interval over tasks. An R2
        of 0 is that of the mean over the other tasks; a reader can do worse. `[target, 3]`
    """
    middle = np.empty_like(targets)
    for fitted, read in folds(tasks):
        middle[read] = targets[fitted].mean(axis=0)
    spread = _by_task((targets - middle) ** 2, tasks)
    picks = np.random.default_rng(0).integers(len(spread), size=(RESAMPLES, len(spread)))
    edge = (1 - CONFIDENCE) / 2
    scores = {}
    for name, reader in READERS.items():
        wrong = _by_task((targets - reader(features, targets, tasks)) ** 2, tasks)
        resampled = 1 - wrong[picks].sum(axis=1) / spread[picks].sum(axis=1)  # [resample, target]
        ends = np.quantile(resampled, [edge, 1 - edge], axis=0)
        scores[name] = np.stack([1 - wrong.sum(axis=0) / spread.sum(axis=0), *ends], axis=1)
    return scores


def _by_task(values: Array, tasks: Rows) -> Array:
    """Sums rows by task. `[task, target]`."""
    summed = np.zeros((int(tasks.max()) + 1, values.shape[1]))
    np.add.at(summed, tasks, values)
    return summed


def folds(tasks: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Cuts rows into parts of whole tasks; yields the rows of the others, and those of each part."""
    known = np.unique(tasks)
    shuffled = np.random.default_rng(0).permutation(known)
    for part in np.array_split(shuffled, min(FOLDS, len(known))):
        chosen = np.isin(tasks, part)
        yield np.flatnonzero(~chosen), np.flatnonzero(chosen)


def ridge(features: Array, targets: Array, tasks: Rows) -> Array:
    """Ridge regression; each target's penalty is chosen by cross-validation over the tasks that it is fitted on."""
    predictions = np.empty_like(targets)
    for fitted, read in folds(tasks):
        given, wanted, restored = _standardised(features, targets, fitted)
        predictions[read] = restored(_ridge(given[fitted], wanted[fitted], tasks[fitted], given[read]))
    return predictions


def network(features: Array, targets: Array, tasks: Rows) -> Array:
    """Network with one hidden layer on principal components, added to a ridge regression.

    It learns what the ridge regression leaves over, and stops where tasks that are held back are read best. The
    networks of all folds are trained side by side.
    """
    parts = []
    learned_of: list[NDArray[np.bool_]] = []
    held_of: list[NDArray[np.bool_]] = []
    for fitted, read in folds(tasks):
        given, wanted, restored = _standardised(features, targets, fitted)
        inner, outer = next(folds(tasks[fitted]))
        learned, held = fitted[inner], fitted[outer]
        linear = _ridge(given[learned], wanted[learned], tasks[learned], given)
        parts.append((read, _components(given, fitted), wanted - linear, linear, restored))
        for known, rows in ((learned_of, learned), (held_of, held)):
            known.append(np.isin(np.arange(len(tasks)), rows))
    added = _residuals(
        *(np.stack([part[1] for part in parts]), np.stack([part[2] for part in parts])),
        *(np.stack(learned_of), np.stack(held_of)),
    )
    predictions = np.empty_like(targets)
    for (read, _, _, linear, restored), residual in zip(parts, added, strict=True):
        predictions[read] = restored(linear[read] + residual[read])
    return predictions


def _standardised(features: Array, targets: Array, fitted: Rows) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Centres and scales features and targets by some rows; leaves out features that are constant there.

    Returns:
        Features and targets of all rows, and the function that takes predictions back to the targets' scale.
    """
    middle, spread = features[fitted].mean(axis=0), features[fitted].std(axis=0)
    kept = spread > LEAST * (np.abs(middle) + 1e-30)
    center, scale = targets[fitted].mean(axis=0), targets[fitted].std(axis=0) + 1e-12
    given = (features[:, kept] - middle[kept]) / spread[kept]
    return given, (targets - center) / scale, lambda values: center + scale * values


def _ridge(features: Array, targets: Array, tasks: Rows, further: Array) -> Array:
    """Predicts further rows with the penalty that reads the fitted tasks best."""
    if not features.shape[1]:
        return np.zeros((len(further), targets.shape[1]))
    errors = np.zeros((len(PENALTIES), targets.shape[1]))
    for fitted, read in folds(tasks):
        predicted = _solutions(features[fitted], targets[fitted], features[read])
        errors += ((predicted - targets[read]) ** 2).sum(axis=1)
    best = errors.argmin(axis=0)
    return _solutions(features, targets, further)[best, :, np.arange(targets.shape[1])].T


def _solutions(features: Array, targets: Array, further: Array) -> Array:
    """Predictions of ridge regressions of every penalty. `[penalty, row, target]`."""
    left, values, right = np.linalg.svd(features, full_matrices=False)
    along = left.T @ targets
    shrunk = values / (values**2 + PENALTIES[:, None])  # [penalty, component]
    predicted: Array = (further @ right.T) @ (shrunk[:, :, None] * along)
    return predicted


def _components(given: Array, fitted: Rows) -> Array:
    """Principal components of some rows, scaled to equal variance; zeros where there are fewer. `[row, COMPONENTS]`."""
    components = np.zeros((len(given), COMPONENTS))
    if given.shape[1]:
        _, values, right = np.linalg.svd(given[fitted], full_matrices=False)
        kept = right[:COMPONENTS].T / (values[:COMPONENTS] / np.sqrt(len(fitted)) + 1e-6)
        components[:, : kept.shape[1]] = given @ kept
    return components


def _residuals(components: Array, residuals: Array, learned: NDArray[np.bool_], held: NDArray[np.bool_]) -> Array:
    """Trains a network for each fold, and predicts all rows with the best of each.

    Args:
        components: `[fold, row, component]`
        residuals: What is to be learned. `[fold, row, target]`
        learned: Rows to learn from. `[fold, row]`
        held: Rows that tell when to stop. `[fold, row]`

    Returns:
        `[fold, row, target]`
    """
    given, wanted = torch.from_numpy(components).float(), torch.from_numpy(residuals).float()
    first, second = (
        torch.from_numpy(rows / rows.sum(axis=1, keepdims=True)).float()[..., None] for rows in (learned, held)
    )
    weights = _weights(len(given), given.shape[2], wanted.shape[2])
    optimizer = torch.optim.AdamW(weights, RATE, weight_decay=DECAY)
    best, kept = torch.full((len(given),), torch.inf), torch.zeros_like(wanted)
    for step in range(STEPS + 1):
        hidden = torch.baddbmm(weights[1], given, weights[0]).tanh()
        predicted = torch.baddbmm(weights[3], hidden, weights[2])
        squared = (predicted - wanted).square()
        if step % CHECK_EVERY == 0:
            error = (squared.detach() * second).sum(dim=(1, 2))
            better = error < best
            best, kept = torch.where(better, error, best), torch.where(better[:, None, None], predicted.detach(), kept)
        optimizer.zero_grad()
        (squared * first).sum().backward()
        optimizer.step()
    return kept.double().numpy()


def _weights(folds: int, inputs: int, outputs: int) -> list[Tensor]:
    """Weights and biases of the networks, which begin at zero output; drawn from a seed of their own."""
    drawn = torch.randn(inputs, HIDDEN, generator=torch.Generator().manual_seed(0)) * inputs**-0.5
    shapes = ((1, HIDDEN), (HIDDEN, outputs), (1, outputs))
    begun = [drawn.expand(folds, -1, -1).clone(), *(torch.zeros(folds, *shape) for shape in shapes)]
    return [one.requires_grad_() for one in begun]


READERS: dict[str, Reader] = {RIDGE: ridge, NETWORK: network}
"""Regressions by name."""

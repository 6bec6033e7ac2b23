"""Tasks that an iteration trains on, and numbers of its trial."""

from __future__ import annotations

from robometa import registry
from robometa.data import Trial
from robometa.errors import UserError
from robometa.learners.protocol import names_taken
from robometa.noise import Noise


def task_batch(count: int, tasks: int, seed: int, iteration: int) -> list[int]:
    """Indices of the tasks of an iteration: consecutive pieces of one shuffled deck after another.

    Every task comes up equally often, and twice in an iteration only where it reaches from one deck into the next.
    """
    indices: list[int] = []
    place = iteration * tasks
    while len(indices) < tasks:
        deck, start = divmod(place + len(indices), count)
        shuffled = Noise(seed, ("tasks", deck), 1, 1).generator().permutation(count).tolist()
        indices += shuffled[start : start + tasks - len(indices)]
    return indices


def trial_metrics(trial: Trial) -> dict[str, float]:
    """Mean return and success of a trial after each shot, and the number of steps that diverged."""
    row: dict[str, float] = {}
    for shot, rollout in enumerate(trial.rollouts):
        row[f"return_{shot}"] = float(rollout.episode_return().mean())
    for shot, rollout in enumerate(trial.rollouts):
        row[f"success_{shot}"] = float(rollout.episode_success().float().mean())
    row["diverged"] = float(sum(int(rollout.diverged.sum()) for rollout in trial.rollouts))
    return row


def checked_metrics(metrics: dict[str, float], learner: str) -> dict[str, float]:
    """An update's metrics, if none has a name of the training's own.

    Raises:
        UserError: If one has.
    """
    if taken := names_taken(metrics):
        name = registry.label(learner)
        raise UserError(f"update of {name} returns {', '.join(taken)}, which every training logs: rename it")
    return metrics

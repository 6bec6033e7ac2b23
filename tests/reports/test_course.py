"""The course of episodes in a report: those that last, and the steps on target."""

import torch

from robometa.data import Rollout
from robometa.reports.scores import joined, scores_of


def rollout(terminated, success):
    """One task, two worlds."""
    ended, met = (torch.tensor(rows, dtype=torch.bool).unsqueeze(0) for rows in (terminated, success))
    cut = torch.zeros_like(ended)
    cut[..., -1] = ~ended[..., -1]
    numbers = torch.zeros(*ended.shape, 1)
    return Rollout(numbers, numbers, numbers[..., 0], numbers, ended, cut, met, torch.zeros_like(ended))


def test_an_episode_that_ended_early_did_not_last_and_its_later_steps_are_off_target():
    scores = scores_of([rollout([[0, 1, 0, 0], [0, 0, 0, 0]], [[1, 1, 1, 1], [0, 1, 1, 1]])])
    assert scores.lasted.tolist() == [[[0, 1]]]
    assert scores.on_target.tolist() == [[[0.5, 0.75]]]
    both = joined([scores, scores], axis=1)
    assert both.lasted.tolist() == [[[0, 1], [0, 1]]]
    assert both.on_target.shape == (1, 2, 2)

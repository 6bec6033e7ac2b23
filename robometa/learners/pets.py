"""PETS: Chua et al. 2018, https://arxiv.org/abs/1805.12114.

Read `PlanningLearner` in `rl/planning_learner.py`: it plans at every step (`rl/icem.py`) through an ensemble of
probabilistic models (`nn/dynamics_model.py`, `nn/imagination.py`), and trains them on all steps so far. Nothing adapts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from robometa.data import Spaces
from robometa.errors import Search
from robometa.nn.dynamics_model import Ensemble
from robometa.noise import Noise
from robometa.rl.planning_learner import PlanningLearner
from robometa.rl.planning_options import EnsembleOptions


@dataclass(frozen=True)
class Config(EnsembleOptions):
    """Options of PETS; the defaults are sized for a CPU. Plans ignore terminations."""

    tasks: Annotated[int, "[1, inf)"] = 5
    windows: Annotated[int, "[1, inf)", Search(16, 256, log=True)] = 128


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        iterations=300,
        hidden=(200, 200, 200, 200),
        activation="swish",
        plan_horizon=30,
        candidates=500,
        rounds=5,
        decay=1.0,
        elites=50,
        kept=0,
        colour=0.0,
        particles=5,
    ),
}
"""Sizes for a CPU, and numbers near the paper's."""


class Pets(PlanningLearner):
    """Plans through an ensemble of probabilistic models of all tasks; it adapts to none."""

    configuration: ClassVar[type] = Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained ensemble, its weights drawn from `seed`."""
        device, generator = torch.device(device), Noise(seed, ("learner",), 1, 1).torch_generator()
        model = Ensemble(spaces, config.form(spaces), config.members, generator, device)
        super().__init__(config, spaces, model, device)

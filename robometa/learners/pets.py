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
from robometa.rl.planning_learner import PlanningLearner, PlanningOptions


@dataclass(frozen=True)
class Config(PlanningOptions):
    """Options of PETS; the defaults are sized for a CPU. Plans ignore terminations."""

    iterations: Annotated[int, "[1, inf)"] = 50
    tasks: Annotated[int, "[1, inf)"] = 5
    activation: Annotated[str, "{relu, swish, hardswish}"] = "hardswish"
    members: Annotated[int, "[1, 100]"] = 5
    probabilistic: bool = True
    informed: bool = True
    planner: Annotated[str, "{icem, cem, shooting}", Search()] = "icem"
    candidates: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 32
    plan_horizon: Annotated[int, "[1, inf)", Search(5, 30)] = 20
    rounds: Annotated[int, "[1, inf)"] = 3
    plan_std: Annotated[float, "(0, inf)"] = 0.5
    flip_penalty: Annotated[float, "[0, inf)"] = 10.0
    exploration: Annotated[float, "[0, inf)", Search(0.05, 0.5)] = 0.0
    windows: Annotated[int, "[1, inf)", Search(16, 256, log=True)] = 128
    gradient_steps: Annotated[int, "[1, inf)", Search(100, 1000, log=True)] = 400
    learning_rate: Annotated[float, "(0, inf)", Search(3e-4, 1e-2, log=True)] = 3e-3


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

"""Options of the learners that plan through a learned model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from robometa.data import Meaning, Spaces
from robometa.errors import Options, Search, require
from robometa.nn.dynamics_model import Form
from robometa.rl.icem import Sizes


@dataclass(frozen=True)
class PlanningOptions(Options):
    """Options of the trials, the model, the planner and the updates. Plans ignore terminations."""

    iterations: Annotated[int, "[1, inf)"] = 30
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 10
    """Tasks of an iteration's trial."""
    worlds: Annotated[int, "[1, inf)"] = 1
    """Worlds of each task; each plans for itself."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial; they change nothing, because all adapting happens in acting."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the model's hidden layers."""
    activation: Annotated[str, "{relu, swish, hardswish}"] = "relu"
    """Activation of the hidden layers."""
    members: Annotated[int, "[1, 100]"] = 1
    """Models of the ensemble."""
    probabilistic: bool = False
    """Learn a variance for each number that the model predicts."""
    informed: bool = False
    """Use the meaning of observations where the suite gives it: the model does not see a place that nothing depends on,
    sees the pitch as sine and cosine, and does not learn a reward whose objective hides nothing."""
    planner: Annotated[str, "{icem, cem, shooting}", Search()] = "cem"
    """Planner: icem, cem (the plain cross-entropy method) or shooting (the best of random sequences)."""
    candidates: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 64
    """Action sequences sampled at every step: in the first round of icem, in every round of cem."""
    plan_horizon: Annotated[int, "[1, inf)", Search(5, 30)] = 10
    """Steps that a plan looks ahead."""
    rounds: Annotated[int, "[1, inf)"] = 2
    """Rounds of icem and cem, which begin at the previous step's plan."""
    decay: Annotated[float, "[1, inf)"] = 1.25
    """Factor by which each round of icem samples fewer sequences than the one before."""
    plan_std: Annotated[float, "(0, inf)"] = 0.8
    """Standard deviation of actions in the first round."""
    elites: Annotated[int, "[1, inf)"] = 8
    """Best candidates, to which icem and cem fit the next round; at most `candidates`."""
    kept: Annotated[int, "[0, inf)"] = 3
    """Elites that icem's next round, and its next step, score again; all, if there are fewer."""
    momentum: Annotated[float, "[0, 1)"] = 0.1
    """Share of the former distribution in a fit of icem."""
    colour: Annotated[float, "[0, inf)", Search(0.0, 3.0)] = 0.25
    """Exponent of the spectrum of icem's noise: 0 is white, larger ones let actions change more slowly."""
    particles: Annotated[int, "[1, inf)"] = 1
    """Members that play each candidate, in turn; at most `members`."""
    flip_penalty: Annotated[float, "[0, inf)"] = 0.0
    """Loss of reward in plans for every step that ends on the back, where the suite gives the pitch."""
    random_iterations: Annotated[int, "[0, inf)"] = 1
    """Iterations in the beginning that act at random."""
    exploration: Annotated[float, "[0, inf)", Search(0.05, 0.5)] = 0.2
    """Standard deviation of the noise on planned actions."""
    windows: Annotated[int, "[1, inf)", Search(16, 128, log=True)] = 32
    """Windows of a gradient step, for each member."""
    gradient_steps: Annotated[int, "[1, inf)", Search(100, 1000, log=True)] = 500
    """Gradient steps of an iteration."""
    learning_rate: Annotated[float, "(0, inf)", Search(3e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam."""
    gradient_norm: Annotated[float, "(0, inf)"] = 5.0
    """Maximum norm of gradients; an outlier could otherwise ruin a training."""
    capacity: Annotated[int, "[1, inf)"] = 200_000
    """Steps that the replay keeps, the latest ones."""

    def __post_init__(self) -> None:
        """Checks every option, and those that bound each other."""
        super().__post_init__()
        require(self, elites=f"[1, {self.candidates}]", particles=f"[1, {self.members}]")

    def form(self, spaces: Spaces, context: int = 0) -> Form:
        """Form of the model."""
        meaning = spaces.meaning if self.informed else Meaning()
        return Form(self.hidden, self.activation, self.probabilistic, context, meaning)

    def sizes(self) -> Sizes:
        """Sizes of icem's search; cem and shooting keep no elites."""
        kept = min(self.kept, self.elites) if self.planner == "icem" else 0
        return Sizes(self.candidates, self.rounds, self.decay, self.elites, kept, self.plan_std, self.momentum)


@dataclass(frozen=True)
class EnsembleOptions(PlanningOptions):
    """Options of a learner that plans by icem through a probabilistic ensemble; the defaults are sized for a CPU."""

    iterations: Annotated[int, "[1, inf)"] = 50
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
    gradient_steps: Annotated[int, "[1, inf)", Search(100, 1000, log=True)] = 400
    learning_rate: Annotated[float, "(0, inf)", Search(3e-4, 1e-2, log=True)] = 3e-3

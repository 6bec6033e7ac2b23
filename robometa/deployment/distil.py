"""Distillation: a smaller memory learns the actions of a trained policy along its own trials.

Read `distilled`. A round collects trials, the first with the teacher's actions and later ones with the student's. It
labels every step with the teacher's mean action, and trains the student on all trials so far.

References:
    DAgger: Ross et al. 2011, https://arxiv.org/abs/1011.0686.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, cast

import torch
from torch import Tensor

from robometa.compute.hardware import Hardware
from robometa.data import Step, Trial
from robometa.errors import Options, UserError
from robometa.learners.protocol import Learner
from robometa.nn.normalizer import Normalizer
from robometa.nn.recurrent import segments_of
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.rl.learning_rate import adam, decayed
from robometa.rl.memory_input import memory_input
from robometa.rl.ppo_on_trials import TrialLearner
from robometa.sim.engine import Engine
from robometa.suites.suite import Suite
from robometa.trials.make import build, engine_for
from robometa.trials.trial import collect, run_trial, torch_on, trial_loop

STUDENT = "rl2"
"""Learner of every student."""
TASKS, WORLDS = 50, 2
"""Training tasks of a round, at most, and trials of each."""
BLOCK = 25
"""Gradient steps for which the memories at the beginnings of segments are kept; these are the student's own of then."""
BLOCK_TRIALS = 200
"""Trials that a block takes its segments from, at most."""
BATCH = 128
"""Segments of a gradient step, at most."""
SEGMENT = 100
"""Least steps of a segment, through which gradients reach back."""
STD = 0.2
"""Standard deviation of the student's actions in the trials that it learns from."""
RATE, LATER, LEAST = 3e-3, 0.75, 3e-4
"""Learning rate of Adam where the first round begins, its factor from round to round, and where it stops falling."""
END = 0.1
"""Factor on the learning rate from a round's first gradient step to its last."""
GRADIENT_NORM = 1.0
"""Maximum norm of a gradient."""
LIMIT = 1.5
"""Size from which actions are alike to the student; the engine clips at 1."""
SCORED = 30
"""Training tasks, at most, by whose returns a round is judged."""
PATIENCE = 3
"""Rounds in a row without a higher return that end the distillation."""


@dataclass(frozen=True)
class Settings(Options):
    """Options of a distillation."""

    size: Annotated[int, "[1, 4096]"] = 64
    """Hidden units of the student's GRU; the layer after it has half as many."""
    rounds: Annotated[int, "[1, 1000]"] = 12
    """Rounds at the most."""
    steps: Annotated[int, "[1, 1000000]"] = 300
    """Gradient steps of a round."""
    seed: Annotated[int, "[0, inf)"] = 0
    """Seed of weights, trials and batches."""


class Remembering(Learner, Protocol):
    """A learner whose adaptation is a memory of its trial."""

    observations: Normalizer
    rewards: Normalizer
    network: Any
    """Acts; it has the standard deviation of the actions as `log_std`."""


@dataclass(frozen=True)
class Round:
    """Result of a round."""

    number: int
    """From 1."""
    score: float
    """Mean return of the student's mean actions on training tasks."""
    loss: float
    """Mean squared error of the last gradient step."""


@dataclass(frozen=True)
class Distilled:
    """A student, and the extent of its training."""

    student: Remembering
    rounds: tuple[Round, ...]
    best: int
    """Number of the round that the student is of."""
    teacher_score: float
    """The teacher's mean return on the same training tasks."""
    environment_steps: int
    processor_seconds: float


def require_memory(learner: Learner, name: str) -> Remembering:
    """Checks that a learner adapts by a memory of its trial, as a student does.

    Raises:
        UserError: If it does not.
    """
    kind: object = learner
    if not isinstance(kind, TrialLearner):
        raise UserError(
            f"{name} cannot be distilled: a student remembers its trial, as rl2, varibad and hypernetwork do, "
            "and this learner does not"
        )
    return cast(Remembering, learner)


def distilled(
    teacher: Remembering, suite: Suite, settings: Settings, say: Callable[[str], None] = lambda text: None
) -> Distilled:
    """Distils a policy into a smaller memory, on the training tasks of its suite, on one thread.

    Args:
        teacher: The policy; it is not changed.
        suite: Its suite.
        settings: Sizes and limits.
        say: Takes a line after each round.
    """
    began = time.process_time()
    noise = Noise(settings.seed, ("distil",), 1, 1)
    with torch_on(1):
        student = _untrained(teacher, suite, settings)
        school = _School(teacher, suite, settings)
        teacher_score = school.score(teacher)
        say(f"teacher: return {teacher_score:.2f} on training tasks")
        rounds: list[Round] = []
        best, kept = -1, student.state_dict()
        optimizer = adam(student.network, RATE, student.device)
        generator = noise.fork("batches").torch_generator()
        while len(rounds) < settings.rounds and len(rounds) - 1 - best < PATIENCE:
            school.collect(student if rounds else teacher)
            rate = max(LEAST, RATE * LATER ** len(rounds))
            loss = _taught(student, optimizer, school.lessons(), _rates(rate, settings.steps), generator)
            rounds.append(Round(len(rounds) + 1, school.score(student), loss))
            if best < 0 or rounds[-1].score > rounds[best].score:
                best = len(rounds) - 1
                kept = {key: value.clone() for key, value in student.state_dict().items()}
            say(f"round {len(rounds)}: return {rounds[-1].score:.2f} on training tasks, loss {loss:.4f}")
        student.load_state_dict(kept)
        with torch.no_grad():
            student.network.log_std.copy_(teacher.network.log_std)
    return Distilled(
        student, tuple(rounds), best + 1, teacher_score, school.environment_steps, time.process_time() - began
    )


def _untrained(teacher: Remembering, suite: Suite, settings: Settings) -> Remembering:
    """A student with the teacher's statistics."""
    options = {
        "memory_size": settings.size,
        "hidden": (max(1, settings.size // 2),),
        "blind": tuple(teacher.observations.blind),
        "tasks": teacher.config.tasks,
        "worlds": teacher.config.worlds,
        "shots": teacher.config.shots,
        "initial_std": STD,
    }
    student = require_memory(build(STUDENT, read_config(STUDENT, options), suite, settings.seed), STUDENT)
    # The same numbers mean the same to both: without the teacher's statistics a student learns something else.
    student.observations.load_state_dict(teacher.observations.state_dict())
    student.rewards.load_state_dict(teacher.rewards.state_dict())
    return student


class _School:
    """The simulator, the trials so far, and the tasks by which rounds are judged."""

    def __init__(self, teacher: Remembering, suite: Suite, settings: Settings) -> None:
        self.teacher, self.suite, self.shots = teacher, suite, teacher.config.shots
        self.noise = Noise(settings.seed, ("distil", "trials"), min(TASKS, len(suite.train)), WORLDS)
        self.environment_steps = 0
        self._inputs: list[Tensor] = []
        self._wanted: list[Tensor] = []
        count = min(SCORED, len(suite.train))
        self._scored = [suite.train[index * len(suite.train) // count] for index in range(count)]

    def _engine(self, tasks: int, worlds: int) -> Engine:
        return engine_for(self.teacher, self.suite, tasks, worlds, Hardware(threads=1))

    def collect(self, actor: Learner) -> None:
        """Adds a round of exploring trials."""
        noise = self.noise.fork("round", len(self._inputs))
        chosen = noise.generator().permutation(len(self.suite.train))[: noise.tasks].tolist()
        with closing(self._engine(noise.tasks, noise.worlds)) as engine:
            trial = run_trial(engine, actor, self.suite.train, chosen, self.shots, noise)
        seen, wanted = self._labelled(trial)
        self.environment_steps += trial.steps()
        self._inputs.append(seen)
        self._wanted.append(wanted)

    def lessons(self) -> tuple[Tensor, Tensor]:
        """Inputs and wanted actions of all trials so far. `[trial, time, ...]`."""
        return torch.cat(self._inputs), torch.cat(self._wanted)

    @torch.no_grad()
    def score(self, actor: Learner) -> float:
        """Mean return of mean actions on training tasks, in all episodes of a trial."""
        noise = Noise(self.noise.seed, ("distil", "score"), len(self._scored), 1)
        returns = []
        with closing(self._engine(noise.tasks, noise.worlds)) as engine:
            engine.assign(self._scored)
            for shot in trial_loop(actor, noise, self.shots):
                rollout, after = collect(
                    engine, actor, shot.adaptation, shot.noise, explore=False, previous=shot.previous, place=shot.place
                )
                shot.complete(rollout, after)
                returns.append(rollout.episode_return().mean())
                self.environment_steps += rollout.steps()
        return float(torch.stack(returns).mean())

    @torch.no_grad()
    def _labelled(self, trial: Trial) -> tuple[Tensor, Tensor]:
        """Inputs of a memory along trials, and the teacher's mean actions. `[trial, time, ...]`."""
        whole = trial.joined()
        seen, (tasks, worlds, length) = whole.seen(), whole.reward.shape
        adaptation = self.teacher.begin(tasks, worlds, trial.noise)
        quiet, wanted = torch.zeros_like(whole.action[:, :, 0]), torch.empty_like(whole.action)
        for moment in range(length):
            step = Step(*(part[:, :, moment] for part in vars(seen).values()))
            wanted[:, :, moment], adaptation = self.teacher.act(adaptation, step, quiet)
        known = memory_input(seen, self.teacher.observations, self.teacher.rewards)[:, :, :-1]
        return known.flatten(0, 1), wanted.flatten(0, 1)


def _rates(first: float, steps: int) -> list[float]:
    """Learning rates of a round."""
    return [decayed(first, END * first, step / steps) for step in range(steps)]


def _taught(
    student: Remembering,
    optimizer: torch.optim.Optimizer,
    lessons: tuple[Tensor, Tensor],
    rates: list[float],
    generator: torch.Generator,
) -> float:
    """Trains a student on trials, a gradient step for each learning rate; returns the last block's mean loss."""
    seen, wanted = lessons
    parameters = list(student.network.parameters())
    losses: list[float] = []
    for step, rate in enumerate(rates):
        if step % BLOCK == 0:
            rows = torch.randperm(len(seen), generator=generator)[:BLOCK_TRIALS]
            segments, goals, starts = _cut(student, seen[rows], wanted[rows])
        optimizer.param_groups[0]["lr"] = rate
        picked = torch.randperm(len(segments), generator=generator)[:BATCH]
        mean = student.network.read(segments[picked], starts[picked])[0].mean
        loss = (mean - _target(mean.detach(), goals[picked])).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-BLOCK:]) / len(losses[-BLOCK:])


@torch.no_grad()
def _cut(student: Remembering, seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cuts trials into segments, and computes the memory at the beginning of each. `[segment, time, ...]`."""
    count = segments_of(seen.shape[1], SEGMENT)
    state, starts = seen.new_zeros(len(seen), student.network.memory.state_size), []
    for segment in seen.chunk(count, dim=1):
        starts.append(state)
        state = student.network.memory.read(segment, state)[1]
    segments, goals = (part.unflatten(1, (count, -1)).flatten(0, 1) for part in (seen, wanted))
    return segments, goals, torch.stack(starts, dim=1).flatten(0, 1)


def _target(mean: Tensor, wanted: Tensor) -> Tensor:
    """Wanted actions; where one is beyond the limit, any action beyond it is as good."""
    target = wanted.clamp(-LIMIT, LIMIT)
    target = torch.where(wanted >= LIMIT, torch.maximum(target, mean), target)
    return torch.where(wanted <= -LIMIT, torch.minimum(target, mean), target)

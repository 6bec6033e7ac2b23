"""Pieces of an evaluation, computed here or by worker processes: the same scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import torch as safetensors

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.escape import say
from robometa.evaluation import by_protocol, by_shot
from robometa.evaluation.protocols import Protocol
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.policies import policy_folder
from robometa.reports.scores import Scores
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials import make as making
from robometa.trials.collectors.collector import policy_state
from robometa.trials.trial import torch_on
from robometa.trials.workers.pool import Pool

Piece = tuple[int, tuple[Task, ...]]
"""A piece's place among those of the evaluation, and its tasks."""


@dataclass(frozen=True)
class Measurement:
    """All that a piece's scores depend on, beside the learner and its tasks."""

    suite: Suite
    split: str
    shots: int
    worlds: int
    seed: int
    protocol: Protocol | None
    hardware: Hardware
    control: bool = False

    def scores(
        self, learner: Learner, piece: Piece, acting: Learner, advance: Callable[[], None] = lambda: None
    ) -> tuple[Scores, ...]:
        """Scores a piece: without noise, exploring, the control if asked, and random actions.

        Args:
            learner: The learner that the engine is for.
            piece: The tasks.
            acting: The learner that acts on them.
            advance: Called after each rollout, for a progress bar.
        """
        index, tasks = piece
        make = partial(making.engine_for, learner, self.suite, len(tasks), hardware=self.hardware)
        with torch_on(1):  # as in a separate process
            if self.protocol is None:
                noise = Noise(self.seed, ("evaluate", self.split, index), len(tasks), self.worlds)
                with closing(make(self.worlds)) as simulator:
                    return by_shot.score_beside_chance(
                        simulator, acting, tasks, self.shots, noise, advance, self.control
                    )
            noise = Noise(self.seed, ("evaluate", self.protocol.name, self.split, index), len(tasks), self.worlds)
            return by_protocol.follow_beside_chance(self.protocol, acting, make, tasks, noise, advance, self.control)


@dataclass(frozen=True)
class Measuring:
    """The work of processes that evaluate."""

    measurement: Measurement
    learner: str
    """Name, or `FILE.py:CLASS` with an absolute path."""
    learner_sha256: str | None
    """Hash of the learner's file; None for a shipped learner."""
    options: dict[str, Any]
    state: bytes
    """The policy's part of the learner's state, as safetensors."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        """No memory: scores are small."""
        return ()

    def begun(self) -> Callable[[Piece], tuple[Scores, ...]]:
        """Builds the learner, and returns the function that scores a piece.

        Raises:
            UserError: If its file is no longer that of the policy.
        """
        suite, state = self.measurement.suite, safetensors.load(self.state)
        learner = policy_folder.restored(self.learner, self.options, suite, state, Path(self.learner))
        if registry.of(self.learner, learner).fingerprint() != self.learner_sha256:
            raise UserError(f"{self.learner} has changed since the evaluation began: start it anew")
        return lambda piece: self.measurement.scores(learner, piece, learner)


def by_processes(
    measurement: Measurement, learner: Learner, name: str, pieces: list[Piece], processes: int
) -> Iterator[tuple[int, tuple[Scores, ...]]]:
    """Yields the scores of pieces with their places, as worker processes end them; one that dies is replaced.

    Args:
        measurement: The evaluation.
        learner: The learner that is evaluated.
        name: Its name, or the file and class of one of the user's own.
        pieces: The pieces.
        processes: Number of processes.

    Raises:
        UserError: If the learner or the simulator is on a GPU.
        TrainingError: If processes die or hang over the same piece again and again.
    """
    hardware = measurement.hardware
    if hardware.device != "cpu" or hardware.engine != "cpu":
        raise UserError("--collect processes needs --device cpu and --engine cpu: a GPU computes a piece at once")
    name = registry.absolute(name)
    work = Measuring(
        measurement=replace(measurement, hardware=replace(hardware, threads=1)),
        learner=name,
        learner_sha256=registry.of(name, learner).fingerprint(),
        options=asdict(learner.config),
        state=policy_state(learner),
    )
    with closing(Pool(work, min(processes, len(pieces)))) as pool:
        for place, scores in pool.run(pieces):
            yield place, scores
            for remark in pool.remarks():
                say(remark, error=True)

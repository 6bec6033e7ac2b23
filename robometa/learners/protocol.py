"""The learners' protocol: four methods around an adaptation that is a plain value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import Field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.noise import Noise

Adaptation = Any
"""Knowledge of a learner about its tasks so far: tensors with an entry per task (or per task and world)."""


class Options(Protocol):
    """Options that every learner has, and its own beside them: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def iterations(self) -> int:
        """Training iterations."""

    @property
    def tasks(self) -> int:
        """Tasks of an iteration."""

    @property
    def worlds(self) -> int:
        """Worlds of each task."""

    @property
    def shots(self) -> int:
        """Adaptations within a training trial."""

    @property
    def drawn_tasks(self) -> int:
        """Tasks to draw from the suite's distributions and to train on; 0 for the listed ones. May be left out."""


class Learner(Protocol):
    """A meta-learning method.

    The adaptation is passed in and returned, never hidden in the learner: evaluating in the middle of training disturbs
    nothing. Only `update` changes the learner. Noise is passed in too.

    A learner may leave out `sees_parameters`, `trains_on_parameters`, `adapts_within_episode` and `learns_offline`, and
    its options `drawn_tasks`: `completed` adds the defaults.
    """

    configuration: ClassVar[type]
    """Class of its options, see `Options`."""
    pools_worlds: ClassVar[bool]
    """True if an adaptation pools all worlds of a task; False if each world is a separate trial."""
    sees_parameters: ClassVar[bool]
    """True for an oracle: its observations end with the numbers that its task hides, named in `spaces.revealed`. May be
    left out."""
    trains_on_parameters: ClassVar[bool]
    """True if its observations end with these numbers in training only; they are named in `spaces.privileged`, and not
    counted in `spaces.observation`. It must act on observations with and without them. May be left out."""
    adapts_within_episode: ClassVar[bool]
    """True if acting changes the adaptation, so that the first episode already holds some. May be left out."""
    learns_offline: ClassVar[bool]
    """True if its trials are those of a dataset, with `Trial.experts`, and not its own. May be left out."""
    device: torch.device
    """Device of its tensors. Its inputs are there already, but for the numbers that a `Noise` draws."""

    @property
    def config(self) -> Options:
        """Options that it was made with."""

    def __init__(self, config: Any, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Creates an untrained learner; the same seed gives the same numbers on every device."""

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Adaptation:
        """The adaptation before any data."""

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """An action for each world, and the adaptation to carry on with; zero noise gives the mean action.

        Args:
            adaptation: Knowledge of the tasks so far.
            step: Observation, and the previous action, reward and end, of each world.
            noise: Standard normal numbers. `[task, world, action]`

        Returns:
            Actions, clipped to -1..1 by the engine. `[task, world, action]`
        """

    def adapt(self, adaptation: Adaptation, rollout: Rollout, noise: Noise) -> Adaptation:
        """The adaptation after learning from one more rollout of the same tasks."""

    def update(self, trial: Trial) -> dict[str, float]:
        """Trains the learner on a finished trial and returns metrics."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors to resume training from; names that begin with `training/` are not part of the policy."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""


def completed(kind: Any) -> type[Learner]:
    """Adds the defaults of optional attributes to a learner's class and to that of its options."""
    defaults = (
        (kind, "sees_parameters", False),
        (kind, "trains_on_parameters", False),
        (kind, "adapts_within_episode", False),
        (kind, "learns_offline", False),
        (kind.configuration, "drawn_tasks", 0),
    )
    for owner, name, default in defaults:
        if name not in dir(owner):
            setattr(owner, name, default)
    return kind


def sees_parameters(learner: Learner | type[Learner] | None, *, training: bool = False) -> bool:
    """True if the learner observes what its task hides: always, or at least in training; False for None."""
    return learner is not None and (learner.sees_parameters or (training and learner.trains_on_parameters))


TAKEN = re.compile(
    r"iteration|steps|iteration_steps|diverged|skipped|sampling|update|processor|evaluation"
    r"|(held_out_)?(return|success)_\d+"
)
"""Names that every training logs by itself."""


def names_taken(metrics: Iterable[str]) -> list[str]:
    """Names of an update's metrics that every training logs by itself, in order."""
    return sorted(name for name in metrics if TAKEN.fullmatch(name))

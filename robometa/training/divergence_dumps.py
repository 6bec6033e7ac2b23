"""Dumps of simulations that blew up in a training, and their replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco

from robometa import suites
from robometa.errors import UserError
from robometa.sim.engine import Divergence
from robometa.sim.postmortem import Finding, examine
from robometa.storage import sealed_folder
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite, Task

DUMPS_FOLDER, DUMP_KIND = "divergences", "divergence"
"""Folder below a run's, and the kind in a dump's manifest."""
MAX_DUMPS = 5
"""Dumps of a run: the first few show what there is to see."""


class Dumps:
    """Writes the first few simulations that blow up into a run's folder."""

    def __init__(
        self,
        folder: Path,
        suite: Suite,
        tasks: Sequence[Task],
        drawn_from: int | None,
        iteration: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        """Dumps of a run.

        Args:
            folder: Folder of the run.
            suite: Suite that it trains on.
            tasks: Tasks of the suite that it trains on.
            drawn_from: Seed that these were drawn from; None if they are the listed ones.
            iteration: Returns the current iteration, from 0.
            say: Passes a message to the user.
        """
        self.folder, self.suite, self._iteration, self._say = folder / DUMPS_FOLDER, suite, iteration, say
        self._tasks, self._drawn_from = tasks, drawn_from
        self._last, self._number = -1, 0

    def __call__(self, divergence: Divergence) -> None:
        """Writes a dump, if there are not enough yet."""
        task, iteration = self._tasks.index(divergence.task), self._iteration()
        self._number = self._number + 1 if self._last == iteration else 1
        self._last = iteration
        # A resumed run meets the same divergences again, and writes them under the same names.
        folder = self.folder / f"{iteration:07d}-{self._number}"
        if folder.exists() or (self.folder.exists() and len(list(self.folder.glob("[0-9]*"))) >= MAX_DUMPS):
            return
        description = {
            "kind": DUMP_KIND,
            "suite": suite_reference(self.suite),
            "suite_hash": self.suite.content_hash,
            "task": task,
            "drawn_from": self._drawn_from,
            "world": divergence.world,
            "step": divergence.step,
            "iteration": iteration,
            "mujoco": mujoco.__version__,
        }
        tensors = {name: getattr(divergence, name) for name in ("physics", "sensors", "action")}
        try:
            sealed_folder.save(folder, tensors, description)
        except OSError as error:
            self._say(f"iteration {iteration + 1}: a simulation diverged, but {folder} cannot be written ({error})")
            return
        self._say(
            f"iteration {iteration + 1}: a simulation diverged; it is charged for that. "
            f"What blew up: robometa replay {folder}"
        )


@dataclass(frozen=True)
class Replay:
    """A dump, and the result of repeating its step."""

    suite: Suite
    manifest: dict[str, Any]
    divergence: Divergence
    finding: Finding

    def lines(self) -> list[str]:
        """Describes both in words."""
        manifest, task = self.manifest, self.divergence.task
        kind = "training" if manifest.get("drawn_from") is None else "drawn"
        again = "it diverges again" if self.finding.again else "it does not diverge here"
        if manifest["mujoco"] != mujoco.__version__:
            again += f" (MuJoCo {mujoco.__version__} here, {manifest['mujoco']} there)"
        return [
            f"{self.suite.name}, {kind} task {manifest['task']} ({task.describe()}), world {manifest['world']}: "
            f"control step {manifest['step'] + 1} of an episode in iteration {manifest['iteration'] + 1}",
            f"done again: {again}",
            *(self.finding.blown_up or ["nothing is beyond the limit at any physics step"]),
        ]


def replay(dump: str | Path) -> Replay:
    """Repeats the last step of a simulation that blew up, and finds the number that was beyond the limit first.

    Raises:
        UserError: If it is no whole dump, or its suite has changed since.
    """
    folder = Path(dump)
    tensors, manifest = sealed_folder.load(folder, DUMP_KIND)
    try:
        suite = suites.load(manifest["suite"])
        if suite.content_hash != manifest["suite_hash"]:
            raise UserError(f"suite {suite.name} is no longer the one of {folder}")
        seed, index = manifest.get("drawn_from"), int(manifest["task"])
        task = suite.train[index] if seed is None else suite.drawn(int(seed), index)
        world, step = int(manifest["world"]), int(manifest["step"])
        _ = int(manifest["iteration"]), str(manifest["mujoco"])
        divergence = Divergence(task, world, step, **tensors)
        finding = examine(suite, divergence)
    except (KeyError, IndexError, OverflowError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder} is damaged: {error!r}") from None
    return Replay(suite, manifest, divergence, finding)

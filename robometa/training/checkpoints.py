"""Checkpoints of a training: at any moment, that of the newest finished iteration."""

from __future__ import annotations

import time
from collections.abc import Callable

from robometa.learners.protocol import Learner
from robometa.nn.state import EXPERIENCE
from robometa.storage.json_lines import Lines
from robometa.training.run_folder import Progress, RunFolder, Saved

MAX_COPIED_BYTES = 1 << 28
"""Most bytes of experience that are copied before an update, so that a second Ctrl-C within it loses nothing."""


class Checkpoints:
    """Saves a training's learner and progress, with the lines of its tables before them."""

    def __init__(
        self,
        run: RunFolder,
        learner: Learner,
        progress: Callable[[], Progress],
        tables: tuple[Lines, ...],
        say: Callable[[str], None],
    ) -> None:
        """Saves nothing yet.

        Args:
            run: Folder of the run.
            learner: Learner that is trained.
            progress: Returns the counts so far.
            tables: Tables that are flushed before a checkpoint.
            say: Passes a message to the user.
        """
        self._run, self._learner, self._progress, self._tables, self._say = run, learner, progress, tables, say
        self.newest, self._saved_at = 0, time.monotonic()
        self._finished: Callable[[], Saved | None] = self._now

    def begin(self) -> None:
        """Takes the present progress as saved."""
        self.newest, self._saved_at = self._progress().iterations, time.monotonic()

    def due(self, minutes: float) -> bool:
        """Tests if the last one was saved longer ago than this."""
        return time.monotonic() - self._saved_at > 60 * minutes

    def save(self, saved: Saved | None = None) -> None:
        """Saves the present state, or another, unless the disk refuses it."""
        saved = self._now() if saved is None else saved
        try:
            # A checkpoint without the lines before it would continue a table with gaps.
            for table in self._tables:
                table.flush()
            self._run.save_checkpoint(saved)
            self.newest = saved.progress.iterations
        except OSError as error:
            self._say(
                f"iteration {saved.progress.iterations}: no checkpoint could be written ({error.strerror}); the newest "
                f"is of iteration {self.newest}, and training goes on"
            )
        self._saved_at = time.monotonic()

    def before_update(self) -> None:
        """Copies the state, which the update is about to change, if its experience is not too large for that."""
        state, progress = self._learner.state_dict(), self._progress()
        if sum(one.nbytes for name, one in state.items() if name.startswith(EXPERIENCE)) > MAX_COPIED_BYTES:
            self._finished = lambda: None
        else:
            copied = Saved({name: tensor.detach().clone() for name, tensor in state.items()}, progress)
            self._finished = lambda: copied

    def iteration_written(self) -> None:
        """Takes the present state as that of a finished iteration."""
        self._finished = self._now

    def save_finished(self) -> int:
        """Saves the last finished iteration in the midst of the next; returns how many are finished."""
        saved = self._finished()
        if saved is None:
            return self._progress().iterations
        if saved.progress.iterations > self.newest:
            self.save(saved)
        return saved.progress.iterations

    def described(self, done: int) -> str:
        """Describes how many of the finished iterations are saved."""
        return "all saved" if self.newest == done else f"{self.newest} of them saved"

    def _now(self) -> Saved:
        """The learner as it is now."""
        return Saved(self._learner.state_dict(), self._progress())

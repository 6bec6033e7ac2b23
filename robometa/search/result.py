"""A search as its folder has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robometa.search import preset_file, summary
from robometa.search.record import State
from robometa.search.settings import Settings
from robometa.storage.paths import is_own_file


@dataclass(frozen=True)
class Result:
    """A search, finished or under way."""

    folder: Path
    settings: Settings
    state: State

    @property
    def best(self) -> Path | None:
        """File of the best options; None before there are any."""
        return self.folder / preset_file.BEST if is_own_file(self.folder, preset_file.BEST) else None

    def __repr__(self) -> str:
        """Trials and best of each learner."""
        rows = summary.rows(self.state, self.settings)
        words = [f"{row.learner}: {row.trials} trials, best {summary.words(row.best, self.settings)}" for row in rows]
        return f"<search {self.folder}: {'; '.join(words) or 'no trials yet'}>"

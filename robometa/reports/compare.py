"""Comparison of policies and runs: the seeds of one learner are a row, the learners of one suite a section."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robometa.errors import UserError
from robometa.escape import printable, word
from robometa.reports import entries
from robometa.reports.entries import Entry
from robometa.reports.groups import Group, Section, grouped
from robometa.reports.measured import REPORT
from robometa.storage.paths import matching
from robometa.storage.sealed_folder import MANIFEST

if TYPE_CHECKING:
    import pandas

    from robometa.reports.export import Format


@dataclass(frozen=True, eq=False)
class Comparison:
    """Policies, runs and reports side by side. `robometa.compare` makes it."""

    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    """Sentences about what was left out, and why."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Rows of all suites."""
        return tuple(group for section in self.sections for group in section.groups)

    @property
    def unmeasured(self) -> tuple[Entry, ...]:
        """Entries without a report."""
        return tuple(entry for group in self.groups for entry in group.unmeasured)

    def __repr__(self) -> str:
        """Suites and rows."""
        rows = ", ".join(f"{printable(section.suite)}: {len(section.groups)}" for section in self.sections)
        return f"<comparison of learners ({rows})>"

    def _repr_html_(self) -> str:
        """Table of the results, for a notebook."""
        from robometa.reports.html import table

        return table(self)

    def table(self, format: Format = "markdown") -> str:
        """Writes the results as a table.

        Args:
            format: `csv`, `latex` or `markdown`.

        Raises:
            UserError: If there is no such format.
        """
        from robometa.reports.export import table

        return table(self, format)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas table with a row per learner and shot: the columns of the CSV.

        Raises:
            UserError: If pandas is not installed.
        """
        from robometa.reports.notebook import frame

        return frame(self.table("csv"))

    def save(self, path: str | Path) -> Path:
        """Writes one HTML file that holds everything and needs no network; returns its path.

        Raises:
            UserError: If the path does not end in .html, or its folder is missing.
        """
        from robometa.reports.html import save

        return save(self, Path(path))


def compare(*paths: str | Path) -> Comparison:
    """Compares policies, runs and reports.

    Args:
        *paths: Their folders, or glob patterns.

    Returns:
        The comparison, which a notebook shows as a table.

    Raises:
        UserError: If a path does not exist, nothing of it can be compared, or a file is damaged.
    """
    if not paths:
        raise UserError("nothing to compare: name at least one run or policy")
    compared: list[Entry] = []
    notes: list[str] = []
    for path in matching([str(path) for path in paths]):
        entry = entries.read(path)
        if entry is None:
            notes.append(f"passed over {path}: it is neither a run nor a policy nor a report{_inside(path)}.")
        elif any(_is_same(entry, other) for other in compared):
            notes.append(f"passed over {path}: it is the policy of another one here.")
        else:
            compared.append(entry)
    if not compared:
        inside = _inside(paths[0]) if len(paths) == 1 else ""
        raise UserError(f"no run, policy or report in {', '.join(map(str, paths))}{inside}")
    by_suite: dict[str, list[Entry]] = {}
    for entry in compared:
        by_suite.setdefault(entry.suite_hash, []).append(entry)
    sections = tuple(Section(some[0].suite, suite_hash, grouped(some)) for suite_hash, some in by_suite.items())
    for group in (group for section in sections for group in section.groups):
        notes += _notes(group)
    return Comparison(sections, tuple(notes))


def _inside(path: str | Path) -> str:
    """Words that name what a folder holds for a comparison; an empty string if it holds nothing."""
    files = (entries.RUN, MANIFEST, REPORT)
    return f"; what it holds is {word(path)}/*" if any(any(Path(path).glob(f"*/{name}")) for name in files) else ""


def _is_same(entry: Entry, other: Entry) -> bool:
    """True for a run and its own policy, and for copies of one policy."""
    if entry.tensors is not None and entry.tensors == other.tensors:
        return True
    return entry.policy is not None and other.policy is not None and entry.policy.resolve() == other.policy.resolve()


def _notes(group: Group) -> list[str]:
    """Sentences about what a group leaves out, and what its interval means."""
    notes = [f"the report of {entry.path} is not pooled: it is of other tasks or shots." for entry in group.unlike]
    twice = sorted({seed for seed in group.seeds if group.seeds.count(seed) > 1})
    if twice:
        numbers = ", ".join(map(str, twice))
        notes.append(f"{group.label} has several trainings of seed {numbers}: they count as different seeds.")
    return notes

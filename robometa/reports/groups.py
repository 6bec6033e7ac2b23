"""Rows and sections of a comparison: the seeds of one learner, and the learners of one suite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from robometa.escape import printable
from robometa.reports import pooled, reference_returns
from robometa.reports.entries import Entry
from robometa.reports.gap import Sample, obstacle_for
from robometa.reports.measured import Measured
from robometa.reports.pooled import Interval
from robometa.reports.statistics import Array

MAX_LABEL = 60
"""Longest name of a row, characters."""


@dataclass(frozen=True, eq=False)
class Group:
    """Seeds of one learner with the same options on one suite."""

    label: str
    """Name of the row: the learner, and the options that differ from those of its other rows."""
    entries: tuple[Entry, ...]

    @property
    def options(self) -> dict[str, Any]:
        """Options of its learner."""
        return self.entries[0].options

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds, one for each entry."""
        return tuple(entry.seed for entry in self.entries)

    @cached_property
    def measured(self) -> tuple[Measured, ...]:
        """Reports that can be pooled: those alike the first."""
        reports = [entry.measured for entry in self.entries if entry.measured is not None]
        alike = [(one.protocol_key, one.tasks) == (reports[0].protocol_key, reports[0].tasks) for one in reports]
        return tuple(one for one, is_alike in zip(reports, alike, strict=True) if is_alike)

    @property
    def unlike(self) -> tuple[Entry, ...]:
        """Entries with a report of other tasks, shots or episodes than the first's."""
        return tuple(
            entry for entry in self.entries if entry.measured is not None and entry.measured not in self.measured
        )

    @property
    def unmeasured(self) -> tuple[Entry, ...]:
        """Entries without a report."""
        return tuple(entry for entry in self.entries if entry.measured is None)

    @property
    def shots(self) -> int:
        """Shots of its reports, the one before adaptation included; 0 without a report."""
        return len(self.measured[0].episodes_seen) if self.measured else 0

    def returns(self, shot: int) -> Array:
        """Returns after a shot. `[seed, task, world]`."""
        return np.stack([one.returns[shot] for one in self.measured])

    @cached_property
    def intervals(self) -> tuple[Interval, ...]:
        """Interquartile mean of the returns. `[shot]`."""
        return tuple(pooled.interquartile(self.returns(shot), self.measured[0].names) for shot in range(self.shots))

    @cached_property
    def success(self) -> Interval | None:
        """Share of episodes that ended in success after the last shot; None where that is not known."""
        successes = [one.success[-1] for one in self.measured if one.success is not None]
        return pooled.mean(np.stack(successes)) if successes and len(successes) == len(self.measured) else None

    def gain(self, shot: int) -> Interval | None:
        """Mean return after a shot minus that of the control in the same resets; None where that is not known."""
        controls = [one.control[shot] for one in self.measured if one.control is not None]
        if not shot or not controls or len(controls) != len(self.measured):
            return None
        if any(one.shape != self.measured[0].returns[shot].shape for one in controls):
            return None
        difference = self.returns(shot) - np.stack(controls)
        return pooled.mean(pooled.goals_joined(difference, self.measured[0].names))

    @property
    def pace(self) -> list[tuple[float, float]] | None:
        """Middle step and mean reward of each stretch of the first episode, mean over seeds; None if not recorded."""
        known = [one.pace for one in self.measured]
        if not known or not known[0] or any(len(pace) != len(known[0]) for pace in known):
            return None
        return [(step, reward) for step, reward in np.mean(known, axis=0).tolist()]

    def gaps(self, suite_hash: str) -> tuple[dict[str, float | None], ...]:
        """Gap closed after each shot, with intervals (`Reference.gap_closed`); empty if none is reported.

        With several seeds the interval resamples seeds, with one the episodes of each task.
        """
        known = reference_returns.find(suite_hash) if self.measured else None
        first = self.measured[0] if self.measured else None
        if known is None or first is None or first.split != "test" or known.tasks != len(first.tasks) or first.names:
            return ()
        if obstacle_for(self.entries[0].learner, known, first.random_mean) is not None:
            return ()
        several = len(self.measured) > 1
        return tuple(
            known.gap_closed(Sample(list(returns.mean(axis=2).T if several else returns[0]), together=several))
            for returns in (self.returns(shot) for shot in range(self.shots))
        )

    def by_task(self, shot: int) -> Array:
        """Mean return of each task after a shot, of several goals together. `[task]`."""
        return pooled.goals_joined(self.returns(shot), self.measured[0].names).mean(axis=(0, 2))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of its reports in words, of several goals together. `[task]`."""
        if not self.measured:
            return ()
        return tuple(dict.fromkeys(self.measured[0].names)) or self.measured[0].tasks

    def mean(self, fact: str) -> float | None:
        """Mean over seeds of a number such as `minutes`; None where none has it."""
        known = [value for entry in self.entries if (value := getattr(entry, fact)) is not None]
        return float(np.mean(known)) if known else None

    def hardware(self) -> dict[str, str]:
        """Devices, threads and versions of all seeds."""
        names = dict.fromkeys(name for entry in self.entries for name in entry.hardware)
        return {
            name: ", ".join(dict.fromkeys(entry.hardware[name] for entry in self.entries if name in entry.hardware))
            for name in names
        }


@dataclass(frozen=True, eq=False)
class Section:
    """Everything that was compared on one suite."""

    suite: str
    suite_hash: str
    groups: tuple[Group, ...]

    @property
    def measured(self) -> tuple[Group, ...]:
        """Groups with a report."""
        return tuple(group for group in self.groups if group.measured)

    def differing(self) -> list[tuple[str, list[str]]]:
        """Options that not all groups which have them agree on: name, and a value for each group."""
        return differing(self.groups)

    @cached_property
    def improvements(self) -> list[tuple[Group, Group, Interval]]:
        """Probability that one group scores more than another after its last shot, for every pair with shared tasks."""
        pairs = []
        for number, one in enumerate(self.measured):
            for other in self.measured[number + 1 :]:
                shared = shared_tasks(one, other)
                if shared:
                    pair = (one.returns(-1)[:, shared], other.returns(-1)[:, shared])
                    pairs.append((one, other, pooled.improvement(*pair)))
        return pairs

    @cached_property
    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """Rewards around the changes of tasks: label and numbers of every report, in the order of the groups."""
        rows = []
        for group in self.measured:
            for entry in group.entries:
                change = None if entry.measured is None else entry.measured.since_change
                if change is not None:
                    label = group.label if len(group.measured) == 1 else f"{group.label}, seed {entry.seed}"
                    rows.append((label, change))
        return rows

    def random(self) -> float | None:
        """Interquartile mean of random actions, of the first report that has it."""
        known = [one.random for group in self.measured for one in group.measured if one.random is not None]
        return known[0] if known else None


def shared_tasks(one: Group, other: Group) -> list[int]:
    """Indices of the tasks that two groups were measured on alike; none if their splits or protocols differ."""
    first, second = one.measured[0], other.measured[0]
    if (first.split, first.protocol) != (second.split, second.protocol):
        return []
    return [index for index, pair in enumerate(zip(first.tasks, second.tasks, strict=False)) if pair[0] == pair[1]]


def differing(groups: Sequence[Group]) -> list[tuple[str, list[str]]]:
    """Options of several groups that differ, as JSON; a dash for a group without the option."""
    rows = []
    for name in dict.fromkeys(name for group in groups for name in group.options):
        values = [shown(group.options[name]) if name in group.options else None for group in groups]
        if len({value for value in values if value is not None}) > 1:
            rows.append((name, ["\N{EN DASH}" if value is None else value for value in values]))
    return rows


def shown(value: Any) -> str:
    """A value of an option in a few words."""
    text = " ".join(map(str, value)) if isinstance(value, list) else json.dumps(value).strip('"')
    return printable(text if len(text) <= 100 else text[:97] + "...")


def grouped(some: Sequence[Entry]) -> tuple[Group, ...]:
    """Groups the entries of a suite by learner, options, and split and protocol of the report."""
    members: dict[str, list[Entry]] = {}
    for entry in some:
        report = entry.measured
        rule = (report.split, report.protocol) if report is not None and not entry.options else ()
        members.setdefault(json.dumps([entry.learner, entry.options, rule], sort_keys=True), []).append(entry)
    groups = [Group(printable(one[0].learner), tuple(one)) for one in members.values()]
    return tuple(Group(label, group.entries) for label, group in zip(_labels(groups), groups, strict=True))


def _labels(groups: Sequence[Group]) -> list[str]:
    """Names of rows: the learner, with the options that differ where it has several rows."""
    labels = []
    for group in groups:
        kin = [other for other in groups if other.label == group.label]
        place = kin.index(group)
        differences = [f"{name} {values[place]}" for name, values in differing(kin)] if len(kin) > 1 else []
        if len(kin) > 1 and not group.options:
            differences = [f"report {printable(group.entries[0].path.name)}"]
        words = ", ".join([*differences[:3], *(["..."] if len(differences) > 3 else [])])
        label = f"{group.label} ({words})" if words else group.label
        label = label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 3] + "..."
        labels.append(label if label not in labels else f"{label} #{place + 1}")
    return labels

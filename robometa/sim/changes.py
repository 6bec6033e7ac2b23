"""Changes of tasks along a trial: a function of the trial's noise, the task and the control step alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice, takewhile

import numpy as np

from robometa.noise import Noise
from robometa.sim.engine import TrialPlace
from robometa.suites.change import Change
from robometa.suites.distributions import Distribution, draw
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS

Numbers = dict[str, tuple[float, ...]]
MAX_EXAMPLES = 4
"""Steps of a course that a check of a suite looks at."""
MAX_ATTEMPTS = 100
"""Most draws of a number that a model can have; after these it stays as it was."""


class Changes:
    """The tasks of an engine as they are now. A task's clock counts the control steps since its trial began."""

    def __init__(self, tasks: Sequence[Task], horizon: int) -> None:
        """Takes the tasks, and the control steps of a rollout; `begin` starts a trial."""
        self._tasks, self._horizon = tuple(tasks), horizon
        self.clock = np.zeros(len(tasks), dtype=np.int64)
        """`[task]`"""
        self.noise = Noise(0, (), len(tasks), 1)
        """Source of the trial's changes."""

    def begin(self, place: TrialPlace) -> tuple[Task, ...]:
        """Goes to the beginning of a rollout, and returns the tasks in force. `[task]`."""
        return self.go_to(place.noise, np.full(len(self._tasks), place.shot * self._horizon, dtype=np.int64))

    def go_to(self, noise: Noise, clock: np.ndarray) -> tuple[Task, ...]:
        """Goes to a step of a trial, and returns the tasks in force. `[task]`."""
        self.noise, self.clock = noise, clock.copy()
        self._courses = [self._course(index) for index in range(len(self._tasks))]
        self._in_force = list(self._tasks)
        self._next: list[tuple[int, Task] | None] = [next(one) for one in self._courses]
        self._follow()
        return tuple(self._in_force)

    def advance(self) -> tuple[Task, ...] | None:
        """Counts a control step, and returns the tasks in force if one has changed. `[task]`."""
        self.clock += 1
        return tuple(self._in_force) if self._follow() else None

    def after_one(self) -> tuple[Task, ...]:
        """The tasks after their first change in some trial. `[task]`."""
        noise = Noise(0, ("after one",), len(self._tasks), 1)
        courses = [list(islice(course(task, noise, index, self._horizon), 2)) for index, task in enumerate(self._tasks)]
        return tuple(steps[-1][1] for steps in courses)

    def task_at(self, index: int, step: int) -> Task:
        """A task as it is at a step of the trial."""
        return [task for begun, task in takewhile(lambda one: one[0] <= step, self._course(index))][-1]

    def _course(self, index: int) -> Iterator[tuple[int, Task]]:
        return course(self._tasks[index], self.noise, index, self._horizon)

    def _follow(self) -> bool:
        """Puts what is due by the clock in force, and returns whether anything was."""
        followed = False
        for index, (one, now) in enumerate(zip(self._courses, self.clock.tolist(), strict=True)):
            while (due := self._next[index]) is not None and due[0] <= now:
                self._in_force[index], followed = due[1], True
                self._next[index] = next(one, None)
        return followed


def moments(place: TrialPlace, tasks: Sequence[Task], horizon: int) -> list[list[int]]:
    """Steps of a rollout of `horizon` steps, from 0, before which each task changes. `[task]`."""
    found = []
    for index, task in enumerate(tasks):
        first, steps = place.shot * horizon, list[int]()
        for step, _ in course(task, place.noise, index, horizon):
            if step >= first + horizon:
                break
            steps += [step - first] if step >= max(first, 1) else []
        found.append(steps)
    return found


def course(task: Task, noise: Noise, index: int, horizon: int) -> Iterator[tuple[int, Task]]:
    """Yields the steps of a trial before which a task changes, with the task from then on; its beginning first.

    Args:
        task: The task.
        noise: Source of the trial's changes.
        index: Index of the task in the noise.
        horizon: Control steps of a rollout.
    """
    own = dict(task.parameters)
    change = task.change
    if change is None:
        yield 0, task
        return
    numbers = own | dict(change.before)
    yield 0, _with(task, numbers)
    rates = {name: _drawn(one, f"{_key(noise, 'drift', index, 0)}/{name}") for name, one in change.drift}
    for number, step in enumerate(_steps(change, horizon, noise, index)):
        numbers = _changed(change, numbers, own, rates, number, _key(noise, "value", index, number))
        yield step, _with(task, numbers)
        if change.once:
            return


def _steps(change: Change, horizon: int, noise: Noise, index: int) -> Iterator[int]:
    """Yields the steps of a trial before which a task changes."""
    intervals = _intervals(change, noise, index)
    step, due = 0, next(intervals, None)
    while True:
        coming = [one for one in change.at if one > step][:1]
        coming += [] if due is None else [due]
        coming += [(step // horizon + 1) * horizon] if change.between_episodes else []
        if not coming:
            return
        step = min(coming)
        yield step
        if due is not None and step == due:
            due = step + next(intervals)


def _intervals(change: Change, noise: Noise, index: int) -> Iterator[int]:
    """Yields the random times between changes, steps."""
    if change.every is not None:
        low, high = change.every
        for number in count():
            yield int(noise.fork("interval").generator(index, number).integers(low, high + 1))


def _changed(change: Change, now: Numbers, own: Numbers, rates: Numbers, number: int, key: str) -> Numbers:
    """Numbers after a change of a task.

    Args:
        change: The rule.
        now: Numbers before.
        own: The task's own numbers.
        rates: What each change adds to a parameter that drifts.
        number: Changes of the trial before.
        key: Key of what is drawn.
    """
    numbers, begun = dict(now), dict(change.before) if number == 0 else {}
    numbers |= {name: own[name] for name in begun}
    for name, distribution in change.redraw:
        if name not in begun:
            numbers[name] = _redrawn(name, distribution, f"{key}/{name}", now[name])
    limits = dict(change.limits)
    steps = rates | {name: _drawn(one, f"{key}/{name}") for name, one in change.wander}
    for name, added in steps.items():
        low, high = limits[name]
        numbers[name] = tuple(min(max(one + more, low), high) for one, more in zip(now[name], added, strict=True))
    return numbers


def _redrawn(name: str, distribution: Distribution, key: str, now: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers of a parameter that a model can have."""
    if name not in VARIATIONS:
        return _drawn(distribution, key)
    attempts = (_drawn(distribution, f"{key}/{attempt}") for attempt in range(MAX_ATTEMPTS))
    allowed = VARIATIONS[name].allowed
    return next((numbers for numbers in attempts if all(one in allowed for one in numbers)), now)


def _drawn(distribution: Distribution, key: str) -> tuple[float, ...]:
    """Numbers of a distribution; of listed ones, those of an entry at random."""
    listed = distribution.get("values")
    return draw(distribution, key, 0 if listed is None else random.Random(key).randrange(len(listed)))


def _key(noise: Noise, purpose: str, index: int, number: int) -> str:
    """Key of the numbers of one change."""
    return str(int(noise.fork(purpose).generator(index, number).integers(2**62)))


def _with(task: Task, numbers: Numbers) -> Task:
    """The task with these numbers, which stay."""
    return replace(task, parameters=tuple((name, numbers[name]) for name, _ in task.parameters), change=None)


def examples(task: Task, horizon: int) -> list[Task]:
    """Some of what a task may become: after its first few changes, and at the ends of what it drifts and wanders in."""
    if task.change is None:
        return []
    noise = Noise(0, ("examples",), 1, 1)
    found = [one for _, one in islice(course(task, noise, 0, horizon), MAX_EXAMPLES)]
    own = dict(task.parameters)
    for end in range(2):
        extreme = {name: (limits[end],) * len(own[name]) for name, limits in task.change.limits}
        found += [_with(task, own | extreme)] if extreme else []
    return found

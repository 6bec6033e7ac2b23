"""A real-time loop at the contract's rate, with a watchdog."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from robometa_runtime.clock import REAL, Clock, Times
from robometa_runtime.contract import Array
from robometa_runtime.observer import Observer
from robometa_runtime.policy import ObservationError, Policy

MAX_FAULTS = 50
"""Steps without a sound reading in a row after which the loop gives up."""
PATIENCE = 3.0
"""Control periods without an action after which the watchdog sends the safe one."""


class RobotError(RuntimeError):
    """The robot has sent no sound reading for too long; the safe action was sent last."""


class Reading(NamedTuple):
    """Measurements of a robot."""

    obs: ArrayLike
    reward: float | None = None
    """Reward of the last action; None where none is measured."""
    done: bool = False
    """True if the last action ended an episode."""


@dataclass
class Report:
    """Counts of a loop, and times from a reading to its action."""

    steps: int = 0
    late: int = 0
    """Actions that were ready after the end of their period."""
    timeouts: int = 0
    """Periods without a reading, in which the last action was held or the safe one sent."""
    refused: int = 0
    """Readings that were not finite or were otherwise unsound, at which the same was done."""
    refusal: str = ""
    """Message of the last refusal."""
    barked: int = 0
    """Times that the watchdog sent the safe action, because nothing had been sent for too long."""
    times: Times = field(default_factory=Times, repr=False)

    def percentile(self, share: float) -> float:
        """Time that so many percent of the actions took at most, s; within 1 %."""
        return self.times.percentile(share)

    def __str__(self) -> str:
        """One line."""
        median, worst = (1e6 * self.percentile(share) for share in (50, 99.9))
        times = f"; reading to action: median {median:.0f} us, p99.9 {worst:.0f} us" if self.times.total else ""
        return (
            f"{self.steps} steps, {self.late} late, {self.timeouts} timeouts, {self.refused} refused, "
            f"watchdog {self.barked}{times}{f'; last refusal: {self.refusal}' if self.refusal else ''}"
        )


class Loop:
    """Reads, acts and writes at a fixed rate.

    A thread of its own watches it. If nothing was sent for `PATIENCE` periods, because reading or acting hangs, it
    sends the safe action; an action that comes later than that is dropped.
    """

    def __init__(
        self,
        policy: Policy,
        read: Callable[[float], Reading | None],
        write: Callable[[Array], None],
        *,
        hz: float | None = None,
        safe: ArrayLike | None = None,
        hold: int = 0,
        observer: Observer | None = None,
        sample: bool = False,
        watch: Callable[[Report], None] | None = None,
        clock: Clock = REAL,
    ) -> None:
        """Takes a policy and a robot.

        Args:
            policy: Acts.
            read: Returns the next reading, or None if there is none within so many seconds. An `ObservationError`, such
                as an observer's, refuses the reading.
            write: Sends an action to the robot; called from two threads, never at once.
            hz: Actions per second; the contract's if None. Another rate than the training's changes the returns.
            safe: Action where there is no sound reading; the contract's if None.
            hold: Periods without a sound reading in which the last action is sent again, before the safe one.
            observer: Makes the observations in `read`; its `sent` becomes every action that is sent.
            sample: Explore.
            watch: Called after each step.
            clock: Time and waiting; another one than the machine's lets a simulated hour pass at once.

        Raises:
            ValueError: If `hz` is not above 0, `hold` below 0, or `safe` is not a number within its range for each
                action.
        """
        self._clock, self._observer = clock, observer
        self.policy, self.read, self.sample, self.watch = policy, read, sample, watch
        hz = policy.contract.control_hz if hz is None else hz
        self.safe = np.array(policy.contract.safe if safe is None else safe, np.float32)
        if not 0 < hz < np.inf:
            raise ValueError(f"hz must be finite and above 0, not {hz}")
        if hold < 0:
            raise ValueError(f"hold must be from 0, not {hold}")
        low, high = policy.contract.low, policy.contract.high
        fits = self.safe.shape == low.shape and bool((np.isfinite(self.safe) & (low <= self.safe)).all())
        if not fits or not (self.safe <= high).all():
            raise ValueError(f"safe must be {len(low)} finite numbers within the ranges of the actions")
        self.period, self.hold = 1 / hz, hold
        self.report = Report()
        self._write, self._lock, self._fed, self._over = write, threading.Lock(), 0.0, threading.Event()
        self._failure: Exception | None = None
        self._running = threading.Lock()
        self._held: Array | None = None
        self._missed = 0

    def run(self, *, seconds: float | None = None, steps: int | None = None) -> Report:
        """Runs for so long or so many periods, or until `stop`, and sends the safe action at the end.

        Errors of `read` and `write` end it, too; one of the watchdog's `write` as soon as `read` and `act` return.

        Raises:
            RobotError: If there is no sound reading for `MAX_FAULTS` periods in a row.
            ValueError: If both are given, or one is below 0 or not finite.
            RuntimeError: If it runs already.
        """
        given = [one for one in (seconds, steps) if one is not None]
        if len(given) > 1 or not all(0 <= one < np.inf for one in given):
            raise ValueError("run takes seconds or steps, a finite number from 0; without either it runs until stop()")
        if not self._running.acquire(blocking=False):
            raise RuntimeError("the loop runs already")
        try:
            return self._run(steps if seconds is None else round(seconds / self.period))
        finally:
            self._running.release()

    def _run(self, periods: int | None) -> Report:
        self._over.clear()
        self._failure = self._held = None
        self._fed = self._clock.now()
        dog = threading.Thread(target=self._guard, name="robometa-watchdog", daemon=True)
        dog.start()
        try:
            self._drive(periods)
        finally:
            self._over.set()
            dog.join()
            self._send(self.safe)
        if self._failure is not None:  # of the last period
            raise self._failure
        return self.report

    def stop(self) -> None:
        """Ends `run` after the current step; may be called from another thread or from `watch`."""
        self._over.set()

    def _drive(self, periods: int | None) -> None:
        due, faults, count = self._clock.now(), 0, 0
        while not self._over.is_set() and (periods is None or count < periods):
            count += 1
            due += self.period
            faults = 0 if self._step(due) else faults + 1
            if self._failure is not None:
                raise self._failure
            if self.watch is not None:
                self.watch(self.report)
            if faults >= MAX_FAULTS:
                why = f"the last one: {self.report.refusal}; " if self.report.refusal else ""
                raise RobotError(f"no sound reading in {faults} periods; {why}{self.report}")
            left = due - self._clock.now()
            if left > 0:
                self._clock.sleep(left)
            else:  # a period that was missed is not made up for
                due = self._clock.now()

    def _step(self, due: float) -> bool:
        """One period; False if there was no sound reading."""
        barked = self.report.barked
        try:
            reading = self.read(max(due - self._clock.now(), 0.0))
        except ObservationError as error:
            return self._refuse(error, barked)
        began = self._clock.now()
        if reading is None:
            self.report.timeouts += 1
            return self._miss(barked)
        if not isinstance(reading, Reading):
            raise TypeError(f"read must return a Reading or None, not {type(reading).__name__}")
        try:
            action = self.policy.act(reading.obs, reading.reward, reading.done, sample=self.sample)
        except ObservationError as error:
            return self._refuse(error, barked)
        ended = self._clock.now()
        self._send(action, barked)
        self._missed = 0
        self.report.steps += 1
        self.report.late += ended > due
        self.report.times.add(ended - began)
        return True

    def _refuse(self, error: ObservationError, barked: int) -> bool:
        """Counts an unsound reading."""
        self.report.refused += 1
        self.report.refusal = str(error)
        return self._miss(barked)

    def _miss(self, barked: int) -> bool:
        """Sends what takes an action's place in a period without a sound reading."""
        self._missed += 1
        held = self._held if self._missed <= self.hold else None
        if held is None:
            self._send(self.safe)
        else:
            self._send(held, barked)
        return False

    def _send(self, action: Array, barked: int | None = None) -> None:
        """Sends an action; one of a step that began after `barked` barks is too old if there was another since."""
        with self._lock:
            if barked in (None, self.report.barked):
                self._give(action)
                if barked is not None:
                    self._held = action
            self._fed = self._clock.now()

    def _give(self, action: Array) -> None:
        """Writes an action, which is the robot's own to change."""
        if self._observer is not None:
            self._observer.sent = action.copy()
        self._write(action.copy())

    def _guard(self) -> None:
        """Sends the safe action where nothing else was sent for too long."""
        patience = PATIENCE * self.period
        while not self._over.wait(max(self._fed + patience - self._clock.now(), self.period / 10)):
            with self._lock:
                if self._clock.now() - self._fed >= patience:
                    self.report.barked += 1
                    self._held = None
                    try:
                        self._give(self.safe)
                    except Exception as error:  # the watchdog goes on: the next one may get through
                        self._failure = error
                    self._fed = self._clock.now()

"""The time of an iteration as a function of the number of cores, from measured constants: nothing is fitted by hand.

An iteration's trials are computed by a process on each core, the update by the training's own process:

    seconds(N) = calls + share(N) * steps * (physics + policy) + bytes * (share(N) * write + copy) + update(N)

calls is what a trial takes however few worlds are in it: the calls of Python and torch in every control step. share(N)
is the largest part of the pieces that one process has to compute. update(N) = serial + parallel / N, both
from the update on one core and on the most that were measured; an update uses no more cores than it has parts.
What cores take from each other, memory above all, is not in it: the check beside measured iterations shows how much
that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

FAR = (16, 128, 1024)
"""Cores that the model is asked about."""


@dataclass(frozen=True)
class Constants:
    """Measurements of a learner on a suite."""

    pieces: int
    """Pieces of an iteration: no more processes can work on it."""
    steps: int
    """Control steps of an iteration."""
    received: int
    """Bytes of an iteration's rollouts, which the processes send."""
    state: int
    """Bytes of the policy, which each process reads."""
    physics: float
    """Seconds of one core for a control step, by MuJoCo alone."""
    policy: float
    """Seconds of one core for all else of a control step that grows with the worlds: policy, rewards, adaptation."""
    write: float
    """Seconds for a byte that a process writes into shared memory."""
    copy: float
    """Seconds for a byte that the training copies out of it."""
    parts: int
    """Parts that most computations of an update are split into, each for one thread; 0 if none is split."""
    update: Mapping[int, float]
    """Seconds of an update, by cores."""
    calls: float = 0.0
    """Seconds of a trial that do not depend on its worlds; 0 in records from before they were measured."""

    def share(self, cores: int) -> float:
        """Largest part of an iteration's pieces that one of so many processes computes."""
        return ceil(self.pieces / cores) / self.pieces

    def sampling(self, cores: int) -> float:
        """Seconds of an iteration's trials, their transfer left out."""
        return self.calls + self.share(cores) * self.steps * (self.physics + self.policy)

    def transfer(self, cores: int) -> float:
        """Seconds of writing and copying an iteration's rollouts."""
        return self.received * (self.share(cores) * self.write + self.copy)

    def update_on(self, cores: int) -> float:
        """Seconds of an update: a serial and a parallel part, from the fewest and the most cores that were measured."""
        few, many = min(self.update), max(self.update)
        used, cores = (max(min(count, self.parts or count), few) for count in (many, cores))
        if used == few:
            return self.update[few]
        parallel = (self.update[few] - self.update[many]) / (1 / few - 1 / used)
        parallel = min(max(parallel, 0.0), few * self.update[few])
        return self.update[few] + parallel * (1 / cores - 1 / few)

    def iteration(self, cores: int) -> float:
        """Seconds of an iteration."""
        return self.sampling(cores) + self.transfer(cores) + self.update_on(cores)

    def limit(self) -> float:
        """Least number of cores at which the update takes longer than the trials; infinite if there is none."""
        return next((cores for cores in range(1, self.pieces + 1) if self.update_on(cores) > self.sampling(cores)), inf)


def constants_table(constants: Mapping[str, Constants]) -> list[list[str]]:
    """Rows of what was measured; the first is the head."""
    rows = [
        [
            "learner",
            "steps",
            "pieces",
            "update in parts",
            "received, MB",
            "policy, KB",
            "physics, s",
            "policy, s",
            "calls, s",
            "copies, s",
        ]
    ]
    rows[0] += ["update, s, by cores"]
    for name, one in constants.items():
        updates = ", ".join(f"{cores}: {took:.3g}" for cores, took in sorted(one.update.items()))
        row = [
            name,
            f"{one.steps:,}",
            str(one.pieces),
            str(one.parts or "-"),
            f"{one.received / 1e6:.3g}",
            f"{one.state / 1e3:.3g}",
        ]
        row += [f"{one.steps * one.physics:.3g}", f"{one.steps * one.policy:.3g}", f"{one.calls:.3g}"]
        row += [f"{one.transfer(1):.3g}", updates]
        rows.append(row)
    return rows


def check_table(constants: Mapping[str, Constants], measured: Mapping[str, Mapping[int, float]]) -> list[list[str]]:
    """Rows of iterations as the model has them and as they were."""
    rows = [["learner", "cores", "model, s", "measured, s", "model / measured"]]
    for name, by_cores in measured.items():
        for cores, took in sorted(by_cores.items()):
            said = constants[name].iteration(cores)
            rows.append([name, str(cores), f"{said:.3g}", f"{took:.3g}", f"{said / took:.2f}"])
    return rows


def far_table(constants: Mapping[str, Constants], cores: Sequence[int] = FAR) -> list[list[str]]:
    """Rows of what the model says for more cores than were measured."""
    rows = [["learner", "cores from which the update is longer than the trials", "processes at most"]]
    rows[0] += [f"{count} cores: iteration, s (update's part)" for count in cores]
    for name, one in constants.items():
        limit = one.limit()
        row = [name, "none" if limit == inf else str(limit), str(one.pieces)]
        row += [f"{one.iteration(n):.3g} ({one.update_on(n) / one.iteration(n):.0%})" for n in cores]
        rows.append(row)
    return rows

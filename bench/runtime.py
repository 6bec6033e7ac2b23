"""Measures a policy's step and the loops of `robometa-runtime`: `python -m bench.runtime`.

Three parts, on one thread. Steps: the time of `Policy.act` of RL^2 and its int8 form, and of a distilled student with
`--student FOLDER`. An hour: the loop at 50 Hz, 200 Hz and 1 kHz for an hour of simulated time, in which waiting takes
no time, so that the caches stay warm; an action is late if it took longer than its period. A minute: the same loops for
a minute of real time, with waiting, a watchdog and whatever else runs. The readings are the test vectors of the export
in turn. With --write the measurements go to results/runtime.json, and the tables to docs/deployment.md. It takes some
seven minutes. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.recorded import Recorded
from bench.report import Machine, table
from robometa.storage.scratch import scratch

RECORD, PAGE = Path("results/runtime.json"), Path("docs/deployment.md")
POLICY = Path("policies/half-cheetah-velocity-rl2")
RATES = (50.0, 200.0, 1000.0)
"""Rates of the loops, Hz."""
TARGET = 30.0
"""Median of a step of RL^2 that is aimed at, us."""


@dataclass(frozen=True)
class Extent:
    """Extent of a measurement."""

    warm_up: int = 2000
    """Steps before those that are measured."""
    steps: int = 100_000
    hour: float = 3600.0
    """Simulated seconds of a loop."""
    minute: float = 60.0
    """Real seconds of a loop."""


QUICK = Extent(warm_up=20, steps=200, hour=0.5, minute=0.1)


def exported(policy: Path, folder: Path, *, int8: bool = False) -> Path:
    """Exports a policy."""
    from robometa.deployment.export import export
    from robometa.training.load import load

    return export(load(policy), folder, int8=int8, force=True).folder


def readings(folder: Path) -> Iterator[Any]:
    """Readings of an export's test vectors, again and again."""
    from robometa_runtime import Reading
    from safetensors.numpy import load_file

    vectors = load_file(folder / "vectors.safetensors")
    rows = zip(vectors["step/obs"], vectors["step/last_reward"][:, 0], strict=True)
    yield Reading(vectors["step/obs"][0])
    yield from itertools.cycle([Reading(obs, float(reward)) for obs, reward in rows])


def steps(folder: Path, extent: Extent) -> dict[str, float]:
    """Times of a step, us."""
    from robometa_runtime import Policy
    from robometa_runtime.clock import Times

    policy, times, source = Policy(folder), Times(), readings(folder)
    for step, (obs, reward, _) in enumerate(itertools.islice(source, extent.warm_up + extent.steps)):
        began = time.perf_counter()
        policy.act(obs, reward)
        if step >= extent.warm_up:
            times.add(time.perf_counter() - began)
    return _described(times) | {"bytes": (folder / "step.onnx").stat().st_size}


def loop(folder: Path, hz: float, seconds: float, *, simulated: bool) -> dict[str, float]:
    """Runs a loop, and returns its counts and times."""
    from robometa_runtime import Loop, Policy
    from robometa_runtime.clock import REAL

    source = readings(folder)
    clock = SimulatedClock() if simulated else REAL
    running = Loop(Policy(folder), lambda _: next(source), lambda _: None, hz=hz, clock=clock)
    report = running.run(seconds=seconds)
    counts = {name: getattr(report, name) for name in ("steps", "late", "timeouts", "refused", "barked")}
    return {"hz": hz, "seconds": seconds} | counts | _described(report.times)


class SimulatedClock:
    """A clock in which waiting takes no time."""

    def __init__(self) -> None:
        """Starts at the machine's time."""
        self.skipped = 0.0

    def now(self) -> float:
        """Seconds, those skipped included."""
        return time.perf_counter() + self.skipped

    def sleep(self, seconds: float) -> None:
        """Lets the time pass at once."""
        self.skipped += seconds


def _described(times: Any) -> dict[str, float]:
    shares = {"median": 50.0, "p99": 99.0, "p99.9": 99.9}
    return {name: 1e6 * times.percentile(share) for name, share in shares.items()} | {"longest": 1e6 * times.longest}


@contextmanager
def forms(student: Path | None, quick: bool) -> Iterator[dict[str, Path]]:
    """Exports of the measured policies, by name."""
    with scratch() as folder:
        folders = {"rl2": exported(POLICY, folder / "rl2")}
        if not quick:
            folders["rl2, int8"] = exported(POLICY, folder / "rl2-int8", int8=True)
        if student is not None:
            folders["student"] = exported(student, folder / "student")
            folders["student, int8"] = exported(student, folder / "student-int8", int8=True)
        yield folders


def measured(extent: Extent, student: Path | None, say: Callable[[str], None], *, quick: bool) -> dict[str, Any]:
    """Measures everything."""
    record: dict[str, Any] = {"machine": asdict(Machine.here()), "extent": asdict(extent), "steps": {}}
    say("exports")
    with forms(student, quick) as folders:
        for name, folder in folders.items():
            say(f"steps of {name}")
            record["steps"][name] = steps(folder, extent)
        for part, seconds, simulated in (("hour", extent.hour, True), ("minute", extent.minute, False)):
            record[part] = []
            for hz in RATES:
                say(f"{part} at {hz:g} Hz")
                record[part].append(loop(folders["rl2"], hz, seconds, simulated=simulated))
    return record


def as_text(record: dict[str, Any]) -> str:
    """Makes the page's tables of a run's measurements."""
    machine = record["machine"]
    load = "" if machine["load"] is None else f", load {machine['load']} before the run"
    times = ("median", "p99", "p99.9", "longest")
    rows = [["step of `Policy.act`", "bytes of the graph", *(f"{name}, us" for name in times)]]
    for name, row in record["steps"].items():
        rows.append([name, f"{row['bytes']:,}", *(f"{row[one]:.1f}" for one in times)])
    median = record["steps"]["rl2"]["median"]
    verdict = "reached" if median <= TARGET else "not reached"
    lines = [f"{machine['date']}; {machine['processor']}, {machine['cores']} cores{load}; `python -m bench.runtime`."]
    lines += ["", *table(rows), "", f"Aimed at for RL^2: a median of {TARGET:g} us, {verdict}."]
    titles = {
        "hour": "An hour of simulated time, in which waiting takes no time; late actions took longer than their period",
        "minute": "A minute of real time, with waiting; late actions were ready after the end of their period",
    }
    for part, title in titles.items():
        counts = ("steps", "late", "timeouts", "refused", "barked")
        head = ["rate", *counts[:-1], "watchdog", *(f"{name}, us" for name in times)]
        rows = [
            [f"{row['hz']:g} Hz", *(f"{row[one]:,}" for one in counts), *(f"{row[one]:.1f}" for one in times)]
            for row in record[part]
        ]
        lines += ["", f"{title}. From reading to action, RL^2:", "", *table([head, *rows])]
    return "\n".join(lines)


def _measured(chosen: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    sys.path.append(str(Path(__file__).parents[1] / "runtime"))  # where it is not installed
    return measured(QUICK if chosen.quick else Extent(), chosen.student, say, quick=chosen.quick)


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints and writes. Returns 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.runtime", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--student", type=Path, metavar="FOLDER", help="a distilled policy, to measure its step too")
    return Recorded(parser, _measured, as_text, RECORD, PAGE).run(words)


if __name__ == "__main__":
    sys.exit(main())

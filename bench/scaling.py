"""Measures how engines and iterations gain from cores and worlds: `python -m bench.scaling`.

Every part runs in a process of its own that is held to 1, 2, 4, ... cores of this machine. From the constants of each
learner `bench/scaling_model.py` says what an iteration takes on other numbers of cores, and the page shows it beside
what iterations took. With --write the measurements go to results/scaling.json, and the tables that follow from them to
docs/scaling.md. `--from FILE` makes the tables anew of an earlier run's measurements. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import scaling_parts as parts
from bench.held import held_to
from bench.recorded import Recorded
from bench.report import Machine, table
from bench.scaling_model import Constants, check_table, constants_table, far_table

RECORD, PAGE = Path("results/scaling.json"), Path("docs/scaling.md")
os.environ["PYTHONSAFEPATH"] = "1"  # no process that this one starts takes a module from the current folder


def numbers_of_cores(most: int) -> list[int]:
    """1, 2, 4, ... up to the most, which is the last."""
    counts = [1]
    while 2 * counts[-1] <= most:
        counts.append(2 * counts[-1])
    return counts if counts[-1] == most else [*counts, most]


def measured(extent: parts.Extent, cores: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Measures everything."""
    record: dict[str, Any] = {"machine": asdict(Machine.here()), "extent": parts.described(extent), "engines": {}}
    for count in cores:
        say(f"engines on {count} cores")
        record["engines"][str(count)] = held_to(count, parts.engines, extent)
    say(f"worlds on {cores[-1]} cores")
    record["worlds"] = {str(cores[-1]): held_to(cores[-1], parts.worlds, extent)}
    record["constants"], record["iterations"] = {}, {}
    for name in extent.learners:
        say(f"{name}: constants")
        record["constants"][name] = held_to(1, parts.constants, extent, name)
        rows = record["iterations"][name] = {}
        for count in cores:
            say(f"{name}: iterations on {count} cores")
            rows[str(count)] = held_to(count, parts.iteration, extent, name, count)
    return record


def as_text(record: dict[str, Any]) -> str:
    """Makes the page's tables of a run's measurements."""
    machine = record["machine"]
    load = "" if machine["load"] is None else f", load {machine['load']} before the run"
    iterations = record["iterations"]
    updates = {
        name: {int(cores): row["update"] for cores, row in by_cores.items()} for name, by_cores in iterations.items()
    }
    constants = {name: Constants(**row, update=updates[name]) for name, row in record["constants"].items()}
    whole = {
        name: {int(cores): row["sampling"] + row["update"] for cores, row in by_cores.items()}
        for name, by_cores in iterations.items()
    }
    engines = record["engines"]
    robots = list(next(iter(engines.values()), ()))
    curve = [["cores", *(f"{robot}, steps/s" for robot in robots)]]
    curve += [[cores, *(f"{row[robot]:,.0f}" for robot in robots)] for cores, row in engines.items()]
    worlds = [["worlds", *(f"{cores} cores, steps/s" for cores in record["worlds"])]]
    counts = next(iter(record["worlds"].values()), ())
    worlds += [[count, *(f"{row[count]:,.0f}" for row in record["worlds"].values())] for count in counts]
    seconds = [["learner", "cores", "trials, s", "update, s", "iteration, s"]]
    for name, by_cores in iterations.items():
        for cores, row in by_cores.items():
            took = row["sampling"], row["update"], row["sampling"] + row["update"]
            seconds.append([name, cores, *(f"{one:.3g}" for one in took)])
    sections = (
        ("Engines by cores", curve),
        ("Half-cheetahs by worlds", worlds),
        ("Iterations by cores", seconds),
        ("Constants of the model, on one core", constants_table(constants)),
        ("Check of the model", check_table(constants, whole)),
        ("More cores, by the model", far_table(constants)),
    )
    lines = [f"{machine['date']}; {machine['processor']}, {machine['cores']} cores{load}."]
    for title, rows in sections:
        if len(rows) == 1:
            continue  # a record of a lent machine may hold less
        lines += ["", f"**{title}**", "", *table(rows)]
    return "\n".join(lines)


def _measured(chosen: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    return measured(parts.QUICK if chosen.quick else parts.Extent(), numbers_of_cores(chosen.cores), say)


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints and writes. Returns 0."""
    here = len(os.sched_getaffinity(0))

    def cores(word: str) -> int:
        if not word.isdecimal() or not 1 <= int(word) <= here:
            raise argparse.ArgumentTypeError(f"must be from 1 to the {here} of this process, not {word}")
        return int(word)

    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cores", type=cores, default=here, metavar="N", help="cores at the most (default: all)")
    return Recorded(parser, _measured, as_text, RECORD, PAGE).run(words)


if __name__ == "__main__":
    sys.exit(main())

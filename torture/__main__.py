"""Breaks what can be broken, and counts what does not hold: `make torture`, or `python -m torture`.

kills       SIGKILL of trainings at seeded random moments, two in five inside a save; resumed, byte for byte the same
search_kills  SIGKILL of searches at seeded random moments; resumed, the same trials to the byte
crashes     an end after every single write, fsync and rename of a save; whole saves only are found afterwards
disk        a disk that is full at every write of a save; training goes on or says why not, older saves are intact
races       two processes write one folder at the same moment; each wins or says that it lost, and nothing is damaged
links       links at every name that is written; no file outside the folder changes
flips       single flipped bits in checkpoints and policies; every one is noticed
divergence  NaN, Inf and 1e12 in positions, velocities and controls of every robot; counted, and paid exactly nothing
hostile     files made to execute, to write elsewhere or to eat memory; each is answered with one line and exit code 2
models      robots' models that a grammar makes at the edge; the process that opens them never crashes
fuzz        inputs that a fuzzer makes up, for every loader; only typed errors come out
children    every command in a folder full of hostile modules; no process that it starts runs one of them
markup      hostile texts in every field and name; no command and no card lets one of them act
soak        train, evaluate and record again and again in one process; memory and open files stay flat
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PARTS = ("crashes", "disk", "races", "links", "flips", "divergence", "hostile", "models")
PARTS += ("kills", "search_kills", "fuzz", "children", "markup", "soak")
MINUTES = {
    "crashes": 20,
    "disk": 14,
    "races": 12,
    "links": 4,
    "flips": 0.5,
    "divergence": 0.5,
    "hostile": 6,
    "models": 10,
    "kills": 44,
    "search_kills": 20,
    "fuzz": 13,
    "children": 3,
    "markup": 10,
    "soak": 60,
}
"""Estimated processor time of the full form of each part, min."""
RESULTS, PAGE = Path("results") / "reliability.json", Path("docs") / "reliability.md"


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Arguments of the command line."""
    about, _, parts = (__doc__ or "").partition("\n\n")
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m torture", description=about, epilog=parts, formatter_class=shape)
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (default: 0)")
    parser.add_argument("--short", action="store_true", help="a few seconds of each; writes nothing unless asked to")
    parser.add_argument("--kills", type=int, metavar="N", help="kills of each learner (default: 50, or 10)")
    parser.add_argument("--learners", nargs="+", metavar="LEARNER", help="only these (default: all that are trained)")
    parser.add_argument("--cases", default="", metavar="TEXT", help="only hostile files whose name has this in it")
    parser.add_argument("--minutes", type=float, help="of models, of fuzzing, and of the soak (default: 10, 10, 60)")
    jobs = "parts at a time, each in a process of its own (default: 1)"
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help=jobs)
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"where the figures go (default: {RESULTS})")
    return parser.parse_args(words)


def minutes_of(parts: Sequence[str]) -> float:
    """Estimated processor time of the full forms, min."""
    return sum(MINUTES[part] for part in parts)


def side_by_side(asked: argparse.Namespace, words: list[str]) -> int:
    """Runs each part by a command of its own, the longest first, so many at a time; shows the figures at the end."""
    from torture import findings

    results = asked.json or (None if asked.short else RESULTS)
    parts = sorted(asked.only or PARTS, key=lambda part: -MINUTES[part])
    places = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": places}
    with tempfile.TemporaryDirectory(prefix="torture-") as folder, ThreadPoolExecutor(asked.jobs) as pool:
        files = {part: Path(folder) / f"{part}.json" for part in parts}
        commands = [
            [sys.executable, "-P", "-m", "torture", *words, "--jobs", "1", "--only", part, "--json", str(file)]
            for part, file in files.items()
        ]
        codes = list(pool.map(lambda one: subprocess.run(one, check=False, env=environment).returncode, commands))
        for file in files.values():
            if results is not None and file.exists():
                findings.write(results, json.loads(file.read_text(encoding="utf-8")))
    if results == RESULTS and PAGE.exists():
        findings.show(RESULTS, PAGE)
    return max(codes)


def main(words: Sequence[str] | None = None) -> int:
    """Runs the parts that were asked for; the exit code says whether everything held."""
    asked = arguments(words)
    print(f"about {minutes_of(asked.only or PARTS):.0f} minutes of processor time", flush=True)
    if asked.jobs > 1:
        return side_by_side(asked, list(sys.argv[1:] if words is None else words))
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: processes are forked, which threads do not survive
    from torture import findings
    from torture.trainings import warm

    warm()
    results = asked.json or (None if asked.short else RESULTS)
    broken = 0
    for part in asked.only or PARTS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="torture-") as folder:
            settings = findings.Settings(
                folder=Path(folder),
                seed=asked.seed,
                short=asked.short,
                kills=asked.kills,
                learners=tuple(asked.learners) if asked.learners else None,
                cases=asked.cases,
                minutes=asked.minutes,
            )
            outcome = importlib.import_module(f"torture.{part}").run(settings)
        entry = findings.described(outcome, settings, started)
        print(f"{part}: {entry['counts']}, {entry['failures']} broken, {entry['seconds']} s", flush=True)
        for failure in outcome.failures:
            print(f"  broken: {failure}", flush=True)
        broken += entry["failures"]
        if results is not None:
            findings.write(results, {part: entry})
    if results == RESULTS and PAGE.exists():
        findings.show(RESULTS, PAGE)
    return 1 if broken else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # what was written is removed then
    sys.exit(main())

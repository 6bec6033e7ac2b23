"""Measures the engine, the sampler and the learners on this machine, beside MuJoCo alone and beside other simulators.

Method. Everything that is compared runs in turn, a second at a time, in rounds (A B C, C B A, A B C, ...). A figure is
the median over the rounds, a ratio the median of the rounds' own ratios, so that other work on the machine affects both
sides of a ratio alike. Run it on an idle machine all the same. The run's time is shared out among the contests; one
takes fewer rounds if its share is used up, or if after two rounds all of its figures agree within 3 %.

The raw limit is an open-loop `mujoco.rollout` on as many threads and with the same rule for cutting the work into
pieces, on the robot's own model file, whose output is thrown away. It replays the very motion that it stands beside:
the same 1000 physics steps of the same 512 worlds from the same states under the same actions, as flight is cheaper
than contact. Where falls end episodes it starts again every ten control steps from the states that the engine was in.
Robots run on Gymnasium's frame skip; an engine's figure holds observation, reward, falls and resets; actions are drawn
beforehand. "Randomised" is a model of its own for each of the 512 worlds. Other simulators run Gymnasium's
half-cheetah with the same frame skip and episodes of 200 steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

# Processes that other simulators start import this file: what is heavy is imported where it is needed.


MINUTES = 24.0
"""Of a whole run, which ends within 25 minutes with the start and the end of its last contest."""


def arguments(words: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    """Reads the command line.

    Args:
        words: The command line; this process's if None.
        names: The contests.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=None, help="rounds at the most (3; 1 with --quick)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"time for all contests (default: {MINUTES:g})")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to a file, too")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the figures of a complete run into a page")
    chosen = parser.parse_args(words)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    if chosen.minutes <= 0:
        parser.error("--minutes must be above 0")
    if chosen.write is not None and (chosen.quick or chosen.only):
        parser.error("--write takes a complete run: leave out --quick and --only")
    return chosen


def main(words: Sequence[str] | None = None) -> int:
    """Measures and prints.

    Args:
        words: The command line; this process's if None.

    Returns:
        0, or 1 if a page was asked for and the run was stopped before its end.
    """
    from bench.budget import Budget
    from bench.contests import CONTESTS
    from bench.measure import hold
    from bench.report import Machine, as_text, progress, write_json, write_page
    from bench.size import FULL, QUICK

    options = arguments(words, list(CONTESTS))
    rounds = options.rounds or (1 if options.quick else 3)
    size = QUICK if options.quick else FULL
    machine, started = Machine.here(), monotonic()
    # In their own order, whatever the command line's: peak memory is measured before anything else fills the process.
    names = [name for name in CONTESTS if options.only is None or name in options.only]
    budget, results = Budget(60 * options.minutes, len(names)), []
    with progress(len(names)) as tick, suppress(KeyboardInterrupt):  # Ctrl-C shows what is there so far
        for name in names:
            results.append(hold(name, CONTESTS[name], size, rounds, tick, budget.next()))
    text = as_text(machine, results, options.quick, (monotonic() - started) / 60)
    print(text)
    if options.json is not None:
        write_json(options.json, machine, results, rounds, options.quick)
    if options.write is None:
        return 0
    if len(results) < len(names):
        print(f"{options.write} is as it was: the run is not complete", file=sys.stderr)
        return 1
    write_page(options.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

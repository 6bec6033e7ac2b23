"""Measures the engine, the sampler and the learners on this machine, beside MuJoCo alone and beside other simulators.

Method. Everything that is compared runs in turn, a second at a time, in rounds (A B C, C B A, A B C, ...). A figure is
the median over the rounds, a ratio the median of the rounds' own ratios, so that what else a machine is doing hits both
sides of a ratio alike. Run it on an idle machine all the same.

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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Processes that other simulators start import this file: what is heavy is imported where it is needed.


def arguments(words: Sequence[str] | None, names: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=None, help="rounds of measurements (3; 1 with --quick)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to a file, too")
    chosen = parser.parse_args(words)
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def main(words: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    from bench.contests import CONTESTS
    from bench.measure import hold
    from bench.report import Machine, as_text, progress, write_json
    from bench.size import FULL, QUICK

    options = arguments(words, list(CONTESTS))
    rounds = options.rounds or (1 if options.quick else 3)
    size = QUICK if options.quick else FULL
    machine = Machine.here()
    # In their own order, whatever the command line's: peak memory is told before anything else fills the process.
    names = [name for name in CONTESTS if options.only is None or name in options.only]
    results = []
    with progress(len(names)) as tick, suppress(KeyboardInterrupt):  # Ctrl-C shows what is there so far
        for name in names:
            results.append(hold(name, CONTESTS[name], size, rounds, tick))
    print(as_text(machine, results, rounds, options.quick))
    if options.json is not None:
        write_json(options.json, machine, results, rounds, options.quick)


if __name__ == "__main__":
    main()

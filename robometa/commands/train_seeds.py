"""`robometa train --seeds`: a process for each run, one screen for all, and a stop that all of them get."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from robometa.commands.exit_codes import AT_ONCE, STOPPED
from robometa.commands.seeds_jobs import Job, Jobs
from robometa.commands.seeds_screen import Screen
from robometa.compute.parallel import processors
from robometa.errors import UserError
from robometa.escape import say, word
from robometa.registry.given import given
from robometa.suites.suite import Suite
from robometa.training.new_run import default_folder
from robometa.training.run_folder import CONFIGURATION
from robometa.training.stop_signals import STOP_SIGNALS

APART = ("help", "named", "seed", "seeds", "jobs", "folder", "torch_threads")
"""Options that a run does not get as they are."""


def train_seeds(asked: argparse.Namespace, suite: Suite, learner: str) -> int:
    """Trains a run for each seed, and returns the exit code of all.

    It is 0 if all are done, and else that of a failure, if there is one, or of the stop.

    Raises:
        UserError: If the seeds and options do not go together.
    """
    seeds = _seeds(asked)
    count = min(asked.jobs or processors(), len(seeds))
    torch_threads = asked.torch_threads or 1
    jobs = [Job(seed, _folder(asked, suite, learner, seed)) for seed in seeds]
    for job in jobs:
        job.words = _words(asked, learner, job, torch_threads)
    shares = _shares(count)
    each = f"processors for each: {len(shares[0])}, threads of torch: {torch_threads}"
    say(f"{len(seeds)} seeds, {count} at a time; {each}")
    with Screen(jobs) as screen, Jobs(jobs, shares, screen) as running, _forwarded(running):
        running.finish()
    return _summed_up(jobs, running.stops)


def _seeds(asked: argparse.Namespace) -> list[int]:
    """The seeds to train with.

    Raises:
        UserError: If there are none, one comes twice, or `--seed` is given, too.
    """
    if asked.seeds is None:
        raise UserError("--jobs needs --seeds, as in `robometa train SUITE LEARNER --seeds 0 1 2 --jobs 2`")
    if asked.seed:
        raise UserError("both --seed and --seeds are given: leave out one")
    if len({*asked.seeds}) < len(asked.seeds):
        raise UserError(f"--seeds must differ, not {' '.join(map(str, asked.seeds))}")
    return [*asked.seeds]


def _folder(asked: argparse.Namespace, suite: Suite, learner: str, seed: int) -> Path:
    """Folder of a seed's run."""
    if asked.folder is None:
        return default_folder(suite, learner, seed)
    return asked.folder.with_name(f"{asked.folder.name}-{seed}")


def _words(asked: argparse.Namespace, learner: str, job: Job, torch_threads: int) -> list[str]:
    """Words of the command line that trains one seed."""
    words = ["train", asked.suite, learner]
    for action in asked.parser._actions:
        value = getattr(asked, action.dest, None)
        if action.option_strings and action.dest not in APART and value not in (None, action.default):
            values = value if isinstance(value, list) else [] if value is True else [value]
            words += [action.option_strings[0], *map(str, values)]
    words += ["--seed", str(job.seed), "--folder", str(job.folder), "--torch-threads", str(torch_threads)]
    return [*words, *asked.learner_options]


def _shares(count: int) -> list[list[int]]:
    """Processors of each of the runs at a time."""
    known = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [*range(processors())]
    share = max(1, len(known) // count)
    return [[known[(index * share + offset) % len(known)] for offset in range(share)] for index in range(count)]


@contextmanager
def _forwarded(jobs: Jobs) -> Iterator[None]:
    """Passes stop signals on to the runs: the first two as they are, the third ends them."""

    def forward(number: int, frame: FrameType | None) -> None:
        jobs.stop()

    before = {kind: signal.signal(kind, forward) for kind in STOP_SIGNALS}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _summed_up(jobs: Sequence[Job], stops: int) -> int:
    """Prints the commands that resume unfinished runs, and returns the exit code."""
    for job in jobs:
        if job.code == 0:
            continue
        if (job.folder / CONFIGURATION).is_file() and job.code in (STOPPED, AT_ONCE):
            say(f"go on with: robometa resume {word(job.folder)}{given(job.words[2])}", error=True)
        elif job.code in (None, AT_ONCE):
            say(f"not begun: robometa {' '.join(map(word, job.words))}", error=True)
        else:
            say(f"seed {job.seed} failed with exit code {job.code}", error=True)
    codes = [job.code for job in jobs]
    failures = [code for code in codes if code not in (None, 0, STOPPED, AT_ONCE)]
    if failures:
        return max(1, *(1 if code is None or code < 0 else code for code in failures))
    if all(code == 0 for code in codes):
        return 0
    return AT_ONCE if AT_ONCE in codes and stops > 1 else STOPPED

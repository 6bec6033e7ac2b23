"""`robometa record`: its arguments and its work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from robometa import suites
from robometa.commands.arguments import Parser, _policy_arguments, _whole, count


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa record` to the parser."""
    add = command("record", "record a policy's adaptation to one task on video")
    _policy_arguments(add, shots=2)
    add.add_argument("--task", type=_whole, default=0, help="index of the task in its split (default: 0)")
    add.add_argument("--out", type=Path, help="the .mp4 or .gif to write (default: videos/POLICY-taskN.mp4 and .gif)")
    add.add_argument("--width", type=count, default=1280, help="pixels, 480 to 3840 (default: 1280)")
    add.add_argument("--height", type=count, default=480, help="pixels, 240 to 2160 (default: 480)")
    add.add_argument("--no-gif", dest="gif", action="store_false", help="write no GIF beside it")


def _record(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.video.record import record

    paths = record(
        asked.policy,
        suite=suites.load(asked.suite) if asked.suite else None,
        split=asked.split,
        task=asked.task,
        shots=asked.shots,
        seed=asked.seed,
        out=asked.out,
        width=asked.width,
        height=asked.height,
        gif=asked.gif,
        learner=asked.learner,
    )
    print("written: " + ", ".join(str(path) for path in paths))

"""`robometa replay`: its arguments and its work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from robometa.commands.arguments import Parser


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa replay` to the parser."""
    add = command("replay", "show what blew up in a simulation that diverged in a training")
    add.add_argument("dump", metavar="DUMP", type=Path, help="one of the folders in RUN/divergences")


def _replay(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.training.divergence_dumps import replay

    print("\n".join(replay(asked.dump).lines()))

"""Runs the commands of the tour in README.md and docs/getting-started.md, and writes their outputs there: `make tour`.

A block of the tour is fenced and begins with `$ robometa`. Each command runs once, in a temporary folder, in the order
of the pages. Of an output, the lines that `KEPT` names are shown; `...` stands for others.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "getting-started.md")
BLOCK = re.compile(r"^```\n\$ (robometa [^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block: its command, and the output below it."""
KEPT = {
    "train": re.compile(r"\S+ \(.* on |iteration 1/|iteration (\d+)/\1 |policy:"),
    "evaluate": re.compile(r"shot +seen +steps|before +\d+ +\d+ +-?\d|\d+ +\d+ +\d+ +-?\d|random +-\d"),
    "record": re.compile(r"written:"),
}
"""Lines of a command's output that the tour shows."""
TIMES = re.compile(r"[\d,]+ steps/s, \d+% of it sampling|(?<=  )(?:\d+ (?:h|min|s) ?)+left")
"""Parts of a line that depend on the machine and what else it does: `...` stands for them."""
COLUMNS = "110"
"""Width of the terminal, characters."""


def main() -> int:
    """Writes the outputs anew."""
    with tempfile.TemporaryDirectory() as place:
        ran: dict[str, list[str]] = {}
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            page.write_text(renewed(text, lambda words: _output(words, Path(place), ran)), encoding="utf-8")
    return 0


def renewed(text: str, output: Callable[[str], Sequence[str]]) -> str:
    """A page with the outputs of its commands.

    Args:
        text: The page.
        output: Gives the lines that a command prints.
    """
    return BLOCK.sub(lambda block: f"```\n$ {block[1]}\n{shortened(block[1], output(block[1]))}```", text)


def shortened(command: str, lines: Sequence[str]) -> str:
    """The lines of an output that the tour shows, with `...` for those between and after them."""
    kept = KEPT[command.split()[1]]
    shown: list[str] = []
    for line in lines:
        if kept.match(line):
            shown.append(TIMES.sub("...", line.rstrip()))
        elif shown and shown[-1] != "..." and line.strip():
            shown.append("...")
    return "".join(f"{line}\n" for line in shown)


def _output(command: str, place: Path, ran: dict[str, list[str]]) -> list[str]:
    """Lines that a command prints, which runs once."""
    if command not in ran:
        print(f"$ {command}", flush=True)
        words = [sys.executable, "-P", "-m", *command.split()]
        settings = {**os.environ, "COLUMNS": COLUMNS, "PYTHONPATH": str(ROOT)}
        run = subprocess.run(words, cwd=place, env=settings, capture_output=True, text=True, check=True)
        ran[command] = run.stdout.splitlines()
    return ran[command]


if __name__ == "__main__":
    sys.exit(main())

"""Output of commands on the pages, as they print it when the site is built."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

from robometa.commands.main import main

MARK = re.compile(r"<!-- output of robometa (.+?) -->\n")
COLUMNS = "94"
"""Width of the terminal that the commands print for."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts a command's output where the page has the mark for it.

    Args:
        markdown: The page.

    Returns:
        The page with the output in place of each mark.
    """
    return MARK.sub(lambda match: f"\n```text\n{output_of(match[1].split())}```\n\n", markdown)


def output_of(words: list[str]) -> str:
    """Runs a command of robometa and collects what it prints.

    Args:
        words: The command line, without the program's name.

    Returns:
        Lines without blanks at their ends.

    Raises:
        RuntimeError: If the command fails.
    """
    os.environ["COLUMNS"] = COLUMNS
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = main(words)
    if code:
        raise RuntimeError(f"robometa {' '.join(words)} ends with exit code {code}")
    return "".join(f"{line.rstrip()}\n" for line in shown.getvalue().splitlines())

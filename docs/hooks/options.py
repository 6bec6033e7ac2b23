"""A learner's options on its page, as `robometa learners NAME` prints them when the site is built."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

from robometa.commands.main import main

MARK = re.compile(r"<!-- options of (\S+) -->\n")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts a learner's options where the page has the mark for them.

    Args:
        markdown: The page.

    Returns:
        The page with the output of the command behind each mark.
    """
    return MARK.sub(lambda found: f"\n```text\n{options_of(found[1])}```\n", markdown)


def options_of(learner: str) -> str:
    """Prints a learner's options into a string.

    Args:
        learner: The learner's name.

    Returns:
        The lines below the one that names the paper.

    Raises:
        RuntimeError: If the command fails.
    """
    os.environ["COLUMNS"] = "110"
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = main(["learners", learner])
    if code:
        raise RuntimeError(f"robometa learners {learner} ends with exit code {code}")
    lines = shown.getvalue().splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("option"))
    return "".join(f"{line.rstrip()}\n" for line in lines[start:])

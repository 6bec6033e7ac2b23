"""The part of the front page that shows the table of results, written between two marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robometa import suites
from robometa.training.run_folder import CONFIGURATION
from study.rows import Row, gap_closed, on_all, on_how_many, words

PAGE, POLICIES = Path("README.md"), Path("policies")
BEGIN, END = "<!-- results of {suite}, written by make results -->\n", "<!-- end of results -->\n"


def write(suite: str, rows: list[Row], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes a suite's rows where the page has the marks for it; a page without them stays as it is.

    Args:
        suite: The suite's name.
        rows: What is known of the learners.
        options: What the plan says about each learner, as it comes out of JSON.
    """
    begin = BEGIN.format(suite=suite)
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    before, mark, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if mark and end:
        PAGE.write_text(before + mark + markdown(suite, rows, options) + end + after, encoding="utf-8")


def markdown(suite: str, rows: list[Row], options: Mapping[str, Mapping[str, Any]]) -> str:
    """The learners that train, the best after one shot first, each with its policy if that was trained so.

    What was measured on some of the tasks only stands at the end.
    """
    head = ["learner", "seeds", "before", "after one shot", "after the last", "episodes seen by then", "gap closed"]
    lines = [[*head, "training"], ["---"] * (len(head) + 1)]
    shown = [row for row in rows if row.learner != "random" and len(row.mean_action) > 1]
    for row in sorted(shown, key=lambda row: (not on_all(row, suite), -row.mean_action[1][0])):
        first, last = (row.mean_action[shot] for shot in (1, -1))
        lines.append(
            [
                linked(suite, row.learner, options[row.learner]) + on_how_many(row, suite),
                f"{len(row.seeds)}/{row.wanted}",
                words(row.mean_action[0]),
                f"**{words(first)}**",
                words(last),
                f"{row.episodes_seen[1]:g}, {row.episodes_seen[-1]:g}",
                gap_closed(row, suite),
                f"{row.environment_steps / 1e6:.1f}M steps, {row.core_minutes:.1f} core-minutes",
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def linked(suite: str, learner: str, options: Mapping[str, Any]) -> str:
    """A learner's name, leading to its policy if there is one that was trained on this suite with these options."""
    policy = POLICIES / f"{suite}-{learner}"
    path = policy / "training" / CONFIGURATION
    if not path.is_file():
        return learner
    asked = json.loads(path.read_text(encoding="utf-8"))
    same = asked["suite_hash"] == suites.load(suite).content_hash
    same = same and all(asked["config"][name] == value for name, value in options.items())
    return f"[{learner}]({policy.as_posix()}/README.md)" if same else learner

"""The part of the front page that shows the table of results, written between two marks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robometa.policies.card_tables import table as markdown_table
from robometa.reports.gap import REFERENCES
from study.plan import trained_so
from study.rows import Row, gap_closed, on_all, words

PAGE, POLICIES = Path("README.md"), Path("policies")
VARIANTS = ("fomaml", "anil", "meta-sgd", "e-maml", "reptile")
"""Variants of MAML-TRPO: their rows are on the results page only."""
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
    """Makes the table of the learners that were evaluated on all held-out tasks, the best after one shot first.

    Random actions and the variants of MAML-TRPO are left out.

    Args:
        suite: The suite's name.
        rows: What is known of the learners.
        options: What the plan says about each learner, as it comes out of JSON.

    Returns:
        Lines of Markdown: a learner, its return before and after one shot, and the gap that this closes.
    """
    lines = [["learner", "before or first episode", "after one shot", "gap closed"]]
    rows = [row for row in rows if row.learner not in ("random", *VARIANTS)]
    shown = [row for row in rows if len(row.mean_action) > 1 and on_all(row, suite)]
    for row in sorted(shown, key=lambda row: -row.mean_action[1][0]):
        episodes = f"{row.episodes_seen[1]:g} episode{'' if row.episodes_seen[1] == 1 else 's'}"
        lines.append(
            [
                linked(suite, row.learner, options[row.learner]),
                words(row.mean_action[0]) + (" first episode" if row.first_episode else ""),
                f"**{words(row.mean_action[1])}**, {episodes}",
                "reference" if row.learner in REFERENCES else gap_closed(row).partition(";")[0],
            ]
        )
    return markdown_table(lines)


def linked(suite: str, learner: str, options: Mapping[str, Any], up: str = "") -> str:
    """Links a learner's name to its policy, if one was trained on this suite with these options."""
    policy = POLICIES / f"{suite}-{learner}"
    return f"[{learner}]({up}{policy.as_posix()}/README.md)" if trained_so(policy, suite, options) else learner

"""The results on every learner's page in `docs/learners/`, written between two marks from the records."""

from __future__ import annotations

from pathlib import Path

from robometa.policies.card_tables import table as markdown_table
from robometa.reports.gap import REFERENCES
from study import front_page, plan
from study.rows import Row, gap_closed, on_how_many, row_of, words

PAGES = Path("docs") / "learners"
BEGIN, END = "<!-- results of {learner}, written by make results -->\n", "<!-- end of results -->\n"
UP = "../../"
"""From a page to the repository's root."""


def write(chosen: plan.Plan) -> None:
    """Writes the results where a page has the marks of a learner; a page without them stays as it is.

    Args:
        chosen: The plan whose records are read.
    """
    for page in sorted(PAGES.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = filled(old, chosen)
        if new != old:
            page.write_text(new, encoding="utf-8")


def filled(text: str, chosen: plan.Plan) -> str:
    """Puts the results of every learner that a page has marks for between them.

    Args:
        text: The page.
        chosen: The plan whose records are read.

    Returns:
        The page with its results as the records have them.
    """
    for learner in dict.fromkeys(cell.learner for cell in chosen.cells):
        before, mark, rest = text.partition(BEGIN.format(learner=learner))
        _, end, after = rest.partition(END)
        if mark and end:
            text = before + mark + markdown(learner, chosen) + end + after
    return text


def markdown(learner: str, chosen: plan.Plan) -> str:
    """Makes the table of a learner's results on every suite, long runs last.

    Args:
        learner: The learner's name.
        chosen: The plan whose records are read.

    Returns:
        Lines of Markdown.
    """
    head = [
        "suite",
        "seeds",
        "before or first episode",
        "after one shot",
        "after the last",
        "episodes seen",
        "gap closed",
        "training",
    ]
    lines = [head]
    cells = [cell for cell in chosen.cells if cell.learner == learner]
    for long in (False, True):
        for suite in dict.fromkeys(cell.suite for cell in cells if cell.long == long):
            row = row_of([cell for cell in cells if (cell.suite, cell.long) == (suite, long)])
            if row is not None:
                lines.append(_line(suite, row, ", one long run" if long else ""))
    policies = sorted(_policies(learner, cells))
    if len(lines) == 1:
        return "No results yet.\n"
    text = markdown_table(lines)
    best = "Policies (of several seeds the best, by training return)"
    return text + (f"\n{best}: {', '.join(policies)}.\n" if policies else "")


def _line(suite: str, row: Row, remark: str) -> list[str]:
    last = len(row.mean_action) - 1
    return [
        f"{suite}{on_how_many(row, suite)}{remark}",
        f"{len(row.seeds)}/{row.wanted}",
        words(row.mean_action[0]) + (" first episode" if row.first_episode else ""),
        words(row.mean_action[1]),
        words(row.mean_action[last]),
        ", ".join(f"{row.episodes_seen[shot]:g}" for shot in (0, 1, last)),
        "reference" if row.learner in REFERENCES else gap_closed(row),
        f"{row.environment_steps / 1e6:.1f}M steps, {row.core_minutes:.1f} core-minutes",
    ]


def _policies(learner: str, cells: list[plan.Cell]) -> set[str]:
    """Links to the policies that were trained for the table."""
    links = set()
    for cell in cells:
        name = f"{learner}-long" if cell.long else learner
        if cell.learner not in plan.UNTRAINED:
            linked = front_page.linked(cell.suite, name, cell.plain_options(), UP)
            links.add(linked.replace(f"[{name}]", f"[{cell.suite}-{name}]"))
    return {link for link in links if link.startswith("[")}

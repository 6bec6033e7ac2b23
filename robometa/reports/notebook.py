"""Reports in a notebook: as HTML, and as pandas tables."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from robometa.errors import UserError
from robometa.escape import html_table
from robometa.reports.statistics import words_of

if TYPE_CHECKING:
    import pandas

    from robometa.reports.report import Report


def html_of(report: Report) -> str:
    """The results of a report: returns, and the share of successes by the end, after every shot."""
    rows = [("shot", "episodes of the task seen", "mean action", "exploring", "success by the end")]
    for row in report.summary():
        share = row["mean_action"].get("success")
        returns = (words_of(row["mean_action"]), words_of(row["exploring"]))
        rows.append((row["label"], f"{row['episodes_seen']:g}", *returns, "" if share is None else f"{share:.0%}"))
    rows.append(("random", "", "", words_of(report.interval(report.random, 0)), ""))
    return html_table(repr(report).strip("<>"), rows)


def frame_of(report: Report, episodes: str) -> pandas.DataFrame:
    """A table with a row per episode.

    Args:
        report: The report; each row repeats its name, suite and experience.
        episodes: Its episodes as comma-separated values.
    """
    table = frame(episodes)
    for place, name in enumerate(("suite", "split", "learner", "policy")):
        table.insert(place, name, getattr(report, name))
    for name in ("steps_seen", "episodes_seen"):
        table.insert(
            int(table.columns.get_loc("shot")) + 1, name, table["shot"].map(dict(enumerate(getattr(report, name))))
        )
    return table


def frame(table: str) -> pandas.DataFrame:
    """A pandas table of comma-separated values.

    Raises:
        UserError: If pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        raise UserError("a table needs pandas: pip install 'robometa[frames]'") from None
    return pandas.read_csv(io.StringIO(table))

"""Tables of a comparison for papers and other programs: CSV, LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Literal, get_args

from robometa import escape
from robometa.errors import UserError, unknown
from robometa.reports.compare import Comparison
from robometa.reports.gap import BY_INTERQUARTILE_MEANS, BY_MEANS, BY_TASK, KEYS, REFERENCES, words_of_gap
from robometa.reports.groups import Group, Section
from robometa.reports.pooled import Interval
from robometa.reports.statistics import words_of_gain

Format = Literal["csv", "latex", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)
NUMBERS = (
    "suite",
    "learner",
    "seeds",
    "split",
    "tasks",
    "environment_steps",
    "wall_minutes",
    "core_minutes",
    "gradient_samples",
    "shot",
    "episodes_seen",
    "return",
    "return_low",
    "return_high",
    "success",
    *KEYS,
    "after_minus_control",
    "after_minus_control_low",
    "after_minus_control_high",
)
"""Columns of the CSV, which has a row for every learner and shot."""
WORDS = ("learner", "seeds", "steps", "core-min", "first episode", "after", "episodes", "success by the end")
"""Columns of the tables for reading, which have a row for every learner."""
GAPS = {
    "gap closed": BY_INTERQUARTILE_MEANS,
    "gap closed by means": BY_MEANS,
    "gap closed by task": BY_TASK,
}
"""Further columns of a suite with references, 0 % no adaptation and 100 % the oracle, and their keys in a report."""
GAIN = "after minus control"
"""Further column where a control was measured."""
FORMULA = ("=", "+", "-", "@")
"""Signs with which a text would be a formula in a spreadsheet."""


def table(comparison: Comparison, format: Format) -> str:
    """Writes the results of a comparison.

    Args:
        comparison: The learners of one or more suites.
        format: `csv`, with a row for every shot; `latex`, which needs the package booktabs; `markdown`.

    Raises:
        UserError: If there is no such format.
    """
    if format not in FORMATS:
        raise UserError(unknown("format", format, FORMATS))
    if format == "csv":
        return _csv(comparison)
    write: Callable[[Section], str] = {"latex": _latex, "markdown": _markdown}[format]
    return "\n".join(write(section) for section in comparison.sections)


def columns(section: Section) -> list[str]:
    """Columns of a suite's table for reading."""
    gain = any(_gain(group) for group in section.groups)
    succeeded = any(group.success is not None for group in section.groups)
    return [
        *WORDS[:-1],
        *(WORDS[-1:] if succeeded else []),
        *([GAIN] if gain else []),
        *(GAPS if any(group.gaps(section.suite_hash) for group in section.groups) else []),
    ]


def rows(section: Section) -> list[tuple[Group, list[str]]]:
    """Rows of a suite's table, with their cells in the order of `columns`."""
    head, rows = columns(section), []
    for group in section.groups:
        gain = [_gain(group)] if GAIN in head else []
        words = cells(group)[: len(WORDS) if WORDS[-1] in head else -1]
        rows.append((group, [*words, *gain, *(_gaps(group, section) if set(GAPS) & set(head) else [])]))
    return rows


def _gain(group: Group) -> str:
    """Mean return after the last shot minus the control's; empty if that was not measured."""
    gain = group.gain(group.shots - 1) if group.shots else None
    return "" if gain is None else words_of_gain(vars(gain) | {"mean": gain.middle})


def _gaps(group: Group, section: Section) -> list[str]:
    """Gap closed after the last shot, in each way; for one of the two references, that it is one."""
    if group.entries[0].learner in REFERENCES:
        return ["reference"] * len(GAPS)
    gaps = group.gaps(section.suite_hash)
    return [words_of_gap(gaps[-1], key) if gaps else "" for key in GAPS.values()]


def cells(group: Group) -> list[str]:
    """Cells of a row for reading, in the order of `WORDS`."""
    measured = [interval.words() for interval in group.intervals]
    seen = f"{group.measured[0].episodes_seen[-1]:g}" if group.measured else ""
    success = "" if group.success is None else percent(group.success)
    adapted = measured[-1] if len(measured) > 1 else ""
    first = measured[0] if measured else "not measured"
    minutes = group.mean("core_minutes")
    costs = [count(group.mean("steps")), "" if minutes is None else f"{minutes:.1f}"]
    return [group.label, _seeds(group), *costs, first, adapted, seen, success]


def percent(share: Interval) -> str:
    """A share in percent, with its interval."""
    if share.low is None or share.high is None:
        return f"{share.middle:.0%}"
    return f"{share.middle:.0%} [{share.low:.0%}, {share.high:.0%}]"


def count(number: float | None) -> str:
    """A large number in a few signs, such as 12.0M."""
    if number is None:
        return ""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.1f}{name}"
    return f"{number:.0f}"


def _seeds(group: Group) -> str:
    """The seeds of a row, and how many of them were measured if not all."""
    seeds = ", ".join(map(str, group.seeds))
    return seeds if len(group.measured) in (0, len(group.seeds)) else f"{seeds} ({len(group.measured)} measured)"


def _csv(comparison: Comparison) -> str:
    """A row for every learner and shot; numbers are not rounded."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(NUMBERS)
    for section in comparison.sections:
        for group in section.groups:
            names = (_cell(section.suite), _cell(group.label), " ".join(map(str, group.seeds)))
            costs = tuple(map(group.mean, ("steps", "minutes", "core_minutes", "gradient_samples")))
            if not group.measured:
                writer.writerow((*names, "", "", *costs, *[""] * (len(NUMBERS) - 5 - len(costs))))
            gaps = group.gaps(section.suite_hash)
            for shot, interval in enumerate(group.intervals):
                first = group.measured[0]
                success = group.success.middle if group.success is not None and shot == group.shots - 1 else ""
                closed = [gaps[shot][key] for key in KEYS] if gaps else [""] * len(KEYS)
                gain = group.gain(shot)
                added = [""] * 3 if gain is None else [gain.middle, gain.low, gain.high]
                ends = (interval.middle, interval.low, interval.high, success, *closed, *added)
                where = (_cell(first.split), len(first.tasks))
                writer.writerow((*names, *where, *costs, shot, first.episodes_seen[shot], *ends))
    return text.getvalue()


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    shown = escape.printable(text)
    return f"'{shown}" if shown.startswith(FORMULA) else shown


def _latex(section: Section) -> str:
    """A table with booktabs' rules."""
    head = columns(section)
    lines = [" & ".join((escape.latex(label), *map(_latex_number, numbers))) for _, (label, *numbers) in rows(section)]
    return "\n".join(
        (
            f"% {escape.latex(section.suite)}: interquartile mean of the return [95 % bootstrap interval]",
            rf"\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}",
            r"\toprule",
            " & ".join(head) + r" \\",
            r"\midrule",
            *(rf"{line} \\" for line in lines),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        )
    )


def _latex_number(text: str) -> str:
    """A cell of numbers in LaTeX, with minus signs in the place of hyphens."""
    return re.sub(r"-(?=\d)", "$-$", text.replace("%", r"\%"))


def _markdown(section: Section) -> str:
    """A table under the suite's name."""
    head = columns(section)
    lines = [f"**{escape.markdown(section.suite)}**", "", "| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    lines += [f"| {' | '.join((escape.markdown(label), *numbers))} |" for _, (label, *numbers) in rows(section)]
    return "\n".join(lines) + "\n"

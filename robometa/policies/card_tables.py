"""Tables of a card, made of the content of a report.json; a dash marks a missing number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robometa.escape import markdown
from robometa.reports import since_change as since
from robometa.reports.gap import BY_MEANS, BY_TASK, KEYS, words_of_gap
from robometa.reports.statistics import words_of, words_of_gain
from robometa.reports.terminal import shares_of

DASH = "\N{EN DASH}"
Row = Mapping[str, Any]


def returns(report: Row) -> str:
    """Returns of each shot, of random actions, and of no adaptation and the oracle if there is a reference."""
    has_gap = any(row.get(KEYS[0]) is not None for row in report["shots"])
    columns = ["shot", "episodes of the task seen", "mean action", "mean", "exploring"]
    controlled = any(row.get("control") for row in report["shots"])
    columns += ["control, mean", "after minus control"] if controlled else []
    rows = [[*columns, *(["gap closed", "gap closed by means", "gap closed by task"] if has_gap else [])]]
    for row in report["shots"]:
        gaps = [words_of_gap(row), words_of_gap(row, BY_MEANS), words_of_gap(row, BY_TASK)] if has_gap else []
        acting = row["mean_action"]
        seen = f"{row['episodes_seen']:g}"
        rows.append([_label(row), seen, words_of(acting), _number(acting), words_of(row["exploring"])])
        rows[-1] += (
            [_number(row.get("control") or {}), words_of_gain(row.get("after_minus_control"))] if controlled else []
        )
        rows[-1] += gaps
    chance = report["random"]
    rows.append(["random", "", "", _number(chance), words_of(chance)])
    known = report.get("references")
    if known is not None:
        for name, key in (("no adaptation", "no_adaptation"), ("oracle", "oracle")):
            rows.append([name, "", f"{known[key]['interquartile_mean']:.1f}", _number(known[key]), ""])
    text = table(rows)
    first = report["shots"][0]["mean_action"]
    if first.get("first_quarter") is not None:
        text += (
            f"\nWithin the first episode, mean action: return {first['first_quarter']:.1f} in its first quarter, "
            f"{first['last_quarter']:.1f} in its last.\n"
        )
    return text


def control(report: Row) -> str:
    """Explains the control, if the report has one."""
    if not any(row.get("control") for row in report["shots"]):
        return ""
    return (
        "\nControl: the same policy with its adaptation forgotten before every rollout, in the same resets. After "
        "minus control is the mean of the differences of returns: the part of the return that comes from adapting to "
        "earlier episodes"
        + ("; what the policy adapts within an episode is in both.\n" if report["adapts_within_episode"] else ".\n")
    )


def successes(report: Row) -> str:
    """Success of each shot, random actions and no adaptation; for a suite with several goals, that of each task."""
    rows = [["shot", "by the end", "at any step"]]
    rows += [[_label(row), *shares_of(row["mean_action"])] for row in report["shots"]]
    unadapted = (report.get("references") or {}).get("no_adaptation", {})
    others = [["random", *shares_of(report["random"])], ["no adaptation", *shares_of(unadapted)]]
    rows += [row for row in others if row[1:] != [DASH, DASH]]
    text = table(rows)
    if "by_name" in report:
        head = [part for row in report["shots"] for part in (_label(row), "any step")]
        lines = [["task", "goals", *head]]
        for row in report["by_name"]:
            shares = [share for shot in row["shots"] for share in shares_of(shot["mean_action"])]
            lines.append([markdown(row["task"]), str(row["goals"]), *shares])
        text += "\nOf each task, means over its goals:\n\n" + table(lines)
    return text


def since_change(report: Row) -> str:
    """Rewards around the changes of tasks, if they change."""
    change = report.get("since_change")
    if change is None:
        return ""
    columns = since.columns([change])
    return f"\n{since.title(change)}.\n\n{table([columns, since.row(change, columns)])}"


def missing(report: Row) -> str:
    """Explains the dashes, if there are any."""
    tables = returns(report) + (successes(report) if report.get("has_success") else "")
    return f"\n{DASH}: not recorded by the version that measured this.\n" if DASH in tables else ""


def gap(report: Row) -> str:
    """Explains the gap, if the report has one."""
    known = report.get("references")
    if known is None or not any(row.get(KEYS[0]) is not None for row in report["shots"]):
        return ""
    leading = known.get("tasks_with_gap", report["tasks"])
    some = "" if leading == report["tasks"] else f", here of {leading} of {report['tasks']} tasks"
    return (
        "\nGap closed: 0 % is no adaptation, 100 % the oracle, by interquartile means, by means, and as the mean of "
        f"the gaps of the tasks on which the oracle leads by three standard errors{some}; the "
        f"interval resamples this policy's episodes and both references ({markdown(known['source'])}).\n"
    )


def _label(row: Row) -> str:
    return str(row["label"] if row["shot"] == 0 else f"after shot {row['shot']}")


def _number(row: Row) -> str:
    return DASH if row.get("mean") is None else f"{row['mean']:.1f}"


def table(rows: Sequence[Iterable[str]]) -> str:
    """A Markdown table, the first row its head; short rows are filled up."""
    lines = [list(row) for row in rows]
    width = len(lines[0])
    lines.insert(1, ["---"] * width)
    return "".join("| " + " | ".join([*line, *[""] * (width - len(line))]) + " |\n" for line in lines)

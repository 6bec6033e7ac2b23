"""A comparison as one HTML file that opens from disk: figures, tables and videos are inside, no script, no network."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robometa import escape
from robometa.reports import curve_figures, export, figures, probe_figure, videos
from robometa.reports.compare import Comparison
from robometa.reports.entries import Entry
from robometa.reports.groups import Group, Section, shown
from robometa.storage import atomic
from robometa.storage.paths import require_page, unwritable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
MAX_TASK_ROWS = 200
"""Most rows of the table of tasks."""


@dataclass(frozen=True)
class Video:
    """A video on a page."""

    label: str
    seed: int
    name: str
    markup: Markup | None
    """The video itself; None if it is too large to be embedded."""


def page(comparison: Comparison) -> str:
    """The whole page."""
    from markupsafe import Markup

    draw = (
        *(curve_figures.curves, curve_figures.held_out, figures.adaptation, figures.within_episode),
        *(figures.since_change, figures.differences, figures.tasks, probe_figure.probes),
    )
    left = videos.MAX_VIDEOS_BYTES
    parts = []
    for section in comparison.sections:
        drawn = {one.__name__: Markup(figure) for one in draw if (figure := one(section)) is not None}
        shown_videos, left = _videos(section, left)
        parts.append(
            {
                "section": section,
                "columns": export.columns(section),
                "rows": export.rows(section),
                "figures": drawn,
                "videos": shown_videos,
                "tasks": _tasks(section),
            }
        )
    one = len(comparison.groups) == 1
    title = f"{comparison.groups[0].label} on {comparison.sections[0].suite}" if one else "Comparison"
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title,
            comparison=comparison,
            parts=parts,
            gaps=tuple(export.GAPS),
            gain=export.GAIN,
            max_rows=MAX_TASK_ROWS,
        )
    )


def save(comparison: Comparison, path: Path) -> Path:
    """Writes the page; returns its path.

    Raises:
        UserError: If the path does not end in .html, or cannot be written.
    """
    require_page(path)
    try:
        atomic.replace_file(path, page(comparison).encode())
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def table(comparison: Comparison) -> str:
    """The results alone, for a notebook."""
    template = environment().get_template("table.html")
    parts = [(section, export.columns(section), export.rows(section)) for section in comparison.sections]
    return template.render(parts=parts)


@functools.cache
def environment(folder: Path = TEMPLATES) -> Environment:
    """Templates of a folder, on top of this room's, that escape whatever they show."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": export.count, "option": shown}
    return environment


def _printable(value: Any) -> Any:
    """Writes out control characters, but for line breaks, numbers and what is HTML already."""
    return value if hasattr(value, "__html__") or isinstance(value, int | float) else escape.lines(value)


def _videos(section: Section, left: int) -> tuple[list[Video], int]:
    """Videos of a suite; those that are too large, or beyond `left` bytes in all, are named only."""
    on_page = []
    for group in section.groups:
        for entry in group.entries:
            for path in entry.videos:
                uri = videos.data_uri(path, min(left, videos.MAX_VIDEO_BYTES))
                left -= 0 if uri is None else len(uri)
                on_page.append(_video(group, entry, path, uri))
    return on_page, max(left, 0)


def _video(group: Group, entry: Entry, path: Path, uri: str | None) -> Video:
    from markupsafe import Markup

    markup = None if uri is None else Markup(videos.markup(path, uri))
    return Video(group.label, entry.seed, path.name, markup)


def _tasks(section: Section) -> dict[str, Any] | None:
    """Return of every task before and after, for all rows on the same tasks as the first; None without reports."""
    if not section.measured:
        return None
    first = section.measured[0]
    groups = [group for group in section.measured if group.tasks == first.tasks]
    columns = [(group.by_task(0), group.by_task(-1)) for group in groups]
    rows = [
        (name, [f"{value[index]:.1f}" for pair in columns for value in pair])
        for index, name in enumerate(first.tasks[:MAX_TASK_ROWS])
    ]
    return {"groups": groups, "rows": rows, "count": len(first.tasks)}

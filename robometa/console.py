"""Rich consoles and tables that show every text as it is: no markup, no control characters, nothing cut off."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from robometa.escape import lines

PROSE_WIDTH = 24
"""Least width of a column of prose, characters."""


class PlainConsole(Console):
    """A console for untrusted text; styles come from `Text` objects only, such as those of `styled`."""

    def __init__(self, **settings: Any) -> None:
        """Makes a console without highlighting."""
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Makes the text that is shown for a string, in a table too."""
        return super().render_str(lines(text), **settings | {"markup": False, "emoji": False, "highlight": False})


class WholeTable(Table):
    """A table without lines whose cells stay whole on a narrow terminal.

    Headers and prose wrap between words. Columns that do not fit follow below, beside the first column again.
    """

    def __init__(
        self, *columns: str, prose: Collection[str] = (), right: Collection[str] = (), title: str | None = None
    ) -> None:
        """Makes a table without rows.

        Args:
            columns: Headers.
            prose: Headers of the columns with text that may wrap.
            right: Headers of the columns that are aligned on the right.
            title: Line above the table.
        """
        super().__init__(
            *(Column(name, overflow="fold", justify="right" if name in right else "left") for name in columns),
            box=None,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            header_style="bold",
            title=title,
            title_justify="left",
        )
        self._prose = prose

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Renders the table, in parts where it is wider than the console."""
        width = options.max_width
        natural = [_longest(_texts(column), "\n") + 1 for column in self.columns]
        if sum(natural) <= width:
            yield from super().__rich_console__(console, options)
            return
        most = [max(1, width // 2), *[max(1, width - min(natural[0], width // 2))] * (len(natural) - 1)]
        least = [min(self._least(column), room) for column, room in zip(self.columns, most, strict=True)]
        for number, part in enumerate(_parts(least, width)):
            room, widths = width - sum(least[index] for index in part), dict[int, int]()
            for index in reversed(part):
                widths[index] = least[index] + max(0, min(room, natural[index] - least[index]))
                room -= widths[index] - least[index]
            if number:
                yield ""
            yield from self._part(widths, part, first=number == 0).__rich_console__(console, options)

    def _least(self, column: Column) -> int:
        """Least width of a column, with the space after it, that breaks no word, and no cell that is not prose."""
        header = max(map(cell_len, str(column.header).split()), default=0)
        if column.header in self._prose:
            texts = _texts(column)
            return max(header, _longest(texts, None), min(PROSE_WIDTH, _longest(texts, "\n"))) + 1
        return max(header, _longest(map(str, column.cells), "\n")) + 1

    def _part(self, widths: Mapping[int, int], part: Sequence[int], first: bool) -> Table:
        """The table of some columns."""
        table = Table(box=None, pad_edge=False, padding=self.padding, header_style="bold", title_justify="left")
        table.title, table.show_header = self.title if first else None, self.show_header
        columns = [self.columns[index] for index in part]
        for index, column in zip(part, columns, strict=True):
            table.add_column(column.header, overflow="fold", justify=column.justify, width=max(1, widths[index] - 1))
        for cells in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*cells)
        return table


def _texts(column: Column) -> list[str]:
    """Header and cells of a column."""
    return [str(column.header), *map(str, column.cells)]


def _longest(texts: Iterable[str], between: str | None) -> int:
    """Length of the longest piece of texts, which `between` divides; None stands for any space."""
    return max((cell_len(piece) for text in texts for piece in text.split(between)), default=0)


def _parts(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Indices of the columns of each part: the first column, and as many others as fit."""
    part = [0]
    for index in range(1, len(widths)):
        if len(part) > 1 and sum(widths[one] for one in part) + widths[index] > room:
            yield part
            part = [0]
        part.append(index)
    yield part


def styled(text: object, style: str = "bold") -> Text:
    """A text in a style."""
    return Text(lines(text), style=style)

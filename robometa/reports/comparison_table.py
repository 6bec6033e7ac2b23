"""A comparison on the terminal."""

from __future__ import annotations

from rich.text import Text

from robometa.console import PlainConsole, WholeTable, styled
from robometa.reports import export
from robometa.reports.compare import Comparison
from robometa.reports.groups import Section
from robometa.reports.since_change import TITLE
from robometa.reports.terminal import since_change_table


def print_comparison(comparison: Comparison) -> None:
    """Prints the results of every suite, the probabilities of improvement and the options that differ."""
    console = PlainConsole()
    for section in comparison.sections:
        columns = export.columns(section)
        scale = "; gap closed: 0 % no adaptation, 100 % oracle" if set(export.GAPS) & set(columns) else ""
        title = (
            styled(section.suite),
            f": return with mean actions, interquartile mean [95 % bootstrap interval]{scale}",
        )
        console.print(Text.assemble(*title))
        table = WholeTable(*columns)
        for _, cells in export.rows(section):
            table.add_row(*cells)
        console.print(table)
        _print_rest(console, section)
    for note in comparison.notes:
        console.print(Text.assemble(("note: ", "bold"), note))


def _print_rest(console: PlainConsole, section: Section) -> None:
    """Prints everything below the results of a suite."""
    if section.changes:
        console.print(f"\n{TITLE}")
        console.print(since_change_table(section.changes))
    if section.improvements:
        console.print("\nprobability that the first scores more than the second on a task")
        table = WholeTable("first", "second", "probability")
        for one, other, share in section.improvements:
            table.add_row(one.label, other.label, share.words(2))
        console.print(table)
    rows = section.differing()
    if rows:
        console.print("\ndiffering options")
        table = WholeTable("option", *(group.label for group in section.groups))
        for name, values in rows:
            table.add_row(name, *values)
        console.print(table)
    console.print("")

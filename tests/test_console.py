"""Tables on narrow terminals."""

import io

import pytest

from robometa.console import PlainConsole, WholeTable

CELLS = ("half-cheetah-velocity-pearl", "-207.4 [-207.8, -207.0]", "-101.7 [-103.0, -100.4]", "30% [28, 31]")
TITLES = ("run", "before", "after one shot", "gap closed by means")


def shown(table: WholeTable, width: int) -> list[str]:
    console = PlainConsole(file=io.StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def measured() -> WholeTable:
    table = WholeTable(*TITLES)
    table.add_row(*CELLS)
    return table


def test_a_table_that_fits_has_one_part():
    header, row = shown(measured(), 110)
    assert header.startswith("run ")
    assert all(cell in row for cell in CELLS)


@pytest.mark.parametrize("width", [80, 60, 56])
def test_no_cell_is_broken_or_cut_off_on_a_narrow_console(width):
    lines = shown(measured(), width)
    assert all(len(line) <= width for line in lines)
    assert all(any(cell in line for line in lines) for cell in CELLS)
    parts = "\n".join(lines).split("\n\n")
    assert len(parts) > 1
    assert all(CELLS[0] in part for part in parts)


def test_prose_wraps_between_words_beside_the_other_columns():
    table = WholeTable("learner", "about", prose=("about",))
    table.add_row("rl2", "Learns a recurrent policy whose memory is what it knows of the task.")
    lines = shown(table, 40)
    assert max(map(len, lines)) <= 40
    assert " ".join(" ".join(lines[1:]).split()).startswith("rl2 Learns a recurrent policy whose memory")


def test_a_first_column_that_is_wider_than_the_console_is_folded():
    table = WholeTable("run", "state", "return")
    table.add_row("runs/" + "x" * 90, "done", "-17.0")
    lines = shown(table, 60)
    assert max(map(len, lines)) <= 60
    assert sum(line.count("x") for line in lines) == 90
    assert any("-17.0" in line for line in lines)


def test_a_title_stands_above_the_first_part_only():
    table = WholeTable(*TITLES, title="finals")
    table.add_row(*CELLS)
    assert shown(table, 60).count("finals") == 1

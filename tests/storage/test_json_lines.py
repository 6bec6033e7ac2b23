"""Tables of JSON lines: whole lines or none, whatever the disk does."""

import errno
import io
import os

import pytest

from robometa.errors import UserError
from robometa.storage.json_lines import Lines
from robometa.storage.open_folder import OpenFolder


@pytest.fixture
def table(tmp_path):
    """A table with two lines."""
    lines = Lines(tmp_path / "metrics.jsonl")
    for iteration in range(2):
        lines.append({"iteration": iteration, "loss": 0.1 + iteration})
    return lines


class Full(io.FileIO):
    """A file on a disk that takes so many bytes more."""

    room = 10

    def write(self, content):
        """Writes what there is room for."""
        taken = bytes(content)[: type(self).room]
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        type(self).room -= len(taken)
        return super().write(taken)


def test_a_full_disk_leaves_no_half_line_and_the_line_is_written_later(table, monkeypatch):
    before = table.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Full, "room", 10)
        patched.setattr(OpenFolder, "file", lambda folder, name, mode, buffering: Full(folder.path / name, mode))
        with pytest.raises(OSError, match="No space left"):
            table.append({"iteration": 2, "loss": 2.1})
    assert table.path.read_bytes() == before
    table.append({"iteration": 3, "loss": 3.1})
    assert [row["iteration"] for row in table.rows()] == [0, 1, 2, 3]


def test_a_line_that_was_cut_short_is_passed_over_and_cut_off(table):
    with table.path.open("ab") as file:
        file.write(b'{"iteration": 2, "lo\xc3')
    assert len(list(table.rows())) == 2
    table.cut(2)
    assert table.path.read_bytes().endswith(b"1.1}\n")


def test_cutting_changes_no_byte_of_what_stays(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"iteration":0,   "loss":1.50}\n{"iteration": 1}\n')
    Lines(path).cut(1)
    assert path.read_bytes() == b'{"iteration":0,   "loss":1.50}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"iteration": "many"}',
        b'{"iteration": 2, "loss": "x"}',
        b'{"iteration": 2, "loss": NaN}',
        b'{"iteration": 1}',
        b'{"iteration": %d}' % 10**30,
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_told_with_its_number(table, line):
    with table.path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged in line 3"):
        list(table.rows())


def test_what_is_no_number_is_never_written(table):
    with pytest.raises(ValueError, match="not JSON compliant"):
        table.append({"iteration": 2, "loss": float("nan")})
    assert len(list(table.rows())) == 2

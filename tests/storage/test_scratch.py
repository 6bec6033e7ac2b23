"""Temporary folders: private, gone at the end, and removed for a process that was killed."""

import stat
import tempfile

import pytest

from robometa.storage.scratch import NAME, scratch


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_gone_at_the_end(place):
    with scratch() as folder:
        assert folder.parent == place
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "below").mkdir()
        (folder / "below" / "file").write_text("x")
    assert list(place.iterdir()) == []


def test_those_of_killed_processes_go_and_those_in_use_stay(place):
    dead, other = place / f".{NAME}.0123456789abcdef.writing", place / f".{NAME}.mine"
    for folder in (dead, other):
        folder.mkdir()
        (folder / "file").write_text("x")
    with scratch() as first, scratch() as second:
        assert first != second
        assert first.exists()
        assert other.exists()
        assert not dead.exists()


def test_a_link_in_its_name_is_not_followed(place, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "file").write_text("x")
    (place / f".{NAME}.0123456789abcdef.writing").symlink_to(outside)
    with scratch():
        assert (outside / "file").exists()
    assert (outside / "file").exists()

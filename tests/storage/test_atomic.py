"""Writing aside: no link is followed, no other folder is reached, what is dead is removed and what is alive is not."""

import errno
import fcntl
import os
import re
from contextlib import ExitStack

import pytest

from robometa.errors import FolderGoneError, UserError
from robometa.storage import atomic
from robometa.storage.open_folder import opened


@pytest.fixture
def folder(tmp_path):
    """A folder, open."""
    (tmp_path / "folder").mkdir()
    with opened(tmp_path / "folder") as folder:
        yield folder


def made(parent, name, text="new", publish=atomic.publish):
    """Writes a folder of one file aside and publishes it."""
    with atomic.aside(parent, name) as aside:
        atomic.write(aside, "text", text.encode())
        publish(parent, aside, name)


def test_a_link_is_replaced_and_not_followed(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    for name in ("card", ".card.writing"):
        (folder.path / name).symlink_to(outside)
    atomic.replace_file(folder.path / "card", b"new")
    assert outside.read_text() == "mine"
    assert not (folder.path / "card").is_symlink()
    assert (folder.path / "card").read_bytes() == b"new"
    assert sorted(path.name for path in folder.path.iterdir()) == [".card.writing", "card"]


def test_a_name_that_is_foreseen_is_not_written_through(folder, tmp_path, monkeypatch):
    """Even if somebody could foresee the random name."""
    monkeypatch.setattr(atomic, "_aside_name", lambda name: f".{name}.foreseen.writing")
    (tmp_path / "outside").write_text("mine")
    (folder.path / ".card.foreseen.writing").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        atomic.replace(folder, "card", b"new")
    assert (tmp_path / "outside").read_text() == "mine"


def test_a_folder_that_was_moved_or_replaced_is_written_no_more(folder, tmp_path):
    folder.path.rename(tmp_path / "moved")
    for again in (False, True):
        if again:
            folder.path.mkdir()
        with pytest.raises(FolderGoneError, match="folder was moved, deleted or replaced"):
            atomic.replace(folder, "card", b"new")
        with pytest.raises(FolderGoneError):
            made(folder, "policy")
    assert not list(folder.path.iterdir())
    assert not list((tmp_path / "moved").iterdir())


@pytest.mark.parametrize("there", ["a folder", "a file", "a link"])
def test_publishing_fails_where_something_is(folder, there, tmp_path):
    place = folder.path / "policy"
    if there == "a folder":
        made(folder, "policy", "old")
    elif there == "a file":
        place.write_text("old")
    else:
        place.symlink_to(tmp_path)
    with pytest.raises(FileExistsError):
        made(folder, "policy")
    assert [path.name for path in folder.path.iterdir()] == ["policy"]
    made(folder, "policy", publish=atomic.publish_over)
    assert (place / "text").read_text() == "new"
    assert not place.is_symlink()
    assert [path.name for path in folder.path.iterdir()] == ["policy"]


def test_planted_links_at_the_old_folders_name_lead_nowhere(folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "text").write_text("mine")
    made(folder, "policy", "old")
    (folder.path / ".policy.old").symlink_to(tmp_path / "outside")
    made(folder, "policy", publish=atomic.publish_over)
    assert (tmp_path / "outside" / "text").read_text() == "mine"
    assert [path.name for path in folder.path.iterdir()] == ["policy"]


def test_what_a_killed_process_wrote_aside_is_removed_and_what_is_being_written_is_not(folder):
    dead = folder.path / ".policy.0123456789abcdef.writing"
    dead.mkdir()
    with atomic.aside(folder, "policy") as alive:
        assert not dead.exists()
        made(folder, "policy")
        assert alive.path.is_dir()
    assert [path.name for path in folder.path.iterdir()] == ["policy"]


def test_a_replacement_waits_for_a_reader_and_says_so_in_the_end(folder, monkeypatch):
    monkeypatch.setattr("robometa.storage.open_folder.OpenFolder.lock.__defaults__", (fcntl.LOCK_EX, 0.05))
    made(folder, "policy", "old")
    with atomic.locked(folder.path / "policy", fcntl.LOCK_SH), pytest.raises(UserError, match="by another process"):
        made(folder, "policy", publish=atomic.publish_over)
    assert (folder.path / "policy" / "text").read_text() == "old"
    made(folder, "policy", publish=atomic.publish_over)


def test_a_lock_is_that_of_the_folder_at_the_path(folder):
    made(folder, "policy", "old")
    with ExitStack() as stack:
        held = stack.enter_context(atomic.locked(folder.path / "policy"))
        assert os.path.samestat(os.fstat(held.descriptor), (folder.path / "policy").stat())
        (folder.path / "policy").rename(folder.path / "moved")
        made(folder, "policy")
        with atomic.locked(folder.path / "policy") as other:  # needs no lock of the old one
            assert not os.path.samestat(os.fstat(held.descriptor), os.fstat(other.descriptor))


def test_what_is_gone_is_told_as_such(folder):
    with pytest.raises(FileNotFoundError), atomic.locked(folder.path / "nothing"):
        pass
    (folder.path / "dangling").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError), atomic.locked(folder.path / "dangling"):
        pass


def test_a_file_that_is_tidied_away_while_it_is_written_is_written_again(folder, monkeypatch):
    writes = []

    def write(place, name, content):
        writes.append(name)
        digest = once(place, name, content)
        if len(writes) == 1:
            place.remove_leftovers(atomic.ASIDE)
        return digest

    once = atomic.write
    monkeypatch.setattr(atomic, "write", write)
    atomic.replace(folder, "page.html", b"new")
    assert (folder.path / "page.html").read_bytes() == b"new"
    assert len(writes) == 2
    assert folder.names() == ["page.html"]


def test_a_folder_that_is_being_written_is_no_leftover(folder):
    with atomic.aside(folder, "export") as aside:
        atomic.write(aside, "text", b"new")
        (folder.path / ".other.0123456789abcdef.writing").mkdir()
        folder.remove_leftovers(atomic.ASIDE)
        assert folder.names() == [aside.path.name]
        atomic.publish(folder, aside, "export")
    assert (folder.path / "export" / "text").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("way", "error"),
    [("file", NotADirectoryError), ("file/below", NotADirectoryError), ("dangling", FileNotFoundError)],
)
def test_what_is_in_the_way_of_a_folder_is_not_taken_for_the_folder(tmp_path, way, error):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(error), opened(tmp_path / way, create=True):
        pass


def test_a_folder_is_made_with_those_above_it(tmp_path):
    for _ in range(2):
        with opened(tmp_path / "above" / "below", create=True) as folder:
            assert folder.is_at_its_path()


def test_a_full_disk_is_told_with_the_file(folder, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=re.escape(str(folder.path))):
        atomic.replace(folder, "report.json", b"new")
    assert folder.names() == []


def test_a_file_that_a_killed_process_wrote_aside_is_removed_and_one_that_is_being_written_is_not(folder, monkeypatch):
    (folder.path / ".page.html.0123456789abcdef.writing").write_text("half")
    (folder.path / ".other.html.0123456789abcdef.writing").write_text("of another name")
    os.mkfifo(folder.path / ".page.html.0123456789abcdee.writing")  # nobody writes it: opening it must not wait
    flush, alive = os.fsync, []

    def replace_another(descriptor):
        if not alive:
            alive.append([name for name in folder.names() if name.startswith(".page")])
            atomic.replace(folder, "page.html", b"another's")
            assert alive[0][0] in folder.names()
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", replace_another)
    atomic.replace(folder, "page.html", b"new")
    assert len(alive[0]) == 1
    assert (folder.path / "page.html").read_bytes() == b"new"
    assert sorted(folder.names()) == [".other.html.0123456789abcdef.writing", "page.html"]

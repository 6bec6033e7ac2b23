"""Files that are read: on a disk, and of the folder that a name is in."""

import errno
import os
from pathlib import Path

import pytest

from robometa.errors import UserError
from robometa.storage import atomic
from robometa.storage.json_lines import Lines
from robometa.storage.paths import (
    ASIDE_BYTES,
    MAX_NAME_BYTES,
    beside,
    checked,
    is_own_file,
    is_plain_file,
    require_nameable,
    require_replaceable,
    require_writable,
    unwritable,
)
from robometa.training.run_folder import RunFolder

ENDLESS = "/proc/kcore" if Path("/proc/kcore").exists() else "/proc/version"


def test_a_plain_file_is_on_a_disk(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "endless").symlink_to(ENDLESS)
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    assert is_plain_file(tmp_path / "file")
    assert is_plain_file(tmp_path / "link")
    names = ("endless", "circle", "pipe", "missing", "x" * 300, "x\0y", ".")
    assert not any(is_plain_file(tmp_path / name) for name in names)


def test_an_own_file_is_reached_through_no_link_in_the_folder(tmp_path):
    (tmp_path / "real" / "below").mkdir(parents=True)
    for name in ("a", "below/b"):
        (tmp_path / "real" / name).write_text("x")
    (tmp_path / "given").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to("a")
    (tmp_path / "real" / "elsewhere").symlink_to("below")
    (tmp_path / "outside").write_text("x")
    folder = tmp_path / "given"
    assert is_own_file(folder, "a")
    assert is_own_file(folder, "below/b")
    for name in ("link", "elsewhere/b", "../outside", str(tmp_path / "outside"), "x\0y", "missing", ENDLESS):
        assert not is_own_file(folder, name), name


def test_a_run_is_not_read_through_links(tmp_path):
    for name in ("run.json", "metrics.jsonl"):
        (tmp_path / name).symlink_to(ENDLESS)
    with pytest.raises(UserError, match=r"run\.json is damaged: it is no file, is a link"):
        RunFolder(tmp_path).configuration()
    with pytest.raises(UserError, match=r"metrics\.jsonl is damaged: it is no file, or a link"):
        list(Lines(tmp_path / "metrics.jsonl").rows())


def test_only_folders_named_by_a_number_are_checkpoints(tmp_path):
    for name in ("0000002", "0000010", "0x", "12 of mine", "3", "9" * 30):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert [path.name for path in RunFolder(tmp_path).checkpoints()] == ["0000002", "0000010"]


def test_a_default_place_goes_through_no_link_but_that_of_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").symlink_to("elsewhere")
    assert beside("runs", "probes", "mine") == Path("runs/probes/mine")
    (tmp_path / "elsewhere" / "probes").symlink_to(tmp_path)
    with pytest.raises(UserError, match="runs/probes is a link: name the folder to write by --out"):
        beside("runs", "probes", "mine")
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "mine").symlink_to(tmp_path)
    with pytest.raises(UserError, match="exports/mine is a link"):
        beside("exports", "mine")


@pytest.mark.parametrize("way", ["file", "file/below", "loop", "loop/below", "dangling"])
def test_what_is_in_the_way_is_told_before_anything_is_computed(tmp_path, way):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UserError, match="is not a folder that can be written to"):
        require_writable(tmp_path / way)
    require_writable(tmp_path)
    require_writable(tmp_path / "new" / "below")


def test_a_full_disk_is_a_failure_and_no_mistake():
    full = unwritable(Path("place"), OSError(errno.ENOSPC, "No space left on device", "place/.hidden"))
    assert isinstance(full, OSError)
    assert str(full) == "[Errno 28] No space left on device: 'place'"
    denied = unwritable(Path("place"), OSError(errno.EACCES, "Permission denied"))
    assert isinstance(denied, UserError)
    assert str(denied) == "place cannot be written: Permission denied"


def test_a_device_or_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "broken").symlink_to("gone")
    (tmp_path / "file").touch()
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null"), Path("/dev/stdout"), Path("/dev/new")):
        with pytest.raises(UserError, match="is a device or a pipe"):
            require_replaceable(path)
    for name in ("broken", "file", "new"):
        require_replaceable(tmp_path / name)


@pytest.mark.parametrize("missing", [os.W_OK, os.X_OK])
def test_a_folder_needs_both_permissions_that_a_new_file_in_it_takes(tmp_path, monkeypatch, missing):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & missing)  # root has them all
    with pytest.raises(UserError, match="is not a folder that can be written to"):
        require_writable(tmp_path / "new")
    with pytest.raises(UserError, match="is not a folder that can be written to"):
        require_replaceable(tmp_path / "new")


def test_the_longest_name_leaves_room_for_the_hidden_one(tmp_path):
    path = require_nameable(tmp_path / ("a" * (MAX_NAME_BYTES - ASIDE_BYTES)))
    atomic.replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(UserError, match="at most 229 bytes"):
        require_nameable(path.with_name(f"{path.name}a"))
    with pytest.raises(UserError, match="at most 229 bytes"):
        require_writable(path.with_name(f"{path.name}b"))
    path.with_name("b" * MAX_NAME_BYTES).mkdir()
    require_writable(path.with_name("b" * MAX_NAME_BYTES))  # it is there, so nothing is made
    assert checked(path.with_name("a" * MAX_NAME_BYTES))  # what is only read may have any name
    with pytest.raises(UserError, match="a name in it"):
        checked(path.with_name("a" * (MAX_NAME_BYTES + 1)))

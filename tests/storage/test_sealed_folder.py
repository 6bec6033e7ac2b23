"""Sealed folders: any flipped bit is noticed, whatever breaks off leaves a whole folder, shards are shared safely."""

import hashlib
import json
import os
import random
import shutil

import pytest
import torch
from conftest import same_tensors

from robometa.errors import UserError
from robometa.storage import sealed_folder, shards
from robometa.training.run_folder import Progress, RunFolder, Saved

LARGE = shards.SHARD_BYTES // 4 + 5
"""Numbers of a tensor that takes two shards."""


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "weights": torch.randn(4, 3, generator=generator),
        "ring": torch.randn(LARGE, generator=generator),
        "flags": torch.zeros(2 * shards.SHARD_BYTES + 1, dtype=torch.bool),
        "wide": torch.randn(LARGE, 2, generator=generator, dtype=torch.float64).T,
    }


@pytest.fixture
def folder(tmp_path):
    """A sealed folder with texts and with tensors in shards."""
    path = tmp_path / "sealed"
    sealed_folder.save(
        path, tensors(), {"kind": "thing", "rate": 1e-05, "name": "café"}, {"README.md": "a card\n"}, sharded=True
    )
    return path


def test_what_was_saved_in_shards_comes_back(folder):
    found, manifest = sealed_folder.load(folder, "thing")
    assert same_tensors(found, tensors())
    assert {name: tensor.dtype for name, tensor in found.items()} == {
        name: tensor.dtype for name, tensor in tensors().items()
    }
    assert manifest["rate"] == 1e-05
    # weights are in the table, the others in shards, of which the all-zero ones are one file
    assert set(manifest["pieces"]) == {"ring", "flags", "wide"}
    assert len(manifest["pieces"]["flags"]["files"]) == 3
    assert len(set(manifest["pieces"]["flags"]["files"])) == 2


@pytest.mark.slow
def test_every_flipped_bit_of_every_file_is_noticed(folder, capsys):
    """Of small files every byte, one bit of each; of large ones a hundred places. Texts are warned of."""
    drawn = random.Random(0)
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        places = range(len(content)) if len(content) < 2500 else drawn.sample(range(len(content)), 100)
        for place in places:
            damaged = bytearray(content)
            damaged[place] ^= 1 << drawn.randrange(8)
            path.write_bytes(damaged)
            if path.name == "README.md":
                sealed_folder.load(folder, "thing")
                assert capsys.readouterr().err.startswith(f"warning: {path} was altered or cut short")
            else:
                with pytest.raises(UserError, match="sealed"):
                    sealed_folder.load(folder, "thing")
        path.write_bytes(content)
    sealed_folder.load(folder, "thing")
    assert capsys.readouterr().err == ""


def test_a_manifest_that_says_the_same_in_other_bytes_is_refused(folder):
    """`1e-05` and `1E-05` are one bit and no meaning apart."""
    path = folder / sealed_folder.MANIFEST
    text = path.read_bytes()
    for other in (text.replace(b"1e-05", b"1E-05"), text + b"\n", json.dumps(json.loads(text)).encode()):
        assert json.loads(other) == json.loads(text)
        path.write_bytes(other)
        with pytest.raises(UserError, match="altered or cut short"):
            sealed_folder.load(folder, "thing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": {"../outside": "0" * 64}}, "lacks ../outside|does not list"),
        ({"files": {sealed_folder.TENSORS: None}}, "altered"),
        ({"files": []}, "damaged"),
        ({"files": None}, "damaged"),
        ({"pieces": {"a": {"dtype": "float32", "shape": [1 << 60], "files": []}}}, "shards of 0 bytes"),
        ({"pieces": {"a": {"dtype": "float32", "shape": [-1, -1], "files": []}}}, "shards of 0 bytes"),
        ({"pieces": {"a": {"dtype": "object", "shape": [1], "files": []}}}, "unknown dtype: 'object'"),
        ({"pieces": {"a": {"dtype": "float32", "shape": [1], "files": ["/dev/zero"]}}}, "lacks the shard"),
        ({"pieces": 3}, "damaged"),
    ],
)
def test_a_forged_manifest_is_refused(folder, change, message):
    (folder.parent / "outside").write_text("outside")
    sealed_folder.write_manifest(folder, sealed_folder.read_manifest(folder) | change)
    with pytest.raises(UserError, match=message):
        sealed_folder.load(folder, "thing")


def test_a_manifest_of_any_size_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(sealed_folder, "MAX_MANIFEST_BYTES", 100)
    with pytest.raises(UserError, match="more than 100 bytes"):
        sealed_folder.load(folder, "thing")


class Crash(BaseException):
    """The machine goes away."""


def crashing(monkeypatch, after):
    """Ends everything at one of the flushes or renames, and tells how many there were."""
    count = [0]

    def counted(function):
        def call(*arguments, **words):
            count[0] += 1
            if count[0] > after:
                raise Crash
            return function(*arguments, **words)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(os, "rename", counted(os.rename))
    monkeypatch.setattr(os, "replace", counted(os.replace))
    # nothing is tidied up by a machine that has gone away
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **words: None)
    return count


def test_whenever_a_replacement_breaks_off_one_whole_folder_is_found(tmp_path, monkeypatch):
    old, new = {"a": torch.zeros(3)}, {"a": torch.ones(3)}
    found, steps = set(), 0
    while True:
        folder = tmp_path / str(steps) / "policy"
        folder.parent.mkdir()
        sealed_folder.save(folder, old, {"kind": "thing"}, {"README.md": "old"})
        finished = False
        with monkeypatch.context() as patched:
            crashing(patched, steps)
            try:
                sealed_folder.save(folder, new, {"kind": "thing"}, {"README.md": "new"})
                finished = True
            except Crash:
                pass
        state = sealed_folder.load(folder, "thing")[0]
        assert same_tensors(state, old) or same_tensors(state, new)
        found.add(float(state["a"][0]))
        sealed_folder.save(folder, new, {"kind": "thing"})  # and the next save goes through
        assert same_tensors(sealed_folder.load(folder, "thing")[0], new)
        if finished:
            break
        steps += 1
    assert found == {0.0, 1.0}
    assert steps >= 6  # three files, the folder, two renames


def test_killed_between_the_two_renames_the_old_folder_comes_back(tmp_path):
    folder = tmp_path / "policy"
    sealed_folder.save(folder, {"a": torch.zeros(3)}, {"kind": "thing"})
    folder.rename(tmp_path / ".policy.old")
    assert same_tensors(sealed_folder.load(folder, "thing")[0], {"a": torch.zeros(3)})


def test_texts_can_be_put_into_a_sealed_folder_and_are_sealed_then(folder):
    sealed_folder.put(folder, {"README.md": "another card", "report.json": "{}"})
    sealed_folder.load(folder, "thing")
    sealed_folder.put(folder, {"report.json": "[]"})
    assert set(sealed_folder.load(folder, "thing")[1]["files"]) == {"README.md", "report.json", sealed_folder.TENSORS}


@pytest.mark.parametrize("damage", ["altered", "gone", "a link"])
def test_a_damaged_report_is_a_warning_and_is_replaced_by_the_next(folder, capsys, damage):
    sealed_folder.put(folder, {"report.json": "[]"})
    report, outside = folder / "report.json", folder.parent / "outside"
    report.unlink()
    if damage == "altered":
        report.write_text("{}")
    elif damage == "a link":
        outside.write_text("mine")
        report.symlink_to(outside)
    assert same_tensors(sealed_folder.load(folder, "thing")[0], tensors())
    assert capsys.readouterr().err.count("report.json") == 1
    sealed_folder.put(folder, {"report.json": "[1]"})
    sealed_folder.load(folder, "thing")
    assert capsys.readouterr().err == ""
    assert report.read_text() == "[1]"
    assert not outside.exists() or outside.read_text() == "mine"


def test_a_report_about_other_tensors_is_refused(folder):
    before = sealed_folder.read_manifest(folder)["files"][sealed_folder.TENSORS]
    sealed_folder.put(folder, {"report.json": "[]"}, tensors=before)
    sealed_folder.save(folder, tensors(1), {"kind": "thing"})
    with pytest.raises(UserError, match="has been replaced meanwhile"):
        sealed_folder.put(folder, {"report.json": "[1]"}, tensors=before)
    assert not (folder / "report.json").exists()


def test_an_interrupted_put_of_one_text_does_not_spoil_the_next_put_of_another(folder, capsys):
    sealed_folder.put(folder, {"report.json": "old"})
    manifest = sealed_folder.read_manifest(folder)
    new = hashlib.sha256(b"new").hexdigest()
    sealed_folder.write_manifest(folder, manifest | {"replacing": {"report.json": new}})
    (folder / "report.json").write_text("new")
    sealed_folder.put(folder, {"README.md": "a new card"})
    sealed_folder.load(folder, "thing")
    assert capsys.readouterr().err == ""
    assert sealed_folder.read_manifest(folder)["files"]["report.json"] == new


def test_whenever_putting_a_text_breaks_off_the_folder_is_whole(folder, monkeypatch):
    texts = set()
    for step in range(100):
        sealed_folder.put(folder, {"README.md": "old", "report.json": "old"})
        with monkeypatch.context() as patched:
            crashing(patched, step)
            try:
                sealed_folder.put(folder, {"README.md": "new", "report.json": "new"})
                finished = True
            except Crash:
                finished = False
        sealed_folder.load(folder, "thing")
        texts.add((folder / "README.md").read_text())
        if finished:
            break
    assert finished
    assert texts == {"old", "new"}


def test_texts_can_be_put_into_any_folder(tmp_path):
    sealed_folder.put(tmp_path, {"report.json": "{}"})
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def ring(rows, changed):
    """A ring buffer of some megabytes whose first rows have been written over."""
    held = torch.arange(rows * 1024, dtype=torch.float32).reshape(rows, 1024)
    held[:changed] = -1.0
    return held


@pytest.fixture
def run(tmp_path):
    """A run's folder with three checkpoints made, of which two are kept."""
    run = RunFolder(tmp_path)
    for number in (1, 2, 3):
        run.save_checkpoint(Saved({"training/replay/ring/0": ring(2048, number)}, Progress(number, number)))
    return run


def test_checkpoints_write_only_what_is_new_of_a_replay(run):
    def size(folder):
        return sum(path.stat().st_size for path in folder.iterdir() if path.stat().st_ino not in before)

    before = {path.stat().st_ino for folder in run.checkpoints() for path in folder.iterdir()}
    run.save_checkpoint(Saved({"training/replay/ring/0": ring(2048, 4)}, Progress(4, 4)))
    whole = ring(2048, 4).nbytes
    assert whole == 8 * shards.SHARD_BYTES
    assert size(run.checkpoints()[-1]) < shards.SHARD_BYTES * 1.1  # the shard with the new rows, and the manifest


def test_the_checkpoints_that_are_kept_share_no_file(run):
    for number in range(4, 8):
        run.save_checkpoint(Saved({"training/replay/ring/0": ring(2048, number)}, Progress(number, number)))
        first, second = ({path.stat().st_ino for path in folder.iterdir()} for folder in run.checkpoints())
        assert not first & second


def test_a_checkpoint_that_is_written_again_shares_nothing_with_the_one_before_it(run):
    """After a damaged one was passed over: the one that training went on from stays."""
    older, newest = run.checkpoints()
    (newest / sealed_folder.TENSORS).write_bytes(b"")
    state = {"training/replay/ring/0": ring(2048, 3)}
    run.save_checkpoint(Saved(state, Progress(3, 3)))
    assert run.checkpoints() == [older, newest]
    first, second = ({path.stat().st_ino for path in folder.iterdir()} for folder in run.checkpoints())
    assert not first & second
    assert same_tensors(run.newest_checkpoint().state, state)


def test_where_there_are_no_links_shards_are_written(run, monkeypatch):
    def refused(*paths, **options):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    run.save_checkpoint(Saved({"training/replay/ring/0": ring(2048, 4)}, Progress(4, 4)))
    assert same_tensors(run.newest_checkpoint().state, {"training/replay/ring/0": ring(2048, 4)})


def test_where_no_checkpoint_is_whole_it_is_told_and_nothing_is_begun_again(run, capsys):
    for folder in run.checkpoints():
        (folder / sealed_folder.MANIFEST).unlink()
    with pytest.raises(UserError, match=r"none of the checkpoints in .* is whole"):
        run.newest_checkpoint()
    assert capsys.readouterr().err.count("passed over") == 2


@pytest.mark.parametrize("name", ["manifest.json", "tensors.safetensors", "a shard"])
def test_a_link_in_a_files_place_is_refused(folder, tmp_path, name):
    if name == "a shard":
        name = sealed_folder.read_manifest(folder)["pieces"]["ring"]["files"][0]
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match=r"needs manifest\.json|lacks the shard"):
        sealed_folder.load(folder, "thing")


def test_a_file_that_never_answers_is_not_opened(folder, capsys):
    """A text that is a link to one is a warning; names that lead outside are not looked at."""
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/proc/kmsg")
    manifest = sealed_folder.read_manifest(folder)
    names = ("/proc/kmsg", "../../../../../../../../proc/kmsg", "x\0y")
    sealed_folder.write_manifest(folder, manifest | {"replacing": dict.fromkeys(names, "0" * 64)})
    sealed_folder.load(folder, "thing")
    assert "lacks README.md" in capsys.readouterr().err
    sealed_folder.put(folder, {"README.md": "new\n"})
    assert (folder / "README.md").read_text() == "new\n"
    assert not {*names} & {*sealed_folder.read_manifest(folder)["files"]}


def test_a_manifest_that_lists_one_file_under_many_names_is_refused(folder):
    manifest = sealed_folder.read_manifest(folder)
    for files in (
        {"./" * count + "README.md": manifest["files"]["README.md"] for count in range(3)},
        {f"{count}.txt": "" for count in range(sealed_folder.MAX_FILES)},
    ):
        sealed_folder.write_manifest(folder, manifest | {"files": manifest["files"] | files})
        with pytest.raises(UserError, match="by their plain names"):
            sealed_folder.load(folder, "thing")


def test_shards_that_are_far_larger_than_their_files_are_refused(folder):
    """A shard of a megabyte may be listed any number of times."""
    manifest = sealed_folder.read_manifest(folder)
    shard = manifest["pieces"]["ring"]["files"][0]
    count = 1 << 22
    bomb = {"dtype": "uint8", "shape": [count << 20], "files": [shard] * 1000}
    for name in range(count // 1000):
        manifest["pieces"][f"bomb{name}"] = bomb
    with pytest.raises(UserError, match="this machine has"):
        shards.read_all(folder, manifest["pieces"])
    manifest = sealed_folder.read_manifest(folder) | {"kind": "policy"}
    sealed_folder.write_manifest(folder, manifest)
    with pytest.raises(UserError, match="no policy has shards"):
        sealed_folder.load(folder, "policy")
    large = folder / "large"
    large.write_bytes(bytes(shards.SHARD_BYTES + 1))
    name = sealed_folder.sha256(large)
    large.rename(folder / name)
    with pytest.raises(UserError, match="none has more than"):
        shards.read(folder, {"dtype": "uint8", "shape": [shards.SHARD_BYTES + 1], "files": [name]})

"""Every entry of every JSON table, spoilt in every way: the answer is an exit code, never a bug."""

import copy
import json
import shutil
from pathlib import Path

import pytest

from robometa.commands.main import main
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.storage import sealed_folder
from robometa.storage.json_lines import Lines
from robometa.training.run_folder import RunFolder
from robometa.training.train import rebuilt
from robometa.video import gl_backends
from torture import loaders
from torture.trainings import train

GONE = object()
VALUES = (GONE, None, True, -1, 10**30, 1e308, float("nan"), "text", "\x1b[2J" * 2000, [], {}, [[[{}]]], 0.5, [10**9])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two iterations, and the dump of a divergence."""
    folder = tmp_path_factory.mktemp("tables")
    train(folder / "run", "maml-trpo", 2)
    loaders._dump(folder / "run")
    return folder


@pytest.fixture
def files(finished, tmp_path, monkeypatch):
    """A copy that may be spoilt."""
    shutil.copytree(finished, tmp_path / "files")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "files"


def spoilt(table):
    """The table with one entry spoilt, for every entry and value; what it was."""

    def places(part):
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            yield part, key
            if isinstance(part[key], dict | list):
                yield from places(part[key])

    for index, _ in enumerate(places(table)):
        for value in VALUES:
            changed = copy.deepcopy(table)
            owner, key = list(places(changed))[index]
            if value is GONE:
                del owner[key]
            else:
                owner[key] = value
            yield f"{key} = {value!r:.40}", changed


def refused_or_not(act):
    """Runs something that may raise a user's mistake, and nothing else."""
    try:
        act()
    except UserError:
        return 1
    return 0


def test_a_policy_loads_or_is_refused(files):
    policy = files / "run" / "policy"
    manifest = sealed_folder.read_manifest(policy)
    refused = tried = 0
    for _, changed in list(spoilt(manifest))[::2]:
        sealed_folder.write_manifest(policy, changed)
        refused += refused_or_not(lambda: policy_folder.load_policy(policy))
        tried += 1
    assert tried > 250
    assert tried * 0.4 < refused < tried


@pytest.mark.slow
def test_commands_answer_a_spoilt_policy(files, monkeypatch):
    def no_backend():
        raise UserError("nothing draws here")

    monkeypatch.setattr(gl_backends, "find", no_backend)
    policy = str(files / "run" / "policy")
    manifest = sealed_folder.read_manifest(files / "run" / "policy")
    for index, (what, changed) in enumerate(spoilt(manifest["training"])):
        if index % 5:
            continue
        sealed_folder.write_manifest(files / "run" / "policy", manifest | {"training": changed})
        for words in (
            ["evaluate", policy, "--shots", "0", "--worlds", "1"],
            ["record", policy, "--shots", "1"],
            ["merge", policy, policy, "--out", f"merged{index}"],
        ):
            assert main(words) in (0, 2), (words, what)


def test_a_run_is_rebuilt_or_refused(files):
    run, path = RunFolder(files / "run"), files / "run" / "run.json"
    described = json.loads(path.read_text(encoding="utf-8"))

    def rebuild():
        config = run.configuration()
        rebuilt(run, config, config.learner, threads=1, collect="here").close()

    for _, changed in list(spoilt(described))[::3]:
        path.write_text(json.dumps(changed), encoding="utf-8")
        refused_or_not(rebuild)
    for what, changed in list(spoilt({"versions": described["versions"], "preset": "default", "room": 1.0}))[::11]:
        path.write_text(json.dumps(described | changed), encoding="utf-8")
        assert main(["verify", str(run.path), "--iterations", "1"]) in (0, 2), what
        assert main(["resume", str(run.path), "--iterations", "2", "--threads", "1"]) in (0, 2), what


@pytest.mark.parametrize("name", ["metrics.jsonl", "timings.jsonl"])
def test_a_table_of_a_run_is_read_or_refused(files, name):
    run = RunFolder(files / "run")
    first, second = (run.path / name).read_text(encoding="utf-8").splitlines()
    for _, changed in spoilt(json.loads(second)):
        (run.path / name).write_text(f"{first}\n{json.dumps(changed)}\n", encoding="utf-8")
        refused_or_not(lambda: run.cut(2))
    row = json.loads(second)
    del row["sampling" if name == "timings.jsonl" else "iteration"]
    (run.path / name).write_text(f"{first}\n{json.dumps(row)}\n", encoding="utf-8")
    assert main(["resume", str(run.path), "--iterations", "3", "--threads", "1"]) == 2


def test_a_checkpoint_is_loaded_or_passed_over(files):
    run = RunFolder(files / "run")
    newest = run.checkpoints()[-1]
    manifest = sealed_folder.read_manifest(newest)
    for _, changed in spoilt(manifest):
        sealed_folder.write_manifest(newest, changed)
        assert run.newest_checkpoint() is not None


def test_a_dump_is_replayed_or_refused(files):
    dump = files / "dump"
    manifest = sealed_folder.read_manifest(dump)
    codes = []
    for what, changed in spoilt(manifest):
        sealed_folder.write_manifest(dump, changed)
        codes.append(main(["replay", str(dump)]))
        assert codes[-1] in (0, 2), what
    assert codes.count(2) > codes.count(0)
    for change in ({"task": -1}, {"task": 10**6}):
        sealed_folder.write_manifest(dump, manifest | change)
        assert main(["replay", str(dump)]) == 2
    del manifest["drawn_from"]
    sealed_folder.write_manifest(dump, manifest)
    assert main(["replay", str(dump)]) == 2


@pytest.mark.parametrize("kind", ["double", "long", "bool", "half"])
def test_tensors_of_another_kind_are_refused(files, kind, capsys):
    policy = files / "run" / "policy"
    state, manifest = sealed_folder.load(policy, "policy")
    spoilt_state = {name: getattr(tensor, kind)() for name, tensor in state.items()}
    texts = {name: (policy / name).read_bytes() for name in manifest["files"] if name != sealed_folder.TENSORS}
    described = {key: manifest[key] for key in manifest if key not in ("files", "format")}
    sealed_folder.save(policy, spoilt_state, described, texts)
    for words in (["evaluate", str(policy)], ["merge", str(policy), str(policy), "--out", "new"]):
        assert main(words) == 2
        assert "does not fit its learner" in capsys.readouterr().err
    assert not Path("new").exists()


def test_many_lines_are_read_one_by_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f'{{"iteration": {number}, "x": 0.5}}\n' for number in range(5000))
    lines = Lines(path)
    rows = lines.rows()
    assert next(rows) == {"iteration": 0, "x": 0.5}
    assert not isinstance(rows, list)
    assert lines.cut(10) == 10
    assert path.stat().st_size < 400
    path.write_text('{"iteration": 0}\n{"iteration": 0}\n', encoding="utf-8")
    with pytest.raises(UserError, match="line 2: an iteration must follow 0"):
        lines.cut(1)
    path.write_bytes(b" " * (1 << 20) + b"\n")
    with pytest.raises(UserError, match="damaged in line 1"):
        lines.cut(1)

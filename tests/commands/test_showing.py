"""Every command with one hostile suite, policy and run: nothing that they say acts on the terminal or in a card."""

import json
import random

import pytest

from robometa.commands.main import GROUPS, main
from robometa.storage import sealed_folder
from torture.markup import CODES, HOSTILE, commands, faults_of_card, faults_of_page, faults_of_terminal, plant
from torture.trainings import train


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a hostile name, in which every text of a suite, a run, a policy and a dump is hostile."""
    files = tmp_path_factory.mktemp("showing") / "r[/x]\x1b[31m<b>|"
    files.mkdir(parents=True)
    train(files / "run", "maml-trpo", 2)
    plant(files, random.Random(0))
    texts = {str(index): text for index, text in enumerate(HOSTILE)}
    everything = dict(zip(HOSTILE, HOSTILE, strict=True))
    about = "".join(HOSTILE[:-2])
    suite = (files / "tiny.toml").read_text(encoding="utf-8").splitlines()
    suite[:2] = [f"about = {json.dumps(about)}", f"source = {json.dumps(about)}"]
    (files / "tiny.toml").write_text("\n".join(suite), encoding="utf-8")
    manifest = sealed_folder.read_manifest(files / "run" / "policy")
    manifest["training"] |= {"versions": everything | texts, "merged_options": everything}
    described = json.loads((files / "run" / "run.json").read_text(encoding="utf-8"))
    manifest |= {"suite": str(files / "tiny.toml"), "suite_hash": described["suite_hash"]}
    sealed_folder.write_manifest(files / "run" / "policy", manifest)
    described |= {"versions": everything | {"torch": about}, "suite": str(files / "tiny.toml")}
    (files / "run" / "run.json").write_text(json.dumps(described), encoding="utf-8")
    return files


def all_commands(files):
    record = ["record", str(files / "run" / "policy"), "--task", "99"]
    play = ["play", str(files / "run" / "policy"), "--task", "99"]
    export = ["export", str(files / "run" / "policy"), "--out", str(files / "exported")]
    further = [
        record,
        play,
        export,
        ["check-export", str(files / "exported")],
        ["distil", str(files / "run" / "policy"), "--out", str(files / "student")],
        ["page", str(files / "run" / "policy"), "--out", str(files / "gone" / "page.html")],
        ["runs", str(files)],
        ["collect", "point-robot", str(files / "run" / "policy"), "--out", str(files / "gone" / "data")],
        ["export-dataset", str(files / "run"), "--minari", "mine-v0"],
    ]
    return [*commands(files), *further, ["doctor"], ["learners"], ["suites"]]


def test_every_command_is_tried(files):
    known = {module.__name__.rpartition(".")[2].replace("_", "-") for group in GROUPS.values() for module in group}
    assert {words[0] for words in all_commands(files)} == known


@pytest.mark.slow
def test_nothing_acts_on_the_terminal_or_in_a_card(files, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")
    for words in all_commands(files):
        code = main(words)
        said = "".join(capsys.readouterr())
        assert not faults_of_terminal(said), (words, said)
        assert code in (*CODES, *((0, 1) if words[0] in ("verify", "doctor") else ())), (words, said)
    pages = [*files.rglob("*.html")]
    assert {page.name for page in pages} == {"compare.html", "report.html"}
    assert len(pages) == 3
    for page in pages:
        assert not faults_of_page(page.read_text(encoding="utf-8"))
    cards = list(files.rglob("README.md"))
    assert {card.parent.name for card in cards} == {"policy", "merged"}
    for card in cards:
        assert not faults_of_card(card.read_text(encoding="utf-8")), card.read_text(encoding="utf-8")


def test_an_umlaut_is_written_out_where_the_output_has_none(files, tmp_path):
    from torture.children import started

    (tmp_path / "ümlaut.toml").write_text((files / "tiny.toml").read_text(encoding="utf-8"), encoding="utf-8")
    code, said = started(["suites", "ümlaut.toml"], tmp_path, PYTHONIOENCODING="ascii")
    assert code == 0, said
    assert "\\xfcmlaut" in said

"""Hostile texts in every field of a suite, a policy, a run and a dump: none of them acts where it is shown."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from robometa import suites
from robometa.commands import main
from robometa.search.budget import Budget
from robometa.search.places import SETTINGS
from robometa.search.record_file import RECORD
from robometa.search.settings import Settings as Search
from robometa.storage import sealed_folder
from robometa.training.divergence_dumps import DUMP_KIND
from torture.findings import Findings, Settings
from torture.trainings import SUITE, Child, train

ROUNDS, SHORT_ROUNDS = 20, 1
HOSTILE = (
    "\x1b[2J\x1b]0;title\x07",
    "\x9b31mred",
    "\u202egnp.exe",
    "\u2066hidden\u2069",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "[bold]marker[/bold]",
    "[link=https://evil.example]marker[/link]",
    "marker [/bold]",
    "marker[/]",
    "<img src=x onerror=alert(1)>",
    "</details><script>alert(1)</script>",
    "[a](https://evil.example)",
    "![a](https://evil.example/x.png)",
    "a | b |\n| --- | --- |\n| 9 | 9 |",
    "\n# Heading",
    "` | **bold** `",
    "x\r\nssh-ed25519 AAAA evil",
    "\ud800",
    "ümläut 汉字",
)
"""Escape sequences, overrides of direction, Rich markup, HTML, Markdown, forged rows, broken and foreign letters."""
NAMES = ("r[/x]", "r[bold]marker", "r\x1b[31m", "r`<b>|", "\u202er", "r ; touch ran", "rü")
"""Names of folders."""
CODES = (0, 2)


def run(settings: Settings) -> Findings:
    """Plants texts at random, and gives the files to every command that shows something of them."""
    findings = Findings(counts={"rounds": 0, "commands": 0})
    ground, chance = settings.folder / "ground", random.Random(f"{settings.seed} markup")
    ground.mkdir()
    made = Child(lambda: train(ground / "run", "maml-trpo", 2), settings.folder / "log")
    if made.wait() != 0:
        raise RuntimeError(f"nothing to spoil:\n{made.said()}")
    for index in range(SHORT_ROUNDS if settings.short else ROUNDS):
        box = settings.folder / f"round{index}"
        files = box / chance.choice(NAMES)
        shutil.copytree(ground, files)
        plant(files, chance)
        for words in commands(files):
            _give(words, box, findings)
        for page in box.rglob("*.html"):
            for fault in faults_of_page(page.read_text(encoding="utf-8")):
                findings.fail(f"round {index}: {page.name}: {fault}")
        for card in box.rglob("README.md"):
            for fault in faults_of_card(card.read_text(encoding="utf-8")):
                findings.fail(f"round {index}: {card.name}: {fault}")
        findings.count("rounds")
        shutil.rmtree(box)
    return findings


def _give(words: list[str], box: Path, findings: Findings) -> None:
    """Runs one command in a process of its own and looks at what it shows."""

    def act() -> int:
        os.chdir(box)
        os.environ["COLUMNS"] = "2000"
        return main.main(words)

    child = Child(act, box / "log")
    code = child.wait(120.0)
    findings.count("commands")
    said = (box / "log").read_bytes().decode(errors="surrogateescape")
    (box / "log").unlink()
    fault = "; ".join(faults_of_terminal(said))
    if code not in (*CODES, 1 if words[0] == "verify" else 0):
        fault += f"; exit code {code}"
    if fault:
        findings.fail(f"{words!r:.300}: {fault}: {said[-600:]!r}")


def commands(files: Path) -> list[list[str]]:
    """The commands that show something of a suite, a policy, a run or a dump."""
    run, suite, policy = str(files / "run"), str(files / "tiny.toml"), str(files / "run" / "policy")
    small = ["--iterations", "1", "--tasks", "1", "--worlds", "1", "--hidden", "8", "--threads", "1"]
    return [
        ["suites", suite],
        ["learners", f"{files}/none.py:None"],
        ["train", suite, "maml-trpo", *small, "--folder", str(files / "new")],
        ["evaluate", policy, "--worlds", "2", "--shots", "1", "--suite", suite, "--out", str(files / "out")],
        ["evaluate", policy, "--worlds", "2", "--shots", "1"],
        ["probe", policy, "--tasks", "10", "--worlds", "2", "--shots", "1"],
        ["merge", policy, policy, "--out", str(files / "merged")],
        ["verify", run, "--iterations", "1"],
        ["resume", run, "--iterations", "3", "--threads", "1"],
        ["replay", str(files / "dump")],
        ["baseline", "scripted", suite],
        ["runs", str(files)],
        ["runs", run, "--json"],
        ["compare", run, str(files / "out"), "--out", str(files / "compare.html")],
        ["report", policy, "--out", str(files / "report.html")],
        ["export-table", run, "--format", "latex"],
        ["search", "--show", str(files / "search")],
    ]


def plant(files: Path, chance: random.Random) -> None:
    """Puts hostile texts into the files; what a training's hash depends on stays."""
    suite = SUITE.replace("about     =", "ignored =").splitlines()
    texts = {"about": chance.choice(HOSTILE[:-2]), "source": chance.choice(HOSTILE[:-2])}
    lines = [f"{name} = {json.dumps(text)}" for name, text in texts.items()]
    path = files / "tiny.toml"
    path.write_text("\n".join(lines + suite[1:]) + "\n", encoding="utf-8")
    described = json.loads((files / "run" / "run.json").read_text(encoding="utf-8")) | {"suite": str(path)}
    described["versions"] = {chance.choice(HOSTILE): chance.choice(HOSTILE), "torch": chance.choice(HOSTILE)}
    described["command"] = chance.choice(HOSTILE)
    if chance.random() < 0.3:
        described = _with_text(described, chance)
    (files / "run" / "run.json").write_text(json.dumps(described), encoding="utf-8")
    manifest = sealed_folder.read_manifest(files / "run" / "policy") | {"suite": str(path)}
    part = {"policy": chance.choice(HOSTILE), "sha256": chance.choice(HOSTILE), "weight": 0.5, "seed": 0}
    part["suite"] = chance.choice(HOSTILE)
    manifest["training"] |= {"versions": {chance.choice(HOSTILE): chance.choice(HOSTILE)}, "merged": [part, part]}
    manifest["training"]["merged_options"] = {chance.choice(HOSTILE): chance.choice(HOSTILE)}
    if chance.random() < 0.3:
        manifest = _with_text(manifest, chance)
    sealed_folder.write_manifest(files / "run" / "policy", manifest)
    _dump(files / "dump", path, chance)
    _search(files / "search", chance)


def _dump(folder: Path, suite: Path, chance: random.Random) -> None:
    """Writes the dump of a simulation that blew up, with a hostile version of MuJoCo."""
    described = {"kind": DUMP_KIND, "suite": str(suite), "suite_hash": suites.load(suite).content_hash, "task": 0}
    described |= {"world": 0, "step": 1, "iteration": 0, "drawn_from": None, "mujoco": chance.choice(HOSTILE)}
    tensors = {"physics": torch.zeros(9, dtype=torch.float64), "sensors": torch.zeros(0), "action": torch.zeros(2)}
    sealed_folder.save(folder, tensors, described)


def _search(folder: Path, chance: random.Random) -> None:
    """Writes a search whose texts are hostile, as far as a record can hold them."""
    settings = Search(chance.choice(HOSTILE), chance.choice(HOSTILE), ("rl2",), Budget(1e6, "steps"), 100.0)
    described = settings.to_json() | {"preset": chance.choice(HOSTILE), "learner_sha256": {chance.choice(HOSTILE): "0"}}
    name, *texts = chance.sample([text for text in HOSTILE if text.isprintable()], 3)
    trials = [
        {"number": number, "parameters": {name: text}, "options": {name: [text]}} for number, text in enumerate(texts)
    ]
    result = {"iterations": 1, "whole": 1, "cost": 1.0, "failure": "", "scores": {"return": 1.0}}
    results = [result | {"number": 0}, result | {"number": 1, "failure": chance.choice(HOSTILE)}]
    lines = [{"kind": "generation", "learner": "rl2", "trials": trials}, {"kind": "rung", "results": results}]
    folder.mkdir()
    (folder / SETTINGS).write_text(json.dumps(described), encoding="utf-8")
    (folder / RECORD).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "best.toml").write_text(f"# {name}\n{texts[0]}\n", encoding="utf-8")


def _with_text(table: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The table with a hostile text in a text's place."""
    changed = json.loads(json.dumps(table))
    owner, key = chance.choice(list(_texts(changed)))
    owner[key] = chance.choice(HOSTILE)
    return dict(changed)


def _texts(table: Any) -> Iterator[tuple[Any, Any]]:
    """Every text in a table: what holds it, and its key."""
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        if isinstance(value, str):
            yield table, key
        elif isinstance(value, dict | list):
            yield from _texts(value)


def faults_of_terminal(said: str) -> list[str]:
    """Parts of an output that act on a terminal."""
    acting = {sign for sign in said if not sign.isprintable() and sign != "\n"}
    faults = [f"raw {sign!r}" for sign in sorted(acting)]
    return faults + ["markup was taken for a style"] * ("marker" in said and _styled(said))


def _styled(said: str) -> bool:
    return any("marker" in line and "[" not in line for line in said.split("\n"))


def faults_of_page(page: str) -> list[str]:
    """Parts of a page that act."""
    acting = sorted({sign for sign in page if not sign.isprintable() and sign != "\n"})
    tags = sorted({*re.findall(r"<(?:script|i\b|iframe|object|img|a\b)", page)})
    return [*(f"raw {sign!r}" for sign in acting), *tags]


def faults_of_card(card: str) -> list[str]:
    """Parts of a card that act."""
    text = re.sub(r"`[^`\n]*`", "", card)
    patterns = {
        "HTML": r"<(?!/?(details|summary)>)",
        "a link": r"(?<!\\)\]\s*[(\[]",
        "bold text": r"(?<!\\)\*\*",
        "a forged row": r"^\| 9 \| 9 \|",
        "a forged heading": r"^# Heading",
        "a forged line": r"^ssh-ed25519",
    }
    acting = sorted({sign for sign in card if not sign.isprintable() and sign != "\n"})
    matched = [name for name, pattern in patterns.items() if re.search(pattern, text, re.MULTILINE)]
    return [*(f"raw {sign!r}" for sign in acting), *matched]

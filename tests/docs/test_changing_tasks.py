"""The page about tasks that change is true."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from robometa import suites
from robometa.suites.change import READERS
from study import changes

PAGE = (Path(__file__).parents[2] / "docs" / "changing-tasks.md").read_text(encoding="utf-8")


def test_it_has_every_key():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(READERS)


def test_its_example_is_the_shipped_suite_s():
    example = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])
    shipped = tomllib.loads((suites.folder() / "half-cheetah-velocity-switch.toml").read_text(encoding="utf-8"))
    assert example["change"] == shipped["change"]


def test_it_names_every_shipped_suite_that_changes():
    changing = {name for name in suites.names() if suites.load(name).change is not None}
    assert set(re.findall(r"^\| `([\w-]+-\w+)` \|", PAGE, re.MULTILINE)) == changing


def test_its_table_is_the_record_s():
    root = Path(__file__).parents[2]
    record = json.loads((root / changes.OUT).read_text(encoding="utf-8"))
    assert changes.table(record) in PAGE
    assert [row["policy"] for row in record["rows"]] == [*changes.POLICIES]
    for row in record["rows"]:
        assert row["suite_hash"] == suites.load(changes.SUITE).content_hash
        assert (root / "policies" / row["policy"] / "README.md").is_file()


def test_a_policy_is_measured_as_the_page_says(monkeypatch):
    asked = []
    monkeypatch.setattr(changes, "robometa", lambda words: asked.append(words) or 1)
    for policy in ("half-cheetah-velocity-pearl", "half-cheetah-velocity-grbal"):
        with pytest.raises(SystemExit):
            changes._measured(policy)
    pearl, grbal = (" ".join(words) for words in asked)
    assert pearl.startswith(
        "evaluate policies/half-cheetah-velocity-pearl --suite half-cheetah-velocity-switch --worlds 5 "
    )
    assert " --worlds 1 --tasks 10 --shots 1 " in grbal
    assert all(changes.REFERENCES[0] in words and changes.REFERENCES[1] in words for words in asked)

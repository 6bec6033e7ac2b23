"""The page about tasks that change is true."""

import re
import tomllib
from pathlib import Path

from robometa import suites
from robometa.suites.change import READERS

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

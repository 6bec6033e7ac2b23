"""Tables from untrusted TOML files, with limits on size and depth, and TOML of tables. Standard library only."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robometa.errors import UserError

MAX_BYTES, MAX_DEPTH = 1 << 24, 16
"""Limits on the bytes of a file and the depth of nested tables, far beyond any suite."""
PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
LONG_KEY = re.compile(rf"(?<![\w-])(?:{PART}[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}")


def read_toml(path: Path, shown: Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        UserError: If it cannot be read, is no TOML, or is larger or deeper than any suite.
    """
    return read_table(read_content(path, shown), shown)


def read_content(path: Path, shown: Path) -> bytes:
    """Bytes of a suite's file.

    Raises:
        UserError: If it cannot be read, or is larger than any suite.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{shown} is not a suite: it has more than {MAX_BYTES} bytes")
    return content


def read_table(content: bytes, shown: Path) -> dict[str, Any]:
    """The table in a TOML file's content.

    Raises:
        UserError: If it is no TOML, or deeper than any suite.
    """
    try:
        text = content.decode()
        if text.startswith("\ufeff"):
            raise UserError(
                f"{shown} begins with a byte order mark, which TOML does not allow: save it as UTF-8 without"
            )
        if LONG_KEY.search(text):  # what tomllib needs for one grows with the square of its length
            raise UserError(f"{shown} is not a suite: it has a key of more than {MAX_DEPTH} parts")
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{shown} is not a TOML file: {error}") from None
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        level = [entry for one in level for entry in (one.values() if isinstance(one, dict) else one)]
        level = [entry for entry in level if isinstance(entry, dict | list)]
    if level:
        raise UserError(f"{shown} is not a suite: it has more than {MAX_DEPTH} tables or lists within each other")
    return table


def learner_options(table: Mapping[str, Any], where: str, mistakes: list[str]) -> dict[str, dict[str, Any]]:
    """A suite's options of learners, by the learner's name."""
    learner = table.get("learner", {})
    if not isinstance(learner, dict) or not all(isinstance(value, dict) for value in learner.values()):
        mistakes.append(f"learner must hold one table of options per learner, as [learner.pearl], in {where}")
        return {}
    return learner


def written(table: Mapping[str, Any]) -> str:
    """Writes a table of texts, numbers, lists and tables as TOML; tables within the top ones are written inline."""
    plain = [f"{_key(name)} = {_value(value)}" for name, value in table.items() if not isinstance(value, Mapping)]
    sections = [
        "\n".join([f"\n[{_key(name)}]", *(f"{_key(key)} = {_value(one)}" for key, one in value.items())])
        for name, value in table.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*plain, *sections]) + "\n"


def quoted(text: str) -> str:
    """A text as TOML; what is not printable is written as its code, so that a terminal shows it as it is."""
    signs = json.dumps(text, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else _code(ord(sign)) for sign in signs)


def _code(number: int) -> str:
    if 0xD800 <= number < 0xE000:  # a byte of a name that is no UTF-8, which TOML cannot hold
        raise UserError("a name must be UTF-8")
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else quoted(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)

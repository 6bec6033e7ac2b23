"""The mechanical part of the house's language, and sizes of its files."""

import ast
import re
from pathlib import Path

import pytest

import robometa

PACKAGE = Path(robometa.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
QUESTIONS = re.compile(r"\s*(What|How|Whether|Where|Who|The same)\b")


def docstrings(path):
    """Line and text of each docstring of a file, of its constants and fields too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for statement in getattr(node, "body", None) if isinstance(getattr(node, "body", None), list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_open_with_a_noun_or_a_verb(path):
    assert [f"{path}:{line}: {text[:60]}" for line, text in docstrings(path) if QUESTIONS.match(text)] == []


def test_the_docstrings_are_found():
    assert sum(1 for path in FILES for _ in docstrings(path)) > 2000
    assert QUESTIONS.match("Whether it is.")
    assert not QUESTIONS.match("Whatever it is.")


def test_no_file_is_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 300} == {}
    assert {path: length for path, length in lengths.items() if path.parent.name == "learners" and length > 220} == {}

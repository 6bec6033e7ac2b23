"""The mechanical part of the house's language, and sizes of its files."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import robometa

PACKAGE = Path(robometa.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOT = Path(__file__).parents[1]
BESIDE = ("bench", "docs/hooks", "examples", "runtime/robometa_runtime", "study", "torture")
"""Folders beside the package whose docstrings follow the rule, too."""
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


@pytest.mark.parametrize("folder", BESIDE)
def test_docstrings_beside_the_package_do_so_too(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    wrong = [(path, line, text) for path in files for line, text in docstrings(path) if QUESTIONS.match(text)]
    assert [f"{path}:{line}: {text[:60]}" for path, line, text in wrong] == []


def test_the_docstrings_are_found():
    assert sum(1 for path in FILES for _ in docstrings(path)) > 2000
    assert QUESTIONS.match("Whether it is.")
    assert not QUESTIONS.match("Whatever it is.")


def test_no_file_is_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: length for path, length in lengths.items() if length > 300} == {}
    assert {path: length for path, length in lengths.items() if path.parent.name == "learners" and length > 220} == {}


@pytest.mark.parametrize("name", robometa.__all__)
def test_a_public_name_is_typed_and_has_sections(name):
    public = getattr(robometa, name)
    public = getattr(public, name) if inspect.ismodule(public) else public  # a module that can be called
    functions = [public]
    if inspect.isclass(public):
        own = {key: value for key, value in vars(public).items() if not key.startswith("_")}
        functions = [value for value in own.values() if inspect.isfunction(value)]
        assert inspect.getdoc(public)
    for function in functions:
        names = [key for key in inspect.signature(function).parameters if key != "self"]
        notes, said = function.__annotations__, inspect.getdoc(function)
        assert {*names, "return"} <= {*notes}, function.__qualname__
        assert said, function.__qualname__
        if len(names) > 2:
            assert all(f"{key}:" in said.partition("Args:")[2] for key in names), function.__qualname__


ASKED = re.compile(r"(learner|engine|kind|config|options|suite|family|preset|spaces)$")
"""Ends of the names of what has a protocol, and so needs no default."""


def calls_of_getattr(path):
    """Lines with `getattr(x, name, default)` or `hasattr(x, name)` of something that has a protocol."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if (name == "hasattr" or (name == "getattr" and len(node.args) > 2)) and ASKED.search(
            ast.unparse(node.args[0])
        ):
            yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_has_a_protocol_is_not_asked_for_attributes_it_may_lack(path):
    assert [f"{path}:{line}" for line in calls_of_getattr(path)] == []


def test_only_a_family_and_its_own_files_ask_which_kind_a_suite_is():
    asked = re.compile(r"\bbenchmark is\b|isinstance\([^()]*family, (Locomotion|MetaWorld)\)")
    others = [
        path for path in FILES if path.parent.name != "suites" and "metaworld" not in str(path.relative_to(PACKAGE))
    ]
    assert [path for path in others if asked.search(path.read_text("utf-8"))] == []

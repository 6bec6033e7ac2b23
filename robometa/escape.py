"""Escaping of untrusted text: one function for each place where it is shown.

Any text that a file says, and any path, goes through one of these before a person sees it.
"""

from __future__ import annotations

import html as _html
import re
import shlex
import sys
from collections.abc import Iterable, Sequence

MARKDOWN = re.compile(r"([\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""Signs with a meaning anywhere in Markdown; an underscore has none inside a word."""
LINE_START = re.compile(r"^(\s*(?:\d{1,9}(?=[.)](?:\s|$)))?)([#\-+=.)])")
"""Signs with a meaning where a line of Markdown begins."""

LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # a row that begins with one would be an option of the line break before it
    "\N{EN DASH}": "--",
}
"""Signs with a meaning in LaTeX, and how they are written."""


class Markdown(str):
    """Text that is Markdown already, and stays as it is."""

    __slots__ = ()


def counted(number: int, noun: str) -> str:
    """A number of things, such as `1 task` and `2 tasks`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: object) -> str:
    """One line for a terminal: control characters, overrides of direction and broken bytes are written out."""
    text = str(text)
    return text if text.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def lines(text: object) -> str:
    """Lines for a terminal: `printable`, except that line breaks stay."""
    return "\n".join(map(printable, str(text).split("\n")))


def html(text: object) -> str:
    """One line of text in HTML, also inside an attribute."""
    return _html.escape(printable(text))


def html_table(title: object, rows: Iterable[Sequence[object]]) -> str:
    """A title and a table in HTML, such as a notebook shows; a row's first cell is its head."""
    body = [f"<tr><th>{html(row[0])}</th>{''.join(f'<td>{html(cell)}</td>' for cell in row[1:])}</tr>" for row in rows]
    return f"<p><b>{html(title)}</b></p><table>{''.join(body)}</table>"


def markdown(text: object) -> Markdown:
    """One line of plain text in Markdown, also inside a table; HTML in it is text, too."""
    shown = _html.escape(printable(re.sub(r"\s*[\n\r]\s*", " ", str(text))), quote=False)
    return Markdown(LINE_START.sub(r"\1\\\2", MARKDOWN.sub(r"\\\1", shown)))


def code(text: object) -> Markdown:
    """A code span in Markdown, also inside a table; a sign that could end it is written as its hexadecimal code."""
    return Markdown("`" + re.sub(r"[`|<>&]", lambda match: f"\\x{ord(match[0]):02x}", printable(text)) + "`")


def latex(text: object) -> str:
    """One line of plain text in LaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in printable(text))


def word(text: object) -> str:
    """A word of a command line, quoted for the shell where it needs that."""
    return printable(shlex.quote(str(text)))


def say(text: object, *, error: bool = False) -> None:
    """Prints lines, to standard error if asked; nothing in them acts on the terminal."""
    print(lines(text), file=sys.stderr if error else sys.stdout)

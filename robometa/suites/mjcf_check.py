"""Checks of robot models in untrusted files, before MuJoCo reads them. Standard library only.

MuJoCo reads every file that a model names and allocates any size. So a user's model is checked first: it may only
name files in its own folder, and its sizes must be plausible for a robot.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS = 1 << 24, 100, 100_000
"""Limits on the bytes of a file, the depth of nested elements, and the number of elements."""
FILES = ("file", "fileright", "fileleft", "fileup", "filedown", "filefront", "fileback")
FOLDERS = ("meshdir", "texturedir", "assetdir")
SIZES: dict[str, tuple[tuple[str, ...], int]] = {
    "replicate": (("count",), 1000),
    "composite": (("count",), 1000),
    "flexcomp": (("count",), 10_000),
    "texture": (("width", "height"), 1 << 24),
    "hfield": (("nrow", "ncol"), 1 << 22),
}
"""Elements that create more than themselves: the attributes with the counts, and the limit on their product."""
MAX_SIZE = 1_000_000
"""Limit on each entry of <size> but the memory."""
MEMORY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
MAX_MEMORY = 1 << 30


@dataclass
class _Model:
    """Findings about a model during its check."""

    path: Path
    folder: Path
    faults: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    named: list[tuple[str, str]] = field(default_factory=list)
    """The tag and the name of every file that is named."""
    folders: list[str] = field(default_factory=lambda: [""])


def look_through(path: Path) -> tuple[list[str], list[Path]]:
    """Returns the faults of a model, and the files that it consists of, its own first."""
    model = _Model(path, path.parent.resolve())
    _read(model, path)
    for tag, name in model.named:
        for place in model.folders:
            target = (model.folder / place / name).resolve()
            if not target.is_relative_to(model.folder):
                model.faults.append(f"<{tag}> of {path.name} names {name!r}, which is not in its folder")
                break
            if target.is_file() and target not in model.files:
                model.files.append(target)
    return model.faults, model.files


def digest(path: Path) -> str:
    """SHA-256 of a model, and of the files that it is made of if there are others."""
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    files = look_through(path)[1][1:]
    if not files:
        return own
    digests = [own, *(hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _read(model: _Model, path: Path) -> None:
    """Looks through one file of a model, and those that it includes."""
    if path.resolve() in model.files:
        return
    model.files.append(path.resolve())
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        model.faults.append(f"{path.name} cannot be read: {error.strerror}")
        return
    if len(content) > MAX_BYTES or b"<!DOCTYPE" in content:
        model.faults.append(f"{path.name} is no model: it has more than {MAX_BYTES} bytes, or a document type")
        return
    try:
        _walk(model, content)
    except ElementTree.ParseError as error:  # MuJoCo's parser is laxer: it would read what this one cannot check
        model.faults.append(f"{path.name} is not well-formed XML: {error}")


def _walk(model: _Model, content: bytes) -> None:
    """Looks at every element of a file."""
    depth, count, copies = 0, 0, [1]
    for event, element in ElementTree.iterparse(io.BytesIO(content), events=("start", "end")):
        if event == "end":
            depth -= 1
            copies.pop()
            continue
        depth, count = depth + 1, count + 1
        made = _made(model, element)
        copies.append(copies[-1] * (made if element.tag in ("replicate", "composite") else 1))
        if depth > MAX_DEPTH or count > MAX_ELEMENTS or copies[-1] > MAX_ELEMENTS:
            model.faults.append(
                f"{model.path.name} has more than {MAX_DEPTH} elements in each other, or {MAX_ELEMENTS} in all"
            )
            return


def _made(model: _Model, element: ElementTree.Element) -> int:
    """Counts what an element creates; notes the files that it names, and sizes beyond the limits."""
    for name in FILES:
        if name in element.attrib:
            model.named.append((element.tag, element.attrib[name]))
            target = model.folder / element.attrib[name]
            if (
                element.tag in ("include", "model")
                and target.resolve().is_relative_to(model.folder)
                and target.is_file()
            ):
                _read(model, target)
    model.folders += [element.attrib[name] for name in FOLDERS if element.tag == "compiler" and name in element.attrib]
    if element.tag == "size":
        wrong = [name for name, text in element.attrib.items() if not _allowed(name, text)]
        model.faults += [f"<size {name}={element.attrib[name]!r}> of {model.path.name} is too much" for name in wrong]
    if element.tag not in SIZES:
        return 1
    names, most = SIZES[element.tag]
    made = math.prod(_whole(number) for name in names for number in element.attrib.get(name, "1").split())
    if made > most:
        model.faults.append(f"<{element.tag}> of {model.path.name} makes {made:.3g} of what may be {most} at the most")
    return made


def _allowed(name: str, text: str) -> bool:
    """Returns True if an entry of <size> is within the limits."""
    if name != "memory":
        return _whole(text) <= MAX_SIZE
    return _whole(text[:-1] if text[-1:] in MEMORY else text) * MEMORY.get(text[-1:], 1) <= MAX_MEMORY


def _whole(text: str) -> int:
    """Parses a number as MuJoCo does, rounded up; 1 if it is none or negative, because MuJoCo reports that fault."""
    number = re.match(r"[ \t\r\n]*([+-]?)(\d[\d.]*(?:[eE][+-]?\d+)?)", text[:60])
    if number is None or number[1] == "-":
        return 1
    try:
        return math.ceil(min(float(number[2]), 1e30))
    except ValueError:
        return 1

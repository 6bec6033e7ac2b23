"""Checks of robot models in untrusted files, before MuJoCo reads them. Standard library only.

MuJoCo reads every file that a model names and allocates any size. So a user's model is checked first: it may only
name files in its own folder, or in its suite's if that holds it, and its sizes must be plausible for a robot.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from robometa.errors import UserError
from robometa.storage.paths import is_plain_file
from robometa.suites import mjcf_limits
from robometa.suites.mjcf_weight import BODIES, MOST, Weight, too_many

MAX_BYTES, MAX_DEPTH = 1 << 24, 100
"""Limits on the bytes of an XML file, and on the depth of nested elements."""
MAX_TOTAL = 1 << 29
"""Limit on the bytes of all files of a model."""
MAX_CHAIN = 16
"""Limit on the files that include or attach one another."""
MAX_FOLDERS = 16
"""Limit on the different folders that `<compiler>` names."""
MAX_USER = 10_000_000
"""Limit on the user's numbers of all elements together."""
MAX_FAULTS = 20
"""Faults that are reported."""
FILES = ("file", "fileright", "fileleft", "fileup", "filedown", "filefront", "fileback", "filename")
FOLDERS = ("meshdir", "texturedir", "assetdir")


@dataclass
class Model:
    """A model during its check: what it consists of, and its faults."""

    path: Path
    folder: Path
    """Folder of the main file."""
    root: Path
    """Folder that every file must lie in: the main file's, or one that holds it."""
    faults: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    """Files of the model, its main file first."""
    content: dict[Path, bytes] = field(default_factory=dict)
    """Their bytes, read once."""
    places: dict[str, Path] = field(default_factory=dict)
    """The file at each place, relative to the root, where MuJoCo may look for one."""
    named: dict[tuple[str, str, tuple[Path, ...], str], None] = field(default_factory=dict)
    """Every file that is named: the element and its attribute, the name, where it may lie, and the naming file."""
    folders: dict[str, None] = field(default_factory=lambda: {"": None})
    user_numbers: float = 0
    """The largest `nuser_` size."""
    weights: dict[Path, Weight] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Place of the main file, relative to the root."""
        return os.path.relpath(self.folder / self.path.name, self.root)

    def place_of(self, file: Path) -> Path:
        """First place of a file, relative to the root; its path if it has none."""
        return min((Path(place) for place, at in self.places.items() if at == file), default=file)

    def fault(self, text: str) -> None:
        """Notes a fault once."""
        if text not in self.faults and len(self.faults) < MAX_FAULTS:
            self.faults.append(text)


def read_model(path: Path, root: Path | None = None) -> Model:
    """Reads every file of a model once, and finds its faults.

    Args:
        path: The model's main file.
        root: Folder that its files may lie in, if it holds the main file; the main file's own folder if None.
    """
    folder = path.parent.resolve()
    around = folder if root is None else root.resolve()
    model = Model(path, folder, around if folder.is_relative_to(around) else folder)
    model.places[model.place] = path.resolve()
    elements, bodies = _read(model, path, path.name, (), (folder,)).total
    if model.faults:
        return model
    if too_many(elements, bodies):
        model.fault(f"{path.name} makes more than {MOST}, copies included")
    elif elements * model.user_numbers > MAX_USER:
        model.fault(f"<size> of {path.name} asks for more than {MAX_USER} of the user's numbers (nuser_)")
    if len(model.folders) > MAX_FOLDERS:
        model.fault(f"<compiler> of {path.name} names more than {MAX_FOLDERS} folders")
    if not model.faults:
        _gather(model)
    return model


def look_through(path: Path, root: Path | None = None) -> tuple[list[str], list[Path]]:
    """Returns the faults of a model, and the files that it consists of, its own first."""
    model = read_model(path, root)
    return model.faults, model.files


def digest(path: Path, root: Path | None = None) -> str:
    """SHA-256 of a model, and of the files that it is made of if there are others.

    Raises:
        UserError: If the model cannot be read.
    """
    model = read_model(path, root)
    if path.resolve() not in model.content:
        raise UserError("\n".join(model.faults))
    read = [file for file in model.files[1:] if file in model.content]
    own, *others = [model.files[0], *sorted(read, key=model.place_of)]
    digests = [hashlib.sha256(model.content[file]).hexdigest() for file in (own, *others)]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if others else digests[0]


def _gather(model: Model) -> None:
    """Reads the files that are named, wherever MuJoCo may look for them."""
    for attribute, name, bases, where in model.named:
        for target, place in _candidates(model, attribute, name, bases):
            if target is None or not target.is_relative_to(model.root) or place.startswith(".."):
                whose = "model's" if model.root == model.folder else "suite's"
                model.fault(f"<{attribute}={name[:200]!r}> of {where} names a file that is not in the {whose} folder")
                break
            if is_plain_file(target) and _load(model, target, MAX_TOTAL):
                model.places[place] = target


def _candidates(model: Model, attribute: str, name: str, bases: tuple[Path, ...]) -> list[tuple[Path | None, str]]:
    """Files that a name may mean, links followed, each with its place; None for one that is outside by its name."""
    if "://" in name:
        return [(None, name)]
    name = name.replace("\\", "/")  # MuJoCo separates folders by either
    references: list[tuple[Path | None, str]] = []
    folders = ("",) if attribute.startswith("include ") else model.folders  # no <compiler> moves included files
    for base in bases:
        for place in folders:
            for form in dict.fromkeys((name, name.rpartition("/")[2])):
                path = str(base / place.replace("\\", "/") / form)
                references.append((_resolved(path), os.path.relpath(path, model.root)))
    return references


def _resolved(path: str) -> Path | None:
    """A path with every link followed; None for one that cannot be."""
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links, a name that is too long
        return None


def _load(model: Model, path: Path, most: int) -> bool:
    """Reads a file once; False if it cannot be read or is too long."""
    if path in model.content:
        return True
    if path not in model.files:
        model.files.append(path)
    room = min(most, MAX_TOTAL - sum(map(len, model.content.values())))
    try:
        with path.open("rb") as file:
            content = file.read(room + 1)
    except OSError as error:
        model.fault(f"{path.name} cannot be read: {error.strerror}")
        return False
    if len(content) > room:
        model.fault(f"{path.name} is too long: a model may have {MAX_BYTES} bytes a file of XML, {MAX_TOTAL} in all")
        return False
    model.content[path] = content
    return True


def _read(model: Model, path: Path, name: str, chain: tuple[Path, ...], bases: tuple[Path, ...]) -> Weight:
    """Looks through one XML file of a model, and those that it includes or attaches.

    Args:
        model: The model.
        path: Path of the file, which may be a link: what it names may lie beside the link or beside the file.
        name: Name of the file.
        chain: Files that include or attach it.
        bases: Folders that names in those files are relative to.
    """
    beside, path = path.parent, path.resolve()
    if path in chain:
        model.fault(f"{name} includes or attaches itself")
        return Weight()
    if len(chain) >= MAX_CHAIN:
        model.fault(f"{name} is the {MAX_CHAIN + 1}th of files that include or attach one another")
        return Weight()
    if path not in model.weights:
        model.weights[path] = Weight()
        if _load(model, path, MAX_BYTES):
            model.weights[path] = _Walk(model, path, name, (*chain, path), (*bases, beside, path.parent)).run()
    return model.weights[path]


class _Walk:
    """Looks at every element of an XML file, with names as they stand there: MuJoCo knows no namespaces."""

    def __init__(self, model: Model, path: Path, name: str, chain: tuple[Path, ...], bases: tuple[Path, ...]) -> None:
        self.model, self.path, self.name, self.chain = model, path, name, chain
        self.weight, self.copies = Weight(), [1.0]
        self.bases = tuple(dict.fromkeys(bases))
        self.stopped = False

    def run(self) -> Weight:
        """Walks through the file."""
        content = self.model.content[self.path]
        if b"\0" in content or b"<!DOCTYPE" in content:
            self.model.fault(f"{self.name} is no model: it has a null byte, or a document type")
            return self.weight
        parser = expat.ParserCreate("utf-8")  # as MuJoCo reads it, whatever it declares
        parser.StartElementHandler, parser.EndElementHandler = self._begin, self._end
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:  # MuJoCo's parser is laxer: it would read what this one cannot check
            self.model.fault(f"{self.name} is not well-formed XML: {error}")
        return self.weight

    def _begin(self, element: str, attributes: dict[str, str]) -> None:
        tag = element.lower()  # MuJoCo takes some in any case
        fault = next(mjcf_limits.faults(tag, attributes), "")
        if fault:
            self.model.fault(fault.replace("|", f" of {self.name}"))
        self.copies.append(self.copies[-1] * (1 if fault else mjcf_limits.copies(tag, attributes)))
        self.weight.elements += self.copies[-1]
        self.weight.bodies += self.copies[-1] if tag in BODIES else 0
        if not self.stopped and (
            len(self.copies) > MAX_DEPTH + 1 or too_many(self.weight.elements, self.weight.bodies)
        ):
            most = f"{MAX_DEPTH} elements in each other, or {MOST} in all"
            self.model.fault(f"{self.name} has more than {most}, at <{tag}>")
            self.stopped = True
        if not self.stopped:
            self._note(tag, attributes)

    def _end(self, element: str) -> None:
        self.copies.pop()

    def _note(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Notes what an element names."""
        if tag == "plugin":
            shown = attributes.get("plugin", attributes.get("instance", ""))
            self.model.fault(f"<plugin plugin={shown[:200]!r}> of {self.name}: plugins are not allowed")
        if tag == "attach":
            self.weight.attached += self.copies[-1]
        if tag == "compiler":
            self.model.folders |= {attributes[name]: None for name in FOLDERS if name in attributes}
        if tag == "size":
            users = [mjcf_limits.product(text) for name, text in attributes.items() if name.startswith("nuser_")]
            self.model.user_numbers = max(self.model.user_numbers, *users, 0)
        for attribute in FILES:
            if attribute in attributes:
                self._name_file(tag, attribute, attributes[attribute])

    def _name_file(self, tag: str, attribute: str, name: str) -> None:
        """Notes a file that is named, and looks through it if it is XML."""
        self.model.named[f"{tag} {attribute}", name, self.bases, self.name] = None
        if tag not in ("include", "model"):
            return
        for base in self.bases:
            place = base / name.replace("\\", "/")
            target = _resolved(str(place))
            if target is not None and target.is_relative_to(self.model.root) and is_plain_file(target):
                weight = _read(self.model, place, name, self.chain, self.bases)
                if tag == "include":
                    self.weight.add(weight, self.copies[-1])
                else:
                    self.weight.can_attach(weight.total)

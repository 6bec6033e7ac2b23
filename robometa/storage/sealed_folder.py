"""Sealed folders: tensors, texts and a manifest with every file's SHA-256, written atomically, verified on loading."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from fcntl import LOCK_SH
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from robometa.errors import UserError
from robometa.escape import say
from robometa.storage import atomic, shards
from robometa.storage.open_folder import OpenFolder, opened
from robometa.storage.paths import is_own_file

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
"""Version of the manifest's format."""
TENSORS, MANIFEST = "tensors.safetensors", "manifest.json"
MAX_MANIFEST_BYTES = 1 << 26
"""Largest manifest that is read, bytes; far above any real one."""
MAX_FILES = 10_000
"""Most files that a manifest lists."""
KINDS_WITHOUT_SHARDS = ("policy",)
"""Kinds of folders that keep no tensor in shards, which can be far larger than their files."""
MAX_WARNINGS = 5
"""Most damaged texts of a folder that are reported."""


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    texts: Mapping[str, str | bytes] | None = None,
    *,
    sharded: bool = False,
    sharing: OpenFolder | None = None,
    within: OpenFolder | None = None,
    replacing: bool = True,
) -> None:
    """Writes tensors, texts and a manifest to a temporary folder, then renames it into place.

    After a failure nothing is left of the new folder.

    Args:
        folder: Folder to write.
        tensors: Tensors by name.
        description: Further entries of the manifest; `load` checks its `kind`.
        texts: Further files, by name, which may have folders.
        sharded: Keep large tensors as files of a megabyte each, named by their SHA-256.
        sharing: Folder to hard-link unchanged shards from; damage to such a file damages both folders.
        within: The folder to write into, if it is open already.
        replacing: Replace what has the folder's path.

    Raises:
        FileExistsError: If something has the folder's path, and is not to be replaced.
    """
    from safetensors.torch import save as serialized  # a manifest is read without torch

    atomic.recover(folder)
    with ExitStack() as stack:
        if within is None:
            within = stack.enter_context(opened(folder.parent, create=True))
        aside = stack.enter_context(atomic.aside(within, folder.name))
        large = {name for name, tensor in tensors.items() if sharded and tensor.nbytes > shards.SHARD_BYTES}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if name not in large}
        # safetensors refuses tensors that share memory.
        content = serialized({name: tensor.clone() for name, tensor in plain.items()})
        files = {TENSORS: atomic.write(aside, TENSORS, content)}
        cut = {name: shards.write(tensors[name], aside, sharing) for name in sorted(large)}
        for name, text in (texts or {}).items():
            files[name] = _write_inside(aside, name, text.encode() if isinstance(text, str) else text)
        manifest = {"format": FORMAT, **description, "files": files} | ({shards.KEY: cut} if cut else {})
        atomic.write(aside, MANIFEST, _manifest_text(manifest))
        (atomic.publish_over if replacing else atomic.publish)(within, aside, folder.name)


def load(folder: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Loads the tensors and the manifest of a folder that `save` wrote, and verifies every file.

    A damaged text, such as a report, keeps no tensors from being used: it is a warning on standard error.

    Raises:
        UserError: If it is not such a folder, or its manifest or a tensor was altered or cut short.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(atomic.locked(folder, LOCK_SH))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder} is not a {kind}: {_needs(folder, kind)}") from None
        return _loaded(folder, kind)


def _loaded(folder: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Loads a folder that is locked against writing."""
    from safetensors.torch import load_file

    if not is_own_file(folder, MANIFEST) or not is_own_file(folder, TENSORS):
        raise UserError(f"{folder} is not a {kind}: {_needs(folder, kind)}")
    manifest = read_manifest(folder)
    if manifest.get("kind") != kind:
        raise UserError(f"{folder / MANIFEST} is not the manifest of a {kind}, but of a {manifest.get('kind')}")
    try:
        _require_plain_names(folder, manifest["files"])
        _verify(folder, TENSORS, {manifest["files"][TENSORS]})
        tensors = load_file(folder / TENSORS)
        if shards.KEY in manifest and kind in KINDS_WITHOUT_SHARDS:
            raise UserError(f"{folder / MANIFEST} is damaged: no {kind} has shards")
        tensors |= shards.read_all(folder, manifest.get(shards.KEY, {}))
        for fault in _faults_of_texts(folder, manifest):
            say(f"warning: {fault}", error=True)
    except SafetensorError as error:
        raise UserError(f"{folder / TENSORS} is damaged: {error}") from None
    except (KeyError, OverflowError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"{folder / MANIFEST} is damaged: {error!r}") from None
    return tensors, manifest


def _write_inside(folder: OpenFolder, name: str, content: bytes) -> str:
    """Writes and flushes a file, makes the folders in its name, and returns its SHA-256."""
    *folders, file = PurePosixPath(name).parts
    with ExitStack() as stack:
        for part in folders:
            folder = stack.enter_context(folder.subfolder(part, create=True))
        digest = atomic.write(folder, file, content)
        os.fsync(folder.descriptor)
    return digest


def _needs(folder: Path, kind: str) -> str:
    """Files that a folder lacks, if it is there, and the folder that was probably meant."""
    if not folder.exists():
        return "there is no such folder"
    inside = folder / kind
    meant = f"; did you mean {inside}?" if is_own_file(inside, MANIFEST) else ""
    return f"it needs {MANIFEST} and {TENSORS}{meant}"


def _require_plain_names(folder: Path, files: Mapping[str, Any]) -> None:
    """Checks the names of a manifest's files, which would otherwise list one file under any number of names.

    Raises:
        UserError: If there are too many, one has another form than its path, or the tensors are missing.
    """
    if TENSORS not in files:
        raise UserError(f"{folder / MANIFEST} is damaged: it does not list {TENSORS}")
    if len(files) > MAX_FILES or any(str(PurePosixPath(name)) != name for name in files):
        raise UserError(f"{folder / MANIFEST} is damaged: it must list at most {MAX_FILES} files by their plain names")


def _faults_of_texts(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Describes the first texts of a folder that are not the manifest's."""
    faults: list[str] = []
    for name, digest in manifest["files"].items():
        try:
            if name != TENSORS:
                _verify(folder, name, {digest, manifest.get("replacing", {}).get(name)})
        except (UserError, OSError) as error:
            faults.append(str(error))
        if len(faults) == MAX_WARNINGS:
            break
    return faults


def put(folder: Path, texts: Mapping[str, str], *, tensors: str | None = None) -> None:
    """Writes texts to a folder, and lists them in its manifest if it has one.

    The manifest is valid at every moment: while a file is replaced, it lists both the old and the new hash.

    Args:
        folder: The folder, which is locked meanwhile.
        texts: Texts by name.
        tensors: SHA-256 of the tensors that the texts are about; any if None.

    Raises:
        UserError: If the folder holds other tensors, or another process writes to it for too long.
    """
    with atomic.locked(folder) as locked:
        locked.remove_leftovers(atomic.ASIDE)
        manifest = read_manifest(folder) if os.path.lexists(folder / MANIFEST) else None
        if tensors is not None and (manifest is None or manifest["files"].get(TENSORS) != tensors):
            raise UserError(f"{folder} has been replaced meanwhile, and holds other tensors: it is left as it is now")
        if manifest is None:
            _replace(locked, texts)
            return
        interrupted = manifest.pop("replacing", {})
        files = manifest["files"] | {name: digest for name, digest in interrupted.items() if _is(folder, name, digest)}
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
        listed = {name: digest for name, digest in digests.items() if name in files}
        if listed:
            _put_manifest(locked, manifest | {"files": files, "replacing": listed})
        _replace(locked, texts)
        _put_manifest(locked, manifest | {"files": files | digests})


def _replace(folder: OpenFolder, texts: Mapping[str, str]) -> None:
    """Replaces texts in an open folder and in those below it."""
    for name, text in texts.items():
        *folders, file = PurePosixPath(name).parts
        with ExitStack() as stack:
            place = folder
            for part in folders:
                place = stack.enter_context(place.subfolder(part))
            atomic.replace(place, file, text.encode())


def _is(folder: Path, name: str, digest: str) -> bool:
    """Tests if a folder has a file with a SHA-256."""
    return is_own_file(folder, name) and sha256(folder / name) == digest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a sealed folder; checks its digest and leaves it out.

    Raises:
        UserError: If it is no such manifest, or was altered or truncated.
    """
    path = folder / MANIFEST
    if os.path.lexists(path) and not is_own_file(folder, MANIFEST):
        raise UserError(f"{path} is damaged: it is no file, or a link")
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise UserError(f"{path} is damaged: no manifest has more than {MAX_MANIFEST_BYTES} bytes")
        content = path.read_bytes()
        manifest = json.loads(content.decode())
    except FileNotFoundError:
        raise UserError(f"{folder} is not a sealed folder: it has no {MANIFEST}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:200]}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        version = manifest.get("format") if isinstance(manifest, dict) else None
        raise UserError(f"{path} is damaged, or of another version of robometa: its format is {version}, not {FORMAT}")
    manifest.pop("digest", None)
    if content != _manifest_text(manifest):
        raise UserError(f"{path} was altered or cut short: it does not fit the digest at its end")
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Replaces the manifest of a folder; its last entry is a digest of the others."""
    with atomic.locked(folder) as locked:
        _put_manifest(locked, manifest)


def _put_manifest(folder: OpenFolder, manifest: Mapping[str, Any]) -> None:
    atomic.replace(folder, MANIFEST, _manifest_text(manifest))


def sha256(path: Path) -> str:
    """Computes the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """Canonical text of a manifest, with a digest of it at the end."""
    entries = {key: value for key, value in manifest.items() if key != "digest"}
    digest = hashlib.sha256(json.dumps(entries, indent=2).encode()).hexdigest()
    return (json.dumps(entries | {"digest": digest}, indent=2) + "\n").encode()


def _verify(folder: Path, name: str, digests: set[str | None]) -> None:
    """Checks one file of a folder.

    Raises:
        UserError: If it is missing, or its SHA-256 is none of the digests.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not is_own_file(folder, name):
        raise UserError(f"{folder} lacks {name}, which its {MANIFEST} lists")
    if sha256(folder / path) not in digests:
        raise UserError(f"{folder / path} was altered or cut short: its SHA-256 is not the manifest's")

"""Sealed folders: tensors, texts and a manifest with every file's SHA-256, written atomically, verified on loading."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from robometa.errors import UserError
from robometa.storage import atomic

FORMAT = 2
"""Version of the manifest's format."""
TENSORS, MANIFEST = "tensors.safetensors", "manifest.json"
PIECE_BYTES = 1 << 20
"""Size of a piece of a large tensor, bytes; unchanged pieces are shared with an earlier folder."""
MAX_MANIFEST_BYTES = 1 << 26
"""Largest manifest that is read, bytes; far above any real one."""
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
"""Allowed dtypes of a tensor in pieces, by name."""


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    description: Mapping[str, Any],
    texts: Mapping[str, str | bytes] | None = None,
    *,
    pieces: bool = False,
    sharing: Path | None = None,
) -> None:
    """Writes tensors, texts and a manifest to a temporary folder, then renames it into place.

    An existing folder is replaced. After a failure nothing is left of the new one.

    Args:
        folder: Folder to write.
        tensors: Tensors by name.
        description: Further entries of the manifest; `load` checks its `kind`.
        texts: Further files, by name, which may have folders.
        pieces: Keep large tensors as files of a megabyte each, named by their SHA-256.
        sharing: A folder whose unchanged pieces are hard-linked; damage to such a file damages both folders.
    """
    recover(folder)
    aside = atomic._beside(folder, "writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        large = {name for name, tensor in tensors.items() if pieces and tensor.nbytes > PIECE_BYTES}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items() if name not in large}
        # safetensors refuses tensors that share memory.
        content = safetensors.save({name: tensor.clone() for name, tensor in plain.items()})
        files = {TENSORS: atomic._write(aside / TENSORS, content)}
        cut = {name: _cut(tensors[name], aside, sharing) for name in sorted(large)}
        for name, text in (texts or {}).items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            files[name] = atomic._write(aside / name, text.encode() if isinstance(text, str) else text)
        for inner in sorted(path for path in aside.rglob("*") if path.is_dir()):
            atomic.flush(inner)
        manifest = {"format": FORMAT, **description, "files": files} | ({"pieces": cut} if cut else {})
        atomic._write(aside / MANIFEST, _manifest_text(manifest))
        atomic.flush(aside)
        _put(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def load(folder: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Loads the tensors and the manifest of a folder that `save` wrote, and verifies every file.

    Raises:
        UserError: If it is not such a folder, or any file of it was altered or cut short.
    """
    recover(folder)
    if not (folder / MANIFEST).is_file() or not (folder / TENSORS).is_file():
        inside = folder / kind
        meant = f"; did you mean {inside}?" if (inside / MANIFEST).is_file() else ""
        raise UserError(f"{folder} is not a {kind}: it needs {MANIFEST} and {TENSORS}{meant}")
    manifest = read_manifest(folder)
    if manifest.get("kind") != kind:
        raise UserError(f"{folder / MANIFEST} is not the manifest of a {kind}, but of a {manifest.get('kind')}")
    try:
        if TENSORS not in manifest["files"]:
            raise UserError(f"{folder / MANIFEST} is damaged: it does not list {TENSORS}")
        for name, digest in manifest["files"].items():
            _verify(folder, name, {digest, manifest.get("replacing", {}).get(name)})
        tensors = safetensors.load_file(folder / TENSORS)
        for name, cut in manifest.get("pieces", {}).items():
            tensors[name] = _joined(folder, cut)
    except SafetensorError as error:
        raise UserError(f"{folder / TENSORS} is damaged: {error}") from None
    except (KeyError, OverflowError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"{folder / MANIFEST} is damaged: {error!r}") from None
    return tensors, manifest


def put(folder: Path, texts: Mapping[str, str]) -> None:
    """Writes texts to a folder, and lists them in its manifest if it has one.

    The manifest is valid at every moment: while a file is replaced, it lists both the old and the new hash.
    """
    if not (folder / MANIFEST).is_file():
        for name, text in texts.items():
            atomic.replace_file(folder / name, text.encode())
        return
    manifest = read_manifest(folder)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    listed = {name: digest for name, digest in digests.items() if name in manifest["files"]}
    if listed:
        write_manifest(folder, manifest | {"replacing": listed})
    for name, text in texts.items():
        atomic.replace_file(folder / name, text.encode())
    manifest.pop("replacing", None)
    write_manifest(folder, manifest | {"files": manifest["files"] | digests})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads the manifest of a sealed folder; checks its digest and leaves it out.

    Raises:
        UserError: If it is no such manifest, or was altered or truncated.
    """
    path = folder / MANIFEST
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
    atomic.replace_file(folder / MANIFEST, _manifest_text(manifest))


def recover(folder: Path) -> None:
    """Restores the old folder if its replacement was interrupted."""
    old = atomic._beside(folder, "old")
    if old.is_dir() and not folder.exists():
        old.rename(folder)


def sha256(path: Path) -> str:
    """Computes the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _put(aside: Path, folder: Path) -> None:
    """Renames a whole folder into place and removes the one that it replaces."""
    old = atomic._beside(folder, "old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
    except BaseException:
        if not folder.exists() and old.exists():
            old.rename(folder)
        raise
    atomic.flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """Canonical text of a manifest, with a digest of it at the end."""
    entries = {key: value for key, value in manifest.items() if key != "digest"}
    digest = hashlib.sha256(json.dumps(entries, indent=2).encode()).hexdigest()
    return (json.dumps(entries | {"digest": digest}, indent=2) + "\n").encode()


def _cut(tensor: Tensor, aside: Path, sharing: Path | None) -> dict[str, Any]:
    """Writes a tensor in pieces, links those of another folder, and returns the description for `_joined`."""
    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    content = flat.numpy().data
    names = []
    for start in range(0, len(content), PIECE_BYTES):
        piece = content[start : start + PIECE_BYTES]
        name = hashlib.sha256(piece).hexdigest()
        names.append(name)
        if not (aside / name).exists() and not _linked(sharing, aside, name):
            atomic._write(aside / name, piece)
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "files": names}


def _linked(sharing: Path | None, aside: Path, name: str) -> bool:
    """Links a piece of another folder; False if it cannot."""
    if sharing is None:
        return False
    try:
        os.link(sharing / name, aside / name)
    except OSError:  # it is not there, or the file system has no links
        return False
    return True


def _verify(folder: Path, name: str, digests: set[str | None]) -> None:
    """Checks one file of a folder.

    Raises:
        UserError: If it is missing, or its SHA-256 is none of the digests.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (folder / path).is_file():
        raise UserError(f"{folder} lacks {name}, which its {MANIFEST} lists")
    if sha256(folder / path) not in digests:
        raise UserError(f"{folder / path} was altered or cut short: its SHA-256 is not the manifest's")


def _joined(folder: Path, cut: Mapping[str, Any]) -> Tensor:
    """Joins a tensor from its pieces and verifies each.

    Raises:
        UserError: If one is missing, altered or truncated.
    """
    dtype, shape, names = DTYPES[cut["dtype"]], [int(length) for length in cut["shape"]], cut["files"]
    for name in names:
        if not (len(name) == 64 and name.isalnum() and (folder / name).is_file()):
            raise UserError(f"{folder} lacks the piece {name[:64]}, which its {MANIFEST} lists")
    size = sum((folder / name).stat().st_size for name in names)
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 1 or size != wanted:
        raise UserError(f"{folder} has pieces of {size} bytes for a tensor of {wanted}")
    flat = torch.empty(size, dtype=torch.uint8)
    content, start = flat.numpy().data, 0
    for name in names:
        with (folder / name).open("rb") as file:
            end = start + file.readinto(content[start:])
        if hashlib.sha256(content[start:end]).hexdigest() != name:
            raise UserError(f"{folder / name} was altered or cut short: its SHA-256 is not its name")
        start = end
    return flat.view(dtype).reshape(shape)

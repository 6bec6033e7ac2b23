"""Large tensors as files of a megabyte each, named by their SHA-256, which later folders share."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robometa.errors import UserError
from robometa.storage import atomic
from robometa.storage.open_folder import OpenFolder
from robometa.storage.paths import is_own_file

if TYPE_CHECKING:
    from torch import Tensor

SHARD_BYTES = 1 << 20
"""Size of a shard of a large tensor, bytes; unchanged shards are shared with an earlier folder."""
KEY = "pieces"
"""Entry of a manifest that lists its shards, by tensor."""
DTYPES = (
    *("float64", "float32", "float16", "bfloat16"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
"""Names of the allowed dtypes of a tensor in shards."""


def write(tensor: Tensor, folder: OpenFolder, sharing: OpenFolder | None) -> dict[str, Any]:
    """Writes a tensor in shards, links those of another folder, and returns the description for `read`."""
    import torch  # a manifest is read without it

    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    content = flat.numpy().data
    names = []
    for start in range(0, len(content), SHARD_BYTES):
        shard = content[start : start + SHARD_BYTES]
        name = hashlib.sha256(shard).hexdigest()
        names.append(name)
        if not folder.has_file(name) and not _linked(sharing, folder, name):
            atomic.write(folder, name, shard)
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "files": names}


def read_all(folder: Path, described: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """Joins tensors from their shards and verifies each.

    Raises:
        UserError: If a shard is missing, altered or truncated, or the tensors need more than the machine's memory.
    """
    require_memory(folder, sum(SHARD_BYTES * len(one["files"]) for one in described.values()))
    return {name: read(folder, one) for name, one in described.items()}


def require_memory(path: Path, size: int) -> None:
    """Checks that tensors fit into the machine's memory: a shard may be listed many times, and a file have holes.

    Raises:
        UserError: If they do not.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise UserError(f"{path} has tensors of {size} bytes, and this machine has {memory} bytes of memory")


def read(folder: Path, described: Mapping[str, Any]) -> Tensor:
    """Joins a tensor from its shards and verifies each.

    Raises:
        UserError: If one is missing, altered or truncated.
    """
    import torch

    if described["dtype"] not in DTYPES:
        raise UserError(f"{folder} has shards of an unknown dtype: {described['dtype']!r:.40}")
    dtype, names = getattr(torch, described["dtype"]), described["files"]
    shape = [int(length) for length in described["shape"]]
    for name in names:
        if not (len(name) == 64 and name.isalnum() and is_own_file(folder, name)):
            raise UserError(f"{folder} lacks the shard {name[:64]}, which its manifest lists")
    sizes = [(folder / name).stat().st_size for name in names]
    size = sum(sizes)
    if max(sizes, default=0) > SHARD_BYTES:
        raise UserError(f"{folder} has a shard of {max(sizes)} bytes, and none has more than {SHARD_BYTES}")
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 1 or size != wanted:
        raise UserError(f"{folder} has shards of {size} bytes for a tensor of {wanted}")
    flat = torch.empty(size, dtype=torch.uint8)
    content, start = flat.numpy().data, 0
    for name in names:
        with (folder / name).open("rb") as file:
            end = start + file.readinto(content[start:])
        if hashlib.sha256(content[start:end]).hexdigest() != name:
            raise UserError(f"{folder / name} was altered or cut short: its SHA-256 is not its name")
        start = end
    return flat.view(dtype).reshape(shape)


def _linked(sharing: OpenFolder | None, folder: OpenFolder, name: str) -> bool:
    """Links a shard of another folder; False if it cannot."""
    if sharing is None or not sharing.has_file(name):
        return False
    try:
        os.link(name, name, src_dir_fd=sharing.descriptor, dst_dir_fd=folder.descriptor, follow_symlinks=False)
    except OSError:  # the file system has no links
        return False
    return True

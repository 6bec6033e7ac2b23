"""Memory that several processes share. It has no name, so nothing can be left behind."""

from __future__ import annotations

import mmap
import os
import tempfile


class SharedBytes:
    """Bytes in shared memory, for messages that are too long for a connection without a reader."""

    def __init__(self, capacity: int, descriptor: int | None = None) -> None:
        """Makes the memory, or maps that of a descriptor which another process has passed on."""
        self.capacity = capacity
        self.descriptor = anonymous(capacity) if descriptor is None else descriptor
        self._memory = mmap.mmap(self.descriptor, capacity)

    def write(self, content: bytes) -> None:
        """Writes from the beginning.

        Raises:
            ValueError: If the content is longer than the memory.
        """
        self._memory[: len(content)] = content

    def read(self, length: int) -> bytes:
        """Reads from the beginning."""
        return self._memory[:length]

    def close(self) -> None:
        """Frees the memory."""
        self._memory.close()
        os.close(self.descriptor)


def anonymous(size: int) -> int:
    """Returns the descriptor of a number of bytes of memory without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("robometa", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:  # unlinked already
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor

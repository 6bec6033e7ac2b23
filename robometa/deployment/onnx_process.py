"""Runs ONNX files: `python -P -m robometa.deployment.onnx_process SOCKET SECONDS`, a process of its own with limits.

onnxruntime is C++: a stranger's file may crash it, repeat a loop for ever, or ask for any memory. Each message is a
kind, a length and a content: a file to load, or the inputs of the file with this number; the answer is a list of names,
the outputs, or a fault.
"""

from __future__ import annotations

import json
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import numpy as safetensors

from robometa.compute import limits

MEMORY = 4 << 30
"""Limit on the address space beyond what the process begins with, bytes."""
LOAD, FAULT, DONE = 254, 255, 0
"""Kinds of messages; the other numbers are those of the loaded files."""
HEAD = struct.Struct("<BQ")
MAX_BYTES = 1 << 30
"""Most bytes of a message."""
MAX_FAULT = 300
"""Most characters of a fault."""
Arrays = Mapping[str, NDArray[Any]]


def main(number: int, seconds: int) -> None:
    """Answers messages until the other end of the socket is closed; each may take so much processor time."""
    import onnxruntime  # noqa: F401 # what it takes itself does not count

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    limits.end_with(sys.stdin.fileno())
    limits.limit(MEMORY, seconds)
    sessions: list[Any] = []
    with socket.socket(fileno=number) as line, line.makefile("rwb") as stream:
        while (message := receive(stream)) is not None:
            kind, content = message
            limits.limit_seconds(seconds)
            try:
                if kind == LOAD:
                    sessions.append(session(content))
                    answer = _names(sessions[-1])
                else:
                    answer = _outputs(sessions[kind], content)
                send(stream, DONE, answer)
            except MemoryError:
                send(stream, FAULT, f"it needs more than {MEMORY >> 30} GB of memory".encode())
            except Exception as error:  # whatever onnxruntime raises: the parent reports it
                said = " ".join(str(error).split()) or type(error).__name__
                send(stream, FAULT, said[:MAX_FAULT].encode(errors="replace"))


def session(content: bytes) -> Any:
    """Loads an ONNX file into onnxruntime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def send(stream: BufferedIOBase, kind: int, content: bytes) -> None:
    """Sends a message."""
    stream.write(HEAD.pack(kind, len(content)) + content)
    stream.flush()


def receive(stream: BufferedIOBase, most: int = MAX_BYTES) -> tuple[int, bytes] | None:
    """Receives a message; None at the end, and for one that is cut short or longer than `most` bytes."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, size = HEAD.unpack(head)
    content = stream.read(size) if size <= most else b""
    return (kind, content) if len(content) == size else None


def packed(arrays: Arrays) -> bytes:
    """Arrays by name as bytes."""
    content: bytes = safetensors.save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    return content


def _names(loaded: Any) -> bytes:
    """Names of the inputs and of the outputs."""
    return json.dumps([[one.name for one in part] for part in (loaded.get_inputs(), loaded.get_outputs())]).encode()


def _outputs(loaded: Any, content: bytes) -> bytes:
    """Runs a file on inputs."""
    names = [one.name for one in loaded.get_outputs()]
    return packed(dict(zip(names, loaded.run(None, safetensors.load(content)), strict=True)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""ONNX files that are run in a process of their own: this process gets numbers or a sentence, and nothing else."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from robometa.compute.python_process import environment, python
from robometa.deployment import onnx_process
from robometa.deployment.onnx_process import FAULT, LOAD, Arrays, packed, receive, send
from robometa.errors import UserError

DOMAINS = ("", "ai.onnx")
"""Sets of operators that an export uses, besides functions in the file itself."""
SECONDS = 60
"""Limit on the processor time of loading a file, and of each run, s."""
PATIENCE = 10.0
"""Seconds in which the process has to end once it is asked to."""


class OnnxFiles:
    """Some ONNX files in one process, which ends with `close`."""

    def __init__(self, *contents: bytes) -> None:
        """Loads files.

        Raises:
            UserError: If one needs other files or operators, or onnxruntime cannot load it.
        """
        for content in contents:
            require_whole(content)
        here, there = socket.socketpair()
        with there:
            self._process = subprocess.Popen(
                python("-m", onnx_process.__name__, there.fileno(), SECONDS),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(there.fileno(),),
                env=environment(),
            )
        self._stream = here.makefile("rwb")
        here.close()
        self.names: list[tuple[list[str], list[str]]] = []
        """Names of inputs and outputs of each file."""
        try:
            for content in contents:
                inputs, outputs = json.loads(self._asked(LOAD, content))
                self.names.append((inputs, outputs))
        except BaseException:
            self.close()
            raise

    def run(self, number: int, feed: Arrays) -> dict[str, NDArray[Any]]:
        """Runs a file.

        Args:
            number: Which of the files.
            feed: Inputs by name; others than the file's are left out.

        Returns:
            Outputs by name.

        Raises:
            UserError: If it needs another input, fails, or takes too long or too much memory.
        """
        missing = next((name for name in self.names[number][0] if name not in feed), None)
        if missing is not None:
            raise UserError(f"an exported ONNX file has an input that no export has: {missing[:100]}")
        answer = self._asked(number, packed({name: feed[name] for name in self.names[number][0]}))
        try:
            return dict(safetensors.load(answer))
        except (SafetensorError, KeyError, ValueError) as error:
            raise UserError(f"an exported ONNX file gives what are no numbers: {str(error)[:200]}") from None

    def close(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(OSError):  # something is left to send, and nobody to take it
            self._stream.close()

    def _asked(self, kind: int, content: bytes) -> bytes:
        """Sends a message and returns the answer.

        Raises:
            UserError: If it is a fault, or the process has ended.
        """
        try:
            send(self._stream, kind, content)
            answer = receive(self._stream)
        except ConnectionError:
            answer = None
        if answer is None:
            raise self._ended()
        if answer[0] == FAULT:
            raise UserError(f"onnxruntime cannot run an exported ONNX file: {answer[1].decode(errors='replace')}")
        return answer[1]

    def _ended(self) -> UserError:
        """The error of a process that has ended, or sent too much."""
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait(PATIENCE)
        if code == -signal.SIGINT:
            raise KeyboardInterrupt
        if code in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGTERM):
            return UserError("an exported ONNX file takes too long, or too much memory")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return UserError(f"an exported ONNX file crashes onnxruntime ({how})")


def require_whole(content: bytes) -> None:
    """Checks that an ONNX file has all its numbers inside, and only usual operators.

    Raises:
        UserError: If it is no ONNX file, names other files, or needs a library of operators.
    """
    import onnx

    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # of protobuf, whose classes differ between its versions
        raise UserError(f"an exported ONNX file is damaged: {type(error).__name__}") from None
    own = {function.domain for function in model.functions}
    for node in _nodes(model):
        if node.domain not in DOMAINS and node.domain not in own:
            raise UserError(f"an exported ONNX file needs operators that no export has: {node.domain[:100]!r}")
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data):
            raise UserError(f"an exported ONNX file must hold its numbers, but {tensor.name[:100]!r} is in another")


def _graphs(model: Any) -> Iterator[Any]:
    """The graph, the functions, and every graph within a node."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g, *attribute.graphs] if attribute.HasField("g") else [*attribute.graphs]


def _nodes(model: Any) -> Iterator[Any]:
    return (node for graph in _graphs(model) for node in graph.node)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor in a file."""
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for one in node.attribute:
                yield from (one.t, *one.tensors)
                for sparse in (one.sparse_tensor, *one.sparse_tensors):
                    yield from (sparse.values, sparse.indices)

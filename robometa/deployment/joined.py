"""Normalizes the inputs of a step's first layer together, instead of one by one and then joined.

Observation, last action, reward and end have a node each for shift, scale and bounds; of their concatenation, one each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
FLOAT = 1
"""ONNX's number of float32."""


@dataclass(frozen=True)
class _Part:
    """An input of the graph, and what becomes of it: `clip((input - shift) * scale, low, high)`."""

    name: str
    shift: Row
    scale: Row
    low: Row
    high: Row


def join(model: Any) -> None:
    """Rewrites a graph in place; the numbers stay the same.

    An end, which is 0 or 1, is taken as a number instead of being compared.

    Args:
        model: Graph whose inputs are `[1, number]`.
    """
    _Joining(model.graph).run()


class _Joining:
    """Constants, inputs and the nodes that make the other values of a graph."""

    def __init__(self, graph: Any) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy, self.graph = helper, numpy_helper, graph
        self.constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self.sizes = {one.name: one.type.tensor_type.shape.dim[-1].dim_value for one in graph.input}
        self.makers = {name: node for node in graph.node for name in node.output}

    def run(self) -> None:
        """Rewrites every concatenation that gains by it, and removes what nothing needs any more."""
        nodes: list[Any] = []
        for node in self.graph.node:
            parts = self._parts(node) if node.op_type == "Concat" else []
            nodes += self._joined(node, parts) if sum(self._is_changed(part) for part in parts) > 1 else [node]
        needed, kept = {one.name for one in self.graph.output}, []
        for node in reversed(nodes):
            if needed & {*node.output}:
                needed.update(node.input)
                kept.append(node)
        whole = [one for one in self.graph.initializer if one.name in needed]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(reversed(kept))
        self.graph.initializer.extend(whole)

    def _parts(self, node: Any) -> list[_Part]:
        """The parts of a concatenation; none if one is no input, or is changed otherwise."""
        found = [self._part(name) for name in node.input]
        return [part for part in found if part is not None] if all(found) else []

    def _part(self, name: str) -> _Part | None:
        end = self._compared(name)
        if end is not None or name in self.sizes:
            return self._plain(name if end is None else end)
        cut = self._made(name, "Clip")
        scaled = cut and self._made(cut.input[0], "Mul")
        moved = scaled and self._made(scaled.input[0], "Sub")
        if not moved or moved.input[0] not in self.sizes:
            return None
        given = [moved.input[1], scaled.input[1], *cut.input[1:]]
        if len(given) != 4 or not all(one in self.constants for one in given):
            return None
        size = self.sizes[moved.input[0]]
        rows = [np.broadcast_to(self.constants[one].reshape(-1), size).astype(np.float32) for one in given]
        return _Part(moved.input[0], *rows)

    def _plain(self, name: str) -> _Part:
        zeros = np.zeros(self.sizes[name], np.float32)
        return _Part(name, zeros, zeros + 1, zeros - np.float32(np.inf), zeros + np.float32(np.inf))

    def _compared(self, name: str) -> str | None:
        """The input of which a value is 1 where it is above one half, else 0."""
        cast = self._made(name, "Cast")
        above = cast and self._made(cast.input[0], "Greater")
        if not cast or not above or cast.attribute[0].i != FLOAT or above.input[0] != "last_done":
            return None
        bound = self.constants.get(above.input[1])
        return above.input[0] if bound is not None and bound.size == 1 and bound.item() == 0.5 else None

    def _made(self, name: str, kind: str) -> Any:
        node = self.makers.get(name)
        return node if node is not None and node.op_type == kind else None

    def _is_changed(self, part: _Part) -> bool:
        return bool(part.shift.any() or np.isfinite(part.high).any())

    def _joined(self, node: Any, parts: list[_Part]) -> Iterator[Any]:
        """Nodes that take the place of a concatenation."""
        result = node.output[0]
        names = [f"{result}_{stage}" for stage in ("together", "moved", "scaled", "below")]
        yield self._helper.make_node("Concat", [part.name for part in parts], names[:1], axis=1)
        stages = zip(("Sub", "Mul", "Min", "Max"), ("shift", "scale", "high", "low"), names, strict=True)
        for (kind, number, source), made in zip(stages, [*names[1:], result], strict=True):
            constant = f"{result}_{number}"
            row = np.concatenate([getattr(part, number) for part in parts])[None]
            self.graph.initializer.append(self._numpy.from_array(row, constant))
            yield self._helper.make_node(kind, [source, constant], [made])

"""Removes the axes of tasks and worlds from the graph of one step of one world, where they have length 1.

Each reshaping that they cost takes as long as a small layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

VIEWS = {"Reshape", "Unsqueeze", "Squeeze", "Flatten"}
"""Operators that change the shape only."""
ELEMENTWISE = {
    *("Abs", "Add", "And", "Cast", "Clip", "Div", "Equal", "Exp", "Greater", "Less", "Log", "Max", "Min", "Mul", "Neg"),
    *("Not", "Or", "Pow", "Reciprocal", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh", "Where"),
}
"""Operators of numbers one by one, whatever the shape."""
ALONG = {"Concat", "Split"}
"""Operators along an axis that is given as a number."""
Shape = tuple[int, ...]


def flatten(model: Any) -> None:
    """Rewrites a model in place, so that rows `[1, 1, number]` are rows `[1, number]` and views of them go.

    Args:
        model: Graph whose inputs and outputs are `[1, number]`.
    """
    _Flattening(model).run()


class _Flattening:
    """Nodes so far, and the rows among their values."""

    def __init__(self, model: Any) -> None:
        import onnx

        self._helper, self._numpy = onnx.helper, onnx.numpy_helper
        self.graph = model.graph
        self.shapes = _shapes(onnx.shape_inference.infer_shapes(model).graph)
        self.constants = {one.name: one for one in self.graph.initializer}
        self.nodes: list[Any] = []
        self.names: dict[str, str] = {}
        """Values that are views of another, and that other."""
        self.flat: set[str] = set()
        """Values that have lost axes."""

    def run(self) -> None:
        """Rewrites the graph."""
        for node in self.graph.node:
            if node.op_type in VIEWS and self._is_view(node):
                self.names[node.output[0]] = self._name(node.input[0])
            elif self._takes_rows(node):
                self._emit_flat(node)
            else:
                self._emit_whole(node)
        self._name_outputs()
        used = {name for node in self.nodes for name in node.input}
        kept = [one for name, one in self.constants.items() if name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(kept)

    def _name(self, name: str) -> str:
        return self.names.get(name, name)

    def _is_row(self, name: str) -> bool:
        """Tests if a value is a row, of two axes or more."""
        shape = self.shapes.get(name)
        return shape is not None and len(shape) > 1 and prod(shape[:-1]) == 1

    def _is_flat(self, name: str) -> bool:
        """Tests if a value is a row that has two axes by now, or that can have them, as a constant."""
        source = self._name(name)
        return self._is_row(source) and (source in self.flat or source in self.constants or self._axes(source) == 2)

    def _axes(self, name: str) -> int:
        return len(self.shapes[name])

    def _is_view(self, node: Any) -> bool:
        source, result = node.input[0], node.output[0]
        same = self._is_row(source) and self._is_row(result) and self.shapes[source][-1] == self.shapes[result][-1]
        return same and self._is_flat(source) and self._name(source) not in self.constants

    def _takes_rows(self, node: Any) -> bool:
        """Tests if a node gives the same numbers with two axes."""
        if not all(self._is_row(name) for name in node.output):
            return False
        given = [name for name in node.input if name]
        if node.op_type in ELEMENTWISE:
            return all(self._is_flat(name) or self._is_small(name) for name in given)
        if node.op_type == "MatMul":
            return self._is_flat(given[0]) and self._is_matrix(self._name(given[1]))
        if node.op_type not in ALONG:
            return False
        rows = given if node.op_type == "Concat" else given[:1]
        axis = self._axis(node)
        return all(self._is_flat(name) and axis in (-1, self._axes(name) - 1) for name in rows)

    def _is_small(self, name: str) -> bool:
        """Tests if a value has one axis at most."""
        shape = self.shapes.get(self._name(name))
        return shape is not None and len(shape) < 2

    def _is_matrix(self, source: str) -> bool:
        """Tests if a value has two axes, or can have them, as a constant."""
        shape = self.shapes.get(source, ())
        return len(shape) == 2 or (source in self.constants and len(shape) > 2 and prod(shape[:-2]) == 1)

    def _axis(self, node: Any) -> int | None:
        return next((one.i for one in node.attribute if one.name == "axis"), None)

    def _emit_flat(self, node: Any) -> None:
        """Appends a node whose values have two axes."""
        flat = self._copied(node, [name and self._two_axes(name) for name in node.input])
        for one in flat.attribute:
            if one.name == "axis":
                one.i = 1
        self.nodes.append(flat)
        self.flat.update(name for name in node.output if self._axes(name) != 2)

    def _emit_whole(self, node: Any) -> None:
        """Appends a node that needs the axes that its inputs had."""
        self.nodes.append(self._copied(node, [name and self._whole(name) for name in node.input]))

    def _copied(self, node: Any, inputs: Sequence[str]) -> Any:
        copy = type(node)()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(inputs)
        return copy

    def _two_axes(self, name: str) -> str:
        """Name of a value with two axes at most."""
        source = self._name(name)
        if source in self.constants and self._axes(source) > 2:
            *_, rows, columns = self.shapes[source]
            return self._constant(source, (rows, columns))
        return source

    def _constant(self, name: str, shape: Shape) -> str:
        """Adds a constant of another shape, and returns its name."""
        new = f"{name}_row"
        value = self._numpy.to_array(self.constants[name]).reshape(shape)
        self.constants[new] = self._numpy.from_array(value, new)
        self.shapes[new] = shape
        return new

    def _whole(self, name: str) -> str:
        """Name of a value with the axes that it had; a reshaping gives them back."""
        source = self._name(name)
        has = (1, self.shapes[source][-1]) if source in self.flat else self.shapes.get(source)
        if (source == name and source not in self.flat) or has == self.shapes[name]:
            return source
        import numpy as np

        result, shape = f"{name}_whole", f"{name}_shape"
        if result not in self.shapes:
            self.constants[shape] = self._numpy.from_array(np.array(self.shapes[name], np.int64), shape)
            self.nodes.append(self._helper.make_node("Reshape", [source, shape], [result]))
            self.shapes[result] = self.shapes[name]
        return result

    def _name_outputs(self) -> None:
        """Gives the graph's outputs their names again."""
        own = {one.name for one in (*self.graph.input, *self.graph.output)}
        for output in self.graph.output:
            source = self._name(output.name)
            if source == output.name:
                continue
            if source in own or source in self.constants:
                self.nodes.append(self._helper.make_node("Identity", [source], [output.name]))
                continue
            own.add(output.name)
            for node in self.nodes:
                for part in (node.input, node.output):
                    renamed = [output.name if name == source else name for name in part]
                    del part[:]
                    part.extend(renamed)
            self.names = {name: output.name if to == source else to for name, to in self.names.items()}


def _shapes(graph: Any) -> dict[str, Shape]:
    """Shapes of all values whose sizes are known."""
    known = {one.name: tuple(one.dims) for one in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        axes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(axis.HasField("dim_value") for axis in axes):
            known[value.name] = tuple(axis.dim_value for axis in axes)
    return known

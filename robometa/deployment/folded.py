"""Computes the parts of a graph that depend on no input once, at export."""

from __future__ import annotations

from typing import Any


def fold(model: Any) -> None:
    """Replaces nodes of constants by their outputs, in place, whatever their size.

    Args:
        model: Graph, without graphs within nodes.
    """
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    kept = []
    for node in graph.node:
        if not node.input or not all(name in constants for name in node.input):
            kept.append(node)
            continue
        feed = {name: numpy_helper.to_array(constants[name]) for name in node.input}
        for name, value in zip(node.output, ReferenceEvaluator(node).run(None, feed), strict=True):
            constants[name] = numpy_helper.from_array(value, name)
    used = {name for node in kept for name in node.input} | {one.name for one in graph.output}
    whole = [one for name, one in constants.items() if name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(whole)

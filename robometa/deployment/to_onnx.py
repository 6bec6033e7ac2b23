"""Conversion of a torch module to ONNX bytes that name no machine and are the same every time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robometa.deployment.flat_graph import flatten
from robometa.deployment.folded import fold
from robometa.deployment.joined import join
from robometa.errors import UserError

OPSET = 20
"""Version of the ONNX operators; onnxruntime 1.17 and later run it."""


def require_onnx() -> None:
    """Checks that the packages of the extra are installed.

    Raises:
        UserError: If one is missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"export needs {error.name}: pip install 'robometa[onnx]'") from None


def onnx_bytes(
    graph: nn.Module,
    examples: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
    *,
    dynamic: Any = None,
    translations: Mapping[Any, Callable[..., Any]] | None = None,
    flat: bool = False,
) -> bytes:
    """Converts a module.

    Args:
        graph: The module.
        examples: Example inputs.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        metadata: Texts to put into the file, by key.
        dynamic: Sizes that may change, as `torch.onnx.export` takes them.
        translations: Functions of onnxscript, by the torch operator that they stand for.
        flat: Remove axes of length 1 from rows of numbers, and nodes of constants.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            tuple(examples),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic,
            custom_translation_table=dict(translations) if translations else None,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto  # made anew at every access
    if flat:
        flatten(model)
        fold(model)
        join(model)
    return packed(model, metadata)


def packed(model: Any, metadata: Mapping[str, str]) -> bytes:
    """Bytes of a model that names no machine, with texts inside.

    Args:
        model: The model, which is stripped.
        metadata: Texts to put into the file, by key.
    """
    import onnx

    _strip(model)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def _strip(model: Any) -> None:
    """Removes stack traces, which name files of this machine, and everything else that no runtime reads."""
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for named in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
            del named.metadata_props[:]
            named.ClearField("doc_string")
        for node in graph.node:
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    for function in model.functions:
        for named in (function, *function.node, *function.value_info):
            del named.metadata_props[:]
            named.ClearField("doc_string")
    del model.metadata_props[:]
    model.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the exporter says about packages and modes that do not matter here."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)

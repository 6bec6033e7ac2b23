"""A policy's forms in a table: their bytes, parameters, the time of a step, and what they keep of its gain."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robometa.deployment.kept import LEAST, Exam, Held, Kept
from robometa.deployment.onnx_process import session
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.policies.latency import Latency
from robometa.policies.policy_folder import state_of

WARM_UP, STEPS = 200, 2000
"""Steps before and during the measurement of an exported graph."""
NOT_ACTING = ("critic", "decoders", "observations", "rewards", "returns")
"""Parts of a policy's tensors that are no weights of its acting."""
HEAD = ("", "bytes", "parameters", "step, median", "step, p99", "return", "gain kept", "by means")


@dataclass(frozen=True)
class Form:
    """A policy as it is, or in a smaller form."""

    name: str
    size: int
    """Bytes."""
    parameters: int
    """Weights that acting needs."""
    step: Latency
    """Time of a step on one thread."""
    held: Held
    kept: Kept | None
    """Comparison with the whole policy; None for itself."""

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        gain = ("100 %", "100 %") if self.kept is None else words_of(self.kept)
        times = (f"{1000 * one:.0f} us" for one in (self.step.median_ms, self.step.p99_ms))
        mean = f"{self.held.interquartile_mean:.2f}"
        return (self.name, f"{self.size:,}", f"{self.parameters:,}", *times, mean, *gain)


def words_of(kept: Kept) -> tuple[str, str]:
    """A kept part with its interval, by interquartile means and by means."""
    triples = (kept.share, kept.low, kept.high), (kept.by_means, kept.by_means_low, kept.by_means_high)
    first, second = ("none" if np.isnan(one) else _percent(one, low, high) for one, low, high in triples)
    return first, second


def _percent(share: float, low: float, high: float) -> str:
    ends = "" if np.isnan(low) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * share:.1f} %{ends}"


def table(exam: Exam, forms: Sequence[Form]) -> list[str]:
    """Lines of a table."""
    rows = [HEAD, *(form.row() for form in forms)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [
        *lines,
        f"returns of mean actions on held-out tasks, interquartile means; gain over {exam.over} ({exam.baseline:.2f}), "
        "kept [95 % interval over episodes]",
    ]


def require_enough(kept: Kept, what: str) -> None:
    """Checks that a form keeps its part of the gain.

    Raises:
        UserError: If it keeps less, or there was no gain.
    """
    if np.isnan(kept.share):
        raise UserError(f"the policy gains nothing over {kept.over}, so {what} keeps no part of it; --force exports it")
    if not kept.enough:
        raise UserError(
            f"{what} keeps {100 * kept.share:.1f} % [{100 * kept.low:.1f}, {100 * kept.high:.1f}] of the gain over "
            f"{kept.over}, by the middle of the interval below {100 * LEAST:g} %; --force exports it all the same"
        )


def acting_parameters(learner: Learner) -> int:
    """Number of the weights that acting needs: no value function, no decoder, no statistics."""
    state = state_of(learner)
    return sum(one.numel() for name, one in state.items() if not {*name.replace(".", "/").split("/")} & {*NOT_ACTING})


def step_time(content: bytes, steps: int = STEPS) -> Latency:
    """Measures a step of an exported graph in onnxruntime, on one thread and zeros."""
    loaded = session(content)
    feed = {one.name: np.zeros(one.shape, np.float32) for one in loaded.get_inputs()}
    times = []
    for step in range(WARM_UP + steps):
        began = time.perf_counter()
        loaded.run(None, feed)
        if step >= WARM_UP:
            times.append(time.perf_counter() - began)
    median, late = (float(1000 * np.percentile(times, share)) for share in (50, 99))
    return Latency(median, late)

"""The step sizes that a Meta-SGD policy has learned, by layer: `python -m study.step_sizes POLICY [FIGURE.png]`."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

import robometa
from robometa.errors import UserError
from robometa.learners.meta_sgd import MetaSgd

matplotlib.use("Agg")
from matplotlib import pyplot

HEAD = """| part | parameters | mean | standard deviation | smallest | largest |
| --- | --- | --- | --- | --- | --- |
"""


def of_layers(learner: MetaSgd) -> dict[str, list[float]]:
    """Step sizes of every parameter, by the part of the policy that they belong to."""
    sizes = (learner.config.inner_step_size * learner.rate).tolist()
    parts: dict[str, list[float]] = {}
    start = 0
    for number, (into, out) in enumerate(learner.policy.layers, 1):
        for name, count in ((f"weights {number}", into * out), (f"biases {number}", out)):
            parts[name] = sizes[start : start + count]
            start += count
    return parts | {"log standard deviation": sizes[start:]}


def markdown(parts: dict[str, list[float]]) -> str:
    """A table with a line for each part."""
    lines = []
    for name, sizes in parts.items():
        mean = sum(sizes) / len(sizes)
        spread = (sum((size - mean) ** 2 for size in sizes) / len(sizes)) ** 0.5
        lines.append(f"| {name} | {len(sizes)} | {mean:.4f} | {spread:.4f} | {min(sizes):.4f} | {max(sizes):.4f} |\n")
    return HEAD + "".join(lines)


def draw(parts: dict[str, list[float]], begun: float, picture: Path) -> None:
    """The step sizes of every part, sorted, and the size that all began with."""
    figure, panels = pyplot.subplots(1, len(parts), figsize=(2 * len(parts), 2.6), sharey=True)
    for panel, (name, sizes) in zip(panels, parts.items(), strict=True):
        panel.plot([place / len(sizes) for place in range(len(sizes))], sorted(sizes))
        panel.axhline(begun, color="#7a8194", linestyle="--", linewidth=1)
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("share of parameters", fontsize=7)
    panels[0].set_ylabel("inner step size", fontsize=8)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)


def main(words: list[str]) -> int:
    """Prints the table, and draws the figure if a file is named."""
    if len(words) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        learner = robometa.load(words[0]).learner
        if not isinstance(learner, MetaSgd):
            raise UserError(f"{words[0]} is of a learner that learns no step sizes; name a policy of meta-sgd")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    parts = of_layers(learner)
    print(markdown(parts), end="")
    if words[1:]:
        draw(parts, learner.config.inner_step_size, Path(words[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

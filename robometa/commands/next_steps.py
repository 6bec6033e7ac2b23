"""Commands that come next, printed after a command that writes a policy."""

from __future__ import annotations

from pathlib import Path

from robometa import registry


def print_next_steps(policy: Path, learner: str | None) -> None:
    """Prints a policy's folder, and the commands that measure and record it."""
    own = f" --learner {learner}" if learner is not None and learner not in registry.LEARNERS else ""
    print(f"policy: {policy}\nmeasure it: robometa evaluate {policy}{own}\nwatch it:   robometa record {policy}{own}")

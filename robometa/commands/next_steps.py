"""Commands that come next, printed after a command that writes a policy."""

from __future__ import annotations

from pathlib import Path

from robometa.escape import printable, say, word
from robometa.registry.given import given


def print_next_steps(policy: Path, learner: str | None) -> None:
    """Prints a policy's folder, and the commands that measure and record it."""
    own, folder = given(learner or ""), word(policy)
    say(f"policy: {printable(policy)}")
    say(f"measure it: robometa evaluate {folder}{own}\nwatch it:   robometa record {folder}{own}")

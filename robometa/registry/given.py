"""Options that give a user's own files to a command that follows."""

from __future__ import annotations

import os

from robometa.escape import word

REWARD = "ROBOMETA_REWARD"
"""Environment variable by which a process hands the file of a user's objective to the processes that it starts."""


def given(*learners: str) -> str:
    """Options that name the files of these learners and of the objective, each after a blank.

    Args:
        *learners: Names of learners, and files and classes of a user's own; names need no option.
    """
    own, reward = [word(name) for name in learners if ":" in name], os.environ.get(REWARD)
    return (f" --learner {' '.join(own)}" if own else "") + (f" --reward {word(reward)}" if reward else "")

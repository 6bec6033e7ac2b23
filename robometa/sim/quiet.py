"""Keeps MuJoCo quiet about what the engines report themselves."""

from __future__ import annotations

import mujoco


def quieten() -> None:
    """Keeps MuJoCo from writing warnings of diverged worlds into a file: the engine counts and reports them."""
    mujoco.set_mju_user_warning(lambda message: None)

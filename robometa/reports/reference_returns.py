"""Reference returns of a suite: of policies that do not adapt, and of oracles that see the task's parameters.

The returns are in `references.json` beside the shipped suites; `make results` writes it. `robometa evaluate POLICY
--reference ORACLE NO_ADAPTATION` measures them for any other suite.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from robometa import suites
from robometa.reports.gap import Reference, Sample

FILE = "references.json"


def find(content_hash: str) -> Reference | None:
    """Finds the reference of the suite with this hash; None if there is none."""
    path = suites.folder() / FILE
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    entry = next((entry for entry in known.values() if entry["suite_hash"] == content_hash), None)
    if entry is None:
        return None
    return Reference(
        unadapted=_sample(entry["unadapted"]),
        oracle=_sample(entry["oracle"]),
        random=float(np.mean(entry["random"]["returns"])),
        tasks=len(entry["oracle"]["returns"][0]),
        source=f"{_seeds(entry)}, mean actions, from {FILE}",
        success=(entry["unadapted"].get("success"), entry["unadapted"].get("success_any_step")),
    )


def _sample(entry: dict[str, Any]) -> Sample:
    """Returns of training seeds, which are resampled for all tasks together."""
    return Sample(list(np.array(entry["returns"]).T), together=True)


def _seeds(entry: dict[str, Any]) -> str:
    """Training seeds of the oracle and of no adaptation, in words."""
    oracle, unadapted = (len(entry[name]["returns"]) for name in ("oracle", "unadapted"))
    words = f"{oracle} training seed{'s' if oracle > 1 else ''}"
    return f"{words} each" if oracle == unadapted else f"{words} of the oracle and {unadapted} without adaptation"

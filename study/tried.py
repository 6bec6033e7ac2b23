"""Configurations of a learner that were compared on a suite, as far as there are records of them."""

from __future__ import annotations

import json

from study import plan

FOLDER = "ablation"
"""Folder of the results with a record for every variant and seed of a comparison."""


def configurations(suite: str, learner: str) -> int | None:
    """Number of different options of a learner in the records of comparisons on a suite; None without any.

    Rows of the table are no comparison. What was tried before there were records is not counted.
    """
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (plan.RESULTS / FOLDER / suite).glob("*.json")]
    known = {json.dumps(one["configuration"], sort_keys=True) for one in records if one["learner"] == learner}
    return len(known) or None

"""Compares the two kinds of a second shot on one policy of a gradient learner: `python -m study.second_shot POLICY`."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

import robometa
from robometa.errors import UserError
from robometa.evaluation.evaluate import measure
from robometa.rl.gradient_learner import GradientLearner

SHOTS = 2


def main(words: list[str]) -> int:
    """Prints mean returns over held-out tasks after every shot, with shots pooled and one after another."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        policy = robometa.load(words[0])
        if not isinstance(policy.learner, GradientLearner):
            raise UserError(f"{words[0]} is of {policy.learner_name}, which adapts by no gradient step")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for pooled in (False, True):
        policy.learner.config = replace(policy.learner.config, pooled_shots=pooled)
        report = measure(policy.learner, policy.suite, shots=SHOTS, name=policy.learner_name)
        means = np.round(report.mean_action.returns.mean(axis=(1, 2)), 1)
        print(f"pooled_shots {pooled}: {', '.join(map(str, means.tolist()))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

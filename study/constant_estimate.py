"""Replaces what RMA estimates by the mean over tasks: `python -m study.constant_estimate POLICY FOLDER`.

The policy that it writes knows nothing of its task. What RMA returns beyond it is what its estimate is worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from robometa.learners.rma import Rma
from robometa.policies.policy_folder import load_policy, save_policy
from robometa.sim.oracle import HiddenNumbers

TASKS = 500
"""Drawn tasks, with seed 0, whose mean bottleneck is the estimate."""


def main(words: Sequence[str] | None = None) -> None:
    """Writes the policy."""
    parser = argparse.ArgumentParser(prog="python -m study.constant_estimate", description=__doc__)
    parser.add_argument("policy", type=Path, help="policy of rma")
    parser.add_argument("folder", type=Path, help="folder of the new policy; robometa evaluate measures it")
    asked = parser.parse_args(words)
    learner, suite, manifest = load_policy(asked.policy)
    if not isinstance(learner, Rma):
        parser.error(f"{asked.policy} is of {manifest.learner}, not of rma")
    hidden = HiddenNumbers(suite)
    numbers = torch.stack([hidden(suite.drawn(0, index)) for index in range(TASKS)]).float()
    with torch.no_grad():
        mean = learner.network.encoder(learner.parameters(numbers)).mean(dim=0)
        last = [layer for layer in learner.module.head if isinstance(layer, nn.Linear)][-1]
        last.weight.zero_()
        last.bias.copy_(torch.atanh(mean))
    save_policy(asked.folder, learner, "rma", suite, manifest.training, f"{asked.policy} with a constant estimate\n")


if __name__ == "__main__":
    main()

"""RMA with the mean bottleneck in place of its estimate."""

import pytest
import torch
from conftest import SMALL_OPTIONS, TINY_SUITE

from robometa.policies.policy_folder import load_policy
from robometa.sim.oracle import HiddenNumbers
from robometa.training.train import train
from study import constant_estimate


def test_the_estimate_is_the_mean_of_the_tasks_whatever_the_history(tmp_path, capsys):
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    for name in ("rma", "rl2"):
        train(tmp_path / "tiny.toml", name, options=SMALL_OPTIONS[name], folder=tmp_path / name, loggers=())
    constant_estimate.main([str(tmp_path / "rma" / "policy"), str(tmp_path / "new")])
    learner, suite, _ = load_policy(tmp_path / "new")
    hidden = HiddenNumbers(suite)
    numbers = torch.stack([hidden(suite.drawn(0, index)) for index in range(constant_estimate.TASKS)]).float()
    with torch.no_grad():
        mean = learner.network.encoder(learner.parameters(numbers)).mean(dim=0)
        found = learner.estimate(torch.randn(3, learner.config.history, learner.inputs))
    assert torch.allclose(found, mean.expand(3, -1), atol=1e-6)
    with pytest.raises(SystemExit):
        constant_estimate.main([str(tmp_path / "rl2" / "policy"), str(tmp_path / "other")])
    assert "is of rl2, not of rma" in capsys.readouterr().err

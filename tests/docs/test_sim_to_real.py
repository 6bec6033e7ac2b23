"""The page about observation, commands, rewards and sim-to-real is true."""

import re
from contextlib import closing
from pathlib import Path

import torch

from robometa import suites
from robometa.noise import Noise
from robometa.sim.select import engine_of
from robometa.sim.suite_check import check_suite
from robometa.suites.command import COMMANDS
from robometa.suites.observation import FIELDS, NAMES
from robometa.suites.reward_terms import TERMS
from robometa.suites.sim_to_real import FIELDS as DIFFERENCES

PAGE = (Path(__file__).parents[2] / "docs" / "sim-to-real.md").read_text(encoding="utf-8")


def test_the_example_is_a_suite_that_runs(tmp_path):
    example = re.search(r"```toml\n# ant-walk.toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "ant-walk.toml").write_text(example[1])
    suite = suites.load(str(tmp_path / "ant-walk.toml"))
    spaces = check_suite(suite).signals
    assert len(spaces.observation) == 3 + 3 + 24 + 8 + 8 + 2
    assert all(signal.measured for signal in spaces.observation)
    with closing(engine_of(suite, 2, 2, threads=1)) as engine:
        engine.reset(Noise(0, ("docs",), 2, 2))
        for _ in range(5):
            outcome = engine.step(torch.zeros(2, 2, 8))
        assert outcome.reward.isfinite().all()
        assert suite.has_success


def test_every_name_is_on_the_page():
    missing = [name for name in (*NAMES, *FIELDS, *COMMANDS, *TERMS, *DIFFERENCES) if f"`{name}" not in PAGE]
    assert missing == []

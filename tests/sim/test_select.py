"""Which engine a suite's simulations run on, told in a line where the one asked for cannot be had."""

import importlib.util
import json
import sys
from types import SimpleNamespace

import pytest
import torch

from robometa import suites
from robometa.commands.main import main
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.sim import select
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.select import on_warp
from robometa.trials import make

SUITE = suites.load("half-cheetah-velocity")
INSTALLED = importlib.util.find_spec("mujoco_warp") is not None
MANIPULATES = importlib.util.find_spec("metaworld") is not None
QUICK = {"pearl": ["--gradient-steps", "2", "--batch", "8", "--meta-batch", "2"]}
"""Options with which a learner takes no time."""


@pytest.fixture
def extra(monkeypatch):
    """Makes the extra and the GPU seem there or not."""

    def seem(installed, gpu, driver=True):
        monkeypatch.setattr(select, "find_spec", lambda name: object() if installed else None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        engines = SimpleNamespace(sees_gpu=lambda: gpu and driver)
        monkeypatch.setitem(sys.modules, "robometa.sim.warp.usable", engines if installed else None)

    return seem


@pytest.mark.parametrize(
    ("installed", "gpu", "wanted"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_auto_is_warp_where_there_is_a_gpu_and_the_extra(installed, gpu, wanted, extra):
    extra(installed, gpu)
    assert on_warp("auto", SUITE) == wanted
    assert not on_warp("cpu", SUITE)


def test_auto_is_the_cpu_where_the_driver_is_too_old_for_warp(extra):
    extra(installed=True, gpu=True, driver=False)
    assert not on_warp("auto", SUITE)


def test_an_engine_that_does_not_exist_is_told():
    with pytest.raises(UserError, match=r"unknown engine 'gpu' .*; known: auto, cpu, warp"):
        on_warp("gpu", SUITE)


def test_a_missing_extra_is_told_in_a_line(extra):
    extra(installed=False, gpu=True)
    with pytest.raises(UserError, match=r"^--engine warp needs the gpu extra: pip install 'robometa\[gpu\]'$"):
        on_warp("warp", SUITE)


def test_meta_world_stays_on_the_cpu(extra):
    extra(installed=True, gpu=True)
    manipulation = suites.load("ml1/reach-v3")
    assert not on_warp("auto", manipulation)
    with pytest.raises(UserError, match=r"Meta-World needs mujoco 3\.3\.0"):
        on_warp("warp", manipulation)


@pytest.mark.skipif(INSTALLED, reason="the gpu extra is installed")
def test_the_command_line_says_what_is_missing(capsys, tmp_path):
    folder = tmp_path / "run"
    assert main(["train", "point-robot", "random", "--engine", "warp", "--folder", str(folder)]) == 2
    assert "gpu extra" in capsys.readouterr().err
    assert not folder.exists()


@pytest.mark.skipif(not INSTALLED, reason="needs the gpu extra: make test-gpu")
def test_a_training_on_warp_is_resumed_and_evaluated_on_warp(tmp_path):
    folder = tmp_path / "run"
    options = ["--tasks", "2", "--worlds", "2", "--iterations", "1", "--hidden", "4"]
    where = ["--engine", "warp", "--contact-capacity", "2", "--folder", str(folder)]
    assert not main(["train", "point-robot", "reptile", *where, *options])
    told = json.loads((folder / "run.json").read_text())
    assert (told["engine"], told["room"]) == ("warp", 2.0)
    assert not main(["resume", str(folder), "--iterations", "2"])
    assert len((folder / "metrics.jsonl").read_text().splitlines()) >= 2
    policy = str(folder / "policy")
    assert not main(["evaluate", policy, "--engine", "warp", "--worlds", "2", "--tasks", "2", "--shots", "0"])


@pytest.mark.skipif(MANIPULATES, reason="the metaworld extra is installed")
@pytest.mark.parametrize("engine", ["cpu", "auto", "warp"])
def test_meta_world_says_in_a_line_why_it_cannot_run_here(engine, capsys, tmp_path):
    folder = tmp_path / "run"
    assert main(["train", "ml1/reach-v3", "rl2", "--engine", engine, "--folder", str(folder)]) == 2
    out, told = capsys.readouterr()
    assert len(told.splitlines()) == 1
    assert "Meta-World" in told
    assert "mujoco 3.3.0" in told
    assert not out
    assert not folder.exists()


@pytest.mark.skipif(not INSTALLED, reason="needs the gpu extra: make test-gpu")
@pytest.mark.parametrize("name", ["rl2", "pearl", "maml-trpo"])
def test_a_training_on_warp_is_the_same_every_time(name, tmp_path):
    tables = []
    for attempt in ("first", "second"):
        where = ["--engine", "warp", "--folder", str(tmp_path / attempt), "--seed", "3"]
        options = ["--tasks", "2", "--worlds", "2", "--iterations", "2", *QUICK.get(name, [])]
        assert not main(["train", "point-robot", name, *where, *options])
        tables.append((tmp_path / attempt / "metrics.jsonl").read_bytes())
    assert tables[0] == tables[1]
    assert not any(json.loads(line)["skipped"] for line in tables[0].splitlines())


def test_the_default_is_the_cpu_engine():
    assert isinstance(make.engine_for(None, SUITE, 1, 1, Hardware(threads=1)), CpuEngine)

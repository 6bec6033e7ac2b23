"""Which engine a suite's simulations run on, told in a line where the one asked for cannot be had."""

import dataclasses
import importlib.util
import json

import pytest
import torch

from robometa import checkpoint, suites
from robometa.cli import main
from robometa.errors import UserError
from robometa.sim import warp_choice
from robometa.sim.engine import CpuEngine
from robometa.sim.warp_choice import on_warp

SUITE = suites.load("half-cheetah-velocity")
INSTALLED = importlib.util.find_spec("mujoco_warp") is not None


@pytest.fixture
def extra(monkeypatch):
    """Makes the extra and the GPU seem there or not."""

    def seem(installed, gpu):
        monkeypatch.setattr(warp_choice, "find_spec", lambda name: object() if installed else None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)

    return seem


@pytest.mark.parametrize(
    ("installed", "gpu", "wanted"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_auto_is_warp_where_there_is_a_gpu_and_the_extra(installed, gpu, wanted, extra):
    extra(installed, gpu)
    assert on_warp("auto", SUITE) == wanted
    assert not on_warp("cpu", SUITE)


def test_an_engine_that_does_not_exist_is_told():
    with pytest.raises(UserError, match=r"unknown engine 'gpu' .*; known: auto, cpu, warp"):
        on_warp("gpu", SUITE)


def test_a_missing_extra_is_told_in_a_line(extra):
    extra(installed=False, gpu=True)
    with pytest.raises(UserError, match=r"^--engine warp needs the gpu extra: pip install 'robometa\[gpu\]'$"):
        on_warp("warp", SUITE)


def test_meta_world_stays_on_the_cpu(extra):
    extra(installed=True, gpu=True)
    manipulation = dataclasses.replace(SUITE, benchmark="ML1")
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
    where = ["--engine", "warp", "--room", "2", "--folder", str(folder)]
    assert not main(["train", "point-robot", "reptile", *where, *options])
    told = json.loads((folder / "run.json").read_text())
    assert (told["engine"], told["room"]) == ("warp", 2.0)
    assert not main(["resume", str(folder), "--iterations", "2"])
    assert len((folder / "metrics.jsonl").read_text().splitlines()) >= 2
    policy = str(folder / "policy")
    assert not main(["evaluate", policy, "--engine", "warp", "--worlds", "2", "--tasks", "2", "--shots", "0"])


def test_the_default_is_the_cpu_engine():
    assert isinstance(checkpoint.engine_for(None, SUITE, 1, 1, threads=1), CpuEngine)

"""Evaluation by worker processes: the same scores as here, whatever happens to them."""

import dataclasses
import os
import signal

import numpy as np
import pytest
from conftest import SMALL_OPTIONS

from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.evaluation import evaluate
from robometa.evaluation.evaluate import measure
from robometa.registry.options import read_config
from robometa.trials.make import build
from robometa.trials.workers import pool


@pytest.fixture
def report(tiny_suite, monkeypatch):
    """Evaluates an untrained learner by a form of collection, in pieces of one task."""
    monkeypatch.setattr(evaluate, "WORLDS_AT_ONCE", 4)

    def of(name, collect):
        learner = build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=0)
        return measure(learner, tiny_suite, shots=1, worlds=4, name=name, hardware=Hardware(collect=collect))

    return of


def same(one, other):
    """True if two reports hold the same numbers."""
    for kind in ("mean_action", "exploring", "random"):
        for field in dataclasses.fields(getattr(one, kind)):
            np.testing.assert_array_equal(*(getattr(getattr(each, kind), field.name) for each in (one, other)))
    assert one.summary() == other.summary()


@pytest.mark.slow
def test_processes_measure_the_same_though_one_is_killed(report, monkeypatch, capfd):
    here = report("maml-trpo", "here")
    order, killed = pool.Worker.order, []

    def sabotaged(worker, given):
        order(worker, given)
        if not killed:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(pool.Worker, "order", sabotaged)
    same(report("maml-trpo", "processes:2"), here)
    assert "ended by signal 9: another does its tasks again" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rl2", "pearl", "oracle", "grbal"])
def test_processes_measure_the_same(name, report):
    same(report(name, "processes:2"), report(name, "here"))


@pytest.mark.parametrize("who", ["auto", "ray", "there", "processes:0"])
def test_a_wrong_word_for_who_collects_is_refused(who, report):
    with pytest.raises(UserError, match="collect"):
        report("random", who)


def test_processes_are_refused_on_a_gpu(tiny_suite):
    learner = build("random", read_config("random", {}), tiny_suite, seed=0)
    with pytest.raises(UserError, match="needs --device cpu and --engine cpu"):
        measure(learner, tiny_suite, name="random", hardware=Hardware(device="cuda", collect="processes:2"))

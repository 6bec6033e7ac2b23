"""The learners' protocol: what a class may leave out gets its default."""

from dataclasses import dataclass

from conftest import OFFLINE

from robometa import registry
from robometa.learners.protocol import completed, sees_parameters


def test_what_a_class_leaves_out_gets_its_default():
    @dataclass(frozen=True)
    class Options:
        iterations: int = 1

    class Mine:
        configuration = Options

    assert completed(Mine) is Mine
    assert not sees_parameters(Mine, training=True)
    assert not Mine.adapts_within_episode
    assert Options().drawn_tasks == 0


def test_what_a_class_has_stays():
    @dataclass(frozen=True, slots=True)
    class Options:
        drawn_tasks: int

    class Oracle:
        configuration = Options
        sees_parameters = True

    completed(Oracle)
    assert sees_parameters(Oracle)
    assert Options(7).drawn_tasks == 7


def test_nobody_is_no_oracle():
    assert not sees_parameters(None, training=True)


def test_some_learners_see_parameters_in_training_only():
    kinds = {name: entry.load() for name, entry in registry.LEARNERS.items()}
    in_training = {name for name, kind in kinds.items() if sees_parameters(kind, training=True)}
    assert in_training - {name for name, kind in kinds.items() if sees_parameters(kind)} == {"rma", "rma-concurrent"}


def test_learners_that_remember_or_refit_adapt_within_an_episode():
    within = {name for name, entry in registry.LEARNERS.items() if entry.load().adapts_within_episode}
    assert within == {"rl2", "varibad", "hypernetwork", "grbal", "cadm", "rma", "rma-concurrent", "amago", *OFFLINE}

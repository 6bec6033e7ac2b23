"""The learners' protocol: what a class may leave out gets its default."""

from dataclasses import dataclass

from robometa.learners.protocol import completed, sees_parameters


def test_what_a_class_leaves_out_gets_its_default():
    @dataclass(frozen=True)
    class Options:
        iterations: int = 1

    class Mine:
        configuration = Options

    assert completed(Mine) is Mine
    assert not sees_parameters(Mine)
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
    assert not sees_parameters(None)

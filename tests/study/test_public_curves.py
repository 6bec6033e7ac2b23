"""PEARL's trainings over public curves: `study.public_curves`."""

from robometa import suites
from study import public_curves


def test_every_public_curve_is_of_a_shipped_suite_and_is_drawn():
    names = {path.stem.removeprefix("pearl-") for path in public_curves.PUBLIC.glob("*.csv")}
    assert names == set(public_curves.TRAININGS)
    assert names <= set(suites.names())
    for panel, name in zip(public_curves.figure().axes, public_curves.TRAININGS, strict=True):
        grey = panel.get_lines()[0]
        assert (grey.get_xdata().tolist(), grey.get_ydata().tolist()) == public_curves.public(name)
        assert len(panel.get_lines()) == 1 + 2 * len(public_curves.TRAININGS[name])

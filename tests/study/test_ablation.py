"""The ablation of the inner loss: its plan, its page, and the step sizes of Meta-SGD by layer."""

import pytest

from robometa.data import Spaces
from robometa.learners.meta_sgd import MetaSgd
from robometa.registry.options import resolve
from robometa.suites import load
from study import ablation, step_sizes


def test_every_variant_of_the_plan_is_another_training():
    chosen = ablation.read()
    suite = load(chosen.cells[0].suite)
    assert {cell.seed for cell in chosen.cells} == {0, 1, 2, 3, 4}
    first = [cell for cell in chosen.cells if cell.seed == 0]
    configurations = {resolve(suite, cell.learner, dict(cell.options), cell.preset) for cell in first}
    assert len(configurations) == len(first)
    assert len({cell.record for cell in chosen.cells}) == len(chosen.cells)


def test_the_page_has_the_table_of_what_is_there():
    chosen = ablation.read()
    page = ablation.PAGE.read_text(encoding="utf-8")
    shown = page.partition(ablation.BEGIN)[2].partition(ablation.END)[0]
    assert shown == ablation.markdown(chosen)


@pytest.mark.parametrize("words", [["--only", "al"], ["--cell", "all-9"]])
def test_what_is_not_in_the_plan_is_refused(words, capsys):
    assert ablation.main(words) == 2
    assert "unknown" in capsys.readouterr().err


def test_step_sizes_by_layer_are_all_of_them():
    learner = MetaSgd(MetaSgd.configuration(hidden=(3,), inner_step_size=0.2), Spaces(2, 2), 0)
    parts = step_sizes.of_layers(learner)
    assert sum(map(len, parts.values())) == len(learner.parameters)
    assert "| weights 1 | 6 | 0.2000 | 0.0000 |" in step_sizes.markdown(parts)

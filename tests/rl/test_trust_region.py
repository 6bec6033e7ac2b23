"""Conjugate gradients, the trust-region step and the line search."""

import numpy as np
import pytest
import torch

from robometa.rl.trust_region import conjugate_gradient, line_search, trust_region_step


def positive_definite(size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    return root @ root.T + torch.eye(size, dtype=torch.float64), torch.randn(
        size, generator=generator, dtype=torch.float64
    )


def test_conjugate_gradients_solve_what_numpy_solves():
    matrix, target = positive_definite(8)
    found = conjugate_gradient(lambda vector: matrix @ vector, target, steps=30, tolerance=1e-24)
    np.testing.assert_allclose(found.numpy(), np.linalg.solve(matrix.numpy(), target.numpy()), rtol=1e-9)


def test_conjugate_gradients_end_after_the_steps_allowed_or_when_done():
    matrix, target = positive_definite(8)
    asked = []

    def product(vector):
        asked.append(vector)
        return matrix @ vector

    conjugate_gradient(product, target, steps=3)
    assert len(asked) == 3
    asked.clear()
    conjugate_gradient(product, torch.zeros(8, dtype=torch.float64), steps=3)
    assert not asked
    conjugate_gradient(lambda vector: asked.append(vector) or 2 * vector, target, steps=10)
    assert len(asked) == 1  # a multiple of the identity takes one


def test_conjugate_gradients_leave_the_target_alone():
    matrix, target = positive_definite(4)
    before = target.clone()
    conjugate_gradient(lambda vector: matrix @ vector, target, steps=4)
    assert torch.equal(target, before)


def asking_gradient(product, target, steps, tolerance=1e-10):
    """Conjugate gradients in place, which ask after every step: published policies were made with these."""
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    squared = residual @ residual
    stop = tolerance * squared
    for _ in range(steps):
        if squared <= stop:
            break
        moved = product(direction)
        length = squared / (direction @ moved)
        solution += length * direction
        residual -= length * moved
        previous, squared = squared, residual @ residual
        direction = residual + squared / previous * direction
    return solution


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ends_early", [None, True, False])
@pytest.mark.parametrize("steps", [1, 3, 10, 30])
def test_conjugate_gradients_are_those_that_ask_to_the_bit(dtype, ends_early, steps):
    for size in (1, 3, 50):  # the smaller ones are done before the steps are
        matrix, target = (part.to(dtype) for part in positive_definite(size, steps))
        for goal in (target, torch.zeros_like(target), 1e-20 * target):
            for factor in (1.0, float("nan")):

                def product(vector, matrix=matrix, factor=factor):
                    return factor * (matrix @ vector)

                found = conjugate_gradient(product, goal, steps, ends_early=ends_early)
                wanted = asking_gradient(product, goal, steps)
                if goal.any():
                    assert found.numpy().tobytes() == wanted.numpy().tobytes()
                else:
                    assert torch.equal(found, wanted)


def test_a_step_that_asks_nothing_is_the_one_that_asks():
    fisher, gradient = positive_definite(6)
    for slope in (gradient, torch.zeros_like(gradient)):
        asked, plain = (
            trust_region_step(slope, lambda vector: fisher @ vector, 0.01, steps=20, ends_early=early)
            for early in (True, False)
        )
        assert torch.equal(asked[0], plain[0])
        assert torch.equal(asked[1], plain[1])


@pytest.mark.parametrize("bound", [0.01, 1.0])
def test_the_step_reaches_the_quadratic_bound_and_goes_downhill(bound):
    fisher, gradient = positive_definite(6)
    step, expected = trust_region_step(gradient, lambda vector: fisher @ vector, bound, steps=20)
    assert float(0.5 * step @ fisher @ step) == pytest.approx(bound, rel=1e-6)
    assert float(expected) == pytest.approx(float(-gradient @ step))
    assert expected > 0
    # no other direction to the same bound promises more
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        other = torch.randn(6, generator=generator, dtype=torch.float64)
        other *= torch.sqrt(2 * bound / (other @ fisher @ other))
        assert float(-gradient @ other) <= expected * (1 + 1e-6)


@pytest.mark.parametrize("curvature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_curvature_that_bounds_nothing_gives_no_step(curvature):
    gradient = torch.ones(3)
    step, expected = trust_region_step(gradient, lambda vector: curvature * vector, 0.01, steps=5)
    assert torch.equal(step, torch.zeros(3))
    assert expected == 0.0


def test_no_gradient_gives_no_step():
    step, expected = trust_region_step(torch.zeros(3), lambda vector: vector, 0.01, steps=5)
    assert torch.equal(step, torch.zeros(3))
    assert expected == 0.0


def searched(measure, shrink=0.5, trials=4):
    """Where a line search from 0 with a step of 8 ends, how often it refused, and the points it looked at."""
    asked = []

    def of_number(point):
        asked.append(float(point))
        return measure(float(point))

    point, refused = line_search(of_number, torch.zeros(()), torch.tensor(8.0), 0.01, shrink, trials)
    return float(point), refused, asked


def test_the_line_search_takes_the_whole_step_where_it_can():
    assert searched(lambda point: (1.0, 0.01)) == (8.0, 0, [8.0])


def test_the_line_search_shrinks_the_step_until_the_divergence_fits():
    assert searched(lambda point: (1.0, 0.02 if point > 3 else 0.005)) == (2.0, 2, [8.0, 4.0, 2.0])


def test_the_line_search_shrinks_the_step_until_the_loss_improves():
    assert searched(lambda point: (1.0 if point < 5 else -1.0, 0.0)) == (4.0, 1, [8.0, 4.0])
    assert searched(lambda point: (0.0, 0.0))[0] == 0.0  # no change is no improvement


def test_the_line_search_stays_where_it_is_if_nothing_will_do():
    assert searched(lambda point: (1.0, 0.02)) == (0.0, 4, [8.0, 4.0, 2.0, 1.0])
    assert searched(lambda point: (float("nan"), 0.0))[0] == 0.0
    assert searched(lambda point: (1.0, float("nan")))[0] == 0.0

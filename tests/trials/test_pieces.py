"""Pieces of a batch: who computes them, and how many at once, changes no byte."""

import dataclasses

import pytest
import torch
from conftest import SMALL_OPTIONS

from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.registry.options import resolve
from robometa.sim.engine import Divergence
from robometa.trials import pieces
from robometa.trials.make import build, engine_for
from robometa.trials.pieces import Batch, Piece, PieceRunner, cut, default_size, grouped, joined, same_bytes
from robometa.trials.trial import run_trial

SUITE = suites.load("half-cheetah-velocity")
SHORT = dataclasses.replace(SUITE, horizon=6)
TASKS, WORLDS = 6, 2


def batch(tasks=TASKS, worlds=WORLDS, shots=1):
    return Batch(tuple(range(tasks)), shots, Noise(3, ("train", 0), tasks, worlds))


def made(name, **options):
    """An untrained learner and its suite; its adaptations are short."""
    options = {**SMALL_OPTIONS[name], "tasks": TASKS, "worlds": WORLDS, **options}
    return build(name, resolve(SHORT, name, options, None), SHORT, 0)


def runner(learner, suite=SHORT):
    worlds = WORLDS
    return PieceRunner(
        learner,
        suite.train,
        lambda tasks: engine_for(learner, suite, tasks, worlds, Hardware(threads=1), training=True),
        one_thread=True,
    )


def test_a_part_of_noise_draws_the_numbers_of_the_whole():
    whole = Noise(0, ("test",), 5, 3).fork("more")
    part = whole.part(1, 3).fork("again").part(1, 2)
    assert torch.equal(part.normal(4), whole.fork("again").normal(4)[2:4])
    assert torch.equal(part.uniform(4), whole.fork("again").uniform(4)[2:4])
    assert part.generator(0, 1, 2).random() == whole.fork("again").generator(2, 1, 2).random()


def test_a_batch_is_cut_into_pieces_of_one_size_and_a_longer_last_one():
    assert cut(12, 4) == [(0, 4), (4, 4), (8, 4)]
    assert cut(11, 4) == [(0, 4), (4, 7)]
    assert cut(3, 3) == [(0, 3)]


@pytest.mark.parametrize("size", [0, 4, -1])
def test_a_piece_of_no_task_or_of_too_many_is_refused(size):
    with pytest.raises(UserError, match=f"piece must be from 1 to the 3 tasks of an iteration, not {size}"):
        cut(3, size)


def test_more_tasks_than_any_engine_steps_are_refused_before_they_are_cut():
    with pytest.raises(UserError, match="at most 1,000,000 tasks, not 1000000000"):
        cut(10**9, 1)


@pytest.mark.parametrize(
    ("tasks", "worlds", "size"), [(64, 2, 4), (40, 20, 1), (16, 1, 8), (16, 3, 4), (10, 4, 2), (3, 2, 3), (40, 10, 2)]
)
def test_the_default_piece_has_a_multiple_of_four_worlds_and_eight_or_more(tasks, worlds, size):
    assert default_size(tasks, worlds) == size


@pytest.mark.parametrize(("groups", "sizes"), [(1, [5]), (2, [2, 3]), (3, [1, 2, 2]), (5, [1] * 5), (9, [1] * 5)])
def test_groups_are_neighbours_of_nearly_equal_numbers(groups, sizes):
    found = grouped(cut(10, 2), groups)
    assert [len(group) for group in found] == sizes
    assert [piece for group in found for piece in group] == cut(10, 2)


@pytest.mark.parametrize("name", sorted({*registry.LEARNERS} - {"random"}))
@pytest.mark.sample(8)
def test_one_two_or_three_groups_give_the_same_bytes_with_every_learner(name):
    learner = made(name)
    wanted = joined([runner(learner).run(batch(), [piece]) for piece in cut(TASKS, 2)])
    for groups in (1, 2, 3):
        parts = []
        for group in grouped(cut(TASKS, 2), groups):
            once = runner(learner)
            once.run(batch(), group)
            parts.append(once.run(batch(), group))  # the second time by what the first has shown
        assert same_bytes(joined(parts), wanted)


def test_a_whole_batch_is_the_trial_that_there_was_before_pieces():
    learner = made("rl2")
    engine = engine_for(learner, SHORT, TASKS, WORLDS, Hardware(threads=1))
    given = batch()
    trial = run_trial(engine, learner, SHORT.train, given.indices, given.shots, given.noise)
    found = given.trial(runner(learner).run(given, cut(TASKS, TASKS)))
    assert same_bytes(found.rollouts, trial.rollouts)
    assert torch.equal(found.tasks, trial.tasks)
    assert found.noise == trial.noise


class CountsRows:
    """A learner whose actions depend on how many rows stand side by side, as a product's last bits may."""

    device = torch.device("cpu")
    sees_parameters = False
    trains_on_parameters = False

    def begin(self, tasks, worlds, noise):
        """Counts the rows."""
        return torch.full((tasks, worlds), tasks * worlds / 1000)

    def act(self, adaptation, step, noise):
        """Acts by the number of rows."""
        return adaptation.unsqueeze(-1).expand_as(noise), adaptation

    def adapt(self, adaptation, rollout, noise):
        """Learns nothing."""
        return adaptation


class CountsNothing(CountsRows):
    """A learner whose actions are the same beside any number of rows, on every processor."""

    def begin(self, tasks, worlds, noise):
        """Zeros."""
        return torch.zeros(tasks, worlds)


def test_pieces_that_would_differ_side_by_side_are_computed_one_by_one():
    once, group = runner(CountsRows()), cut(TASKS, 2)
    for _ in range(2):
        found = once.run(batch(), group)
        assert (found[0].action == torch.tensor(4 / 1000)).all()
    assert once.apart()
    assert set(once._engines) == {2}  # no memory for what is of no use


def test_pieces_that_agree_are_stepped_together_from_then_on(monkeypatch):
    seen = []
    monkeypatch.setattr(pieces, "run_trial", lambda *given: (seen.append(len(given[3])), run_trial(*given))[1])
    once, group = runner(CountsNothing()), cut(TASKS, 2)
    once.run(batch(), group)
    assert seen == [2, 2, 2, 6]
    once.run(batch(), group)
    assert seen == [2, 2, 2, 6, 6]
    assert not once.apart()
    assert set(once._engines) == {6}
    once.close()
    assert not once._engines


def test_a_divergence_is_reported_once_though_its_piece_is_computed_twice():
    class Explodes(CountsRows):
        def act(self, adaptation, step, noise):
            """Acts beyond any bound in the last task."""
            action = torch.zeros_like(noise)
            action[-1] = 1e12
            return action, adaptation

    seen = []
    once = runner(Explodes())
    once.on_divergence = seen.append
    once.run(batch(tasks=2, shots=0), [Piece(0, 1), Piece(1, 1)])
    assert all(isinstance(one, Divergence) for one in seen)
    assert len(seen) == 2 * SHORT.horizon  # each task is the last of its piece

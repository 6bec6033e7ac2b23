"""Words of `robometa search` before it trains: the space, what the budget is for, and warnings."""

from __future__ import annotations

import math
from typing import Any

from robometa import registry
from robometa.escape import counted, say

FEW_ITERATIONS = 10
"""Iterations of a preset below which a first rung says little of how a training ends."""


def print_space(settings: Any, spaces: Any) -> None:
    """Prints the space of each learner, and what the budget is for."""
    from robometa.console import PlainConsole, WholeTable

    console, budget = PlainConsole(), settings.budget
    for label, space in spaces.items():
        title = f"{label}, preset {space.preset}"
        table = WholeTable("parameter", "values", "hand-set", prose=("values",), title=title)
        known = space.parameters(space.usual)
        for one in space.dimensions:
            option = one.name.partition(".")[0]
            table.add_row(one.name, one.words(), str(known[one.name] if known else space.usual[option]))
        for name, value in space.fixed.items():
            table.add_row(name, "fixed", str(value))
        console.print(table)
        console.print()
    each = settings.trials_budget / len(spaces)
    console.print(f"budget: {budget.words()}; a whole training: {budget.words(settings.training)}", soft_wrap=True)
    generations = int(each * (1 + 1e-9) / settings.generation_cost)
    console.print(
        f"each learner: {budget.words(each)}, at least {generations} generations of {settings.generation} trials, "
        f"{settings.rungs} rungs",
        soft_wrap=True,
    )
    for label, space in spaces.items():
        if space.size <= generations * settings.generation:
            console.print(
                f"{label} has {counted(int(space.size), 'different trial')}, and trains no more", soft_wrap=True
            )
    left_out = [name for name in settings.table if name in registry.LEARNERS and name not in spaces]
    if left_out:
        console.print(f"left out, as they are not searched: {', '.join(left_out)}", soft_wrap=True)
    tasks = len(settings.validation_tasks)
    scored = f"training tasks that score the trials: {tasks}" if tasks else "finite suite: all tasks score the trials"
    console.print(f"{scored}; finals: {budget.words(settings.finals_cost)}", soft_wrap=True)


def warn_of_short_trials(suite: Any, settings: Any, spaces: Any) -> None:
    """Warns of learners whose shortest trials, in environment steps, have few iterations or not one."""
    from robometa.search import halving
    from robometa.search.budget import STEPS
    from robometa.training.budget import steps_of_iteration

    budget, shortest = settings.budget, settings.training * halving.share(0, settings.rungs)
    if budget.unit != STEPS:  # what a training takes otherwise is not known before it
        return
    for label, space in spaces.items():
        steps = steps_of_iteration({**space.usual, **space.fixed}, suite)
        if steps > shortest:
            say(
                f"warning: an iteration of {label} takes {budget.words(steps)}, the shortest trials may take "
                f"{budget.words(shortest)}: they train for one iteration, beyond the budget; more --training, or "
                "fewer --rungs"
            )
        of_preset = steps_of_iteration(space.usual, suite)
        iterations = math.ceil(shortest / of_preset)
        if steps <= shortest and settings.rungs > 1 and iterations < FEW_ITERATIONS:
            say(
                f"warning: the first rung judges the preset of {label} after {counted(iterations, 'iteration')} of "
                f"{math.ceil(settings.training / of_preset)}: what learns fast at first goes on; more --training, or "
                "fewer --rungs"
            )

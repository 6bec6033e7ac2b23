"""Checks of a learner against the protocol: it is made, run, saved and loaded on a small engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robometa import registry, suites
from robometa.conformance.harness import Bench, BrokenError, copied, first_step, leaves, near, same, seeded
from robometa.data import Rollout, Step
from robometa.errors import UserError
from robometa.learners.protocol import Adaptation, Learner, completed, names_taken
from robometa.registry import user_file
from robometa.suites.suite import Suite
from robometa.trials.trial import collect, torch_on

CHECKED_TASKS, CHECKED_WORLDS, MAX_CHECKED_HORIZON = 3, 2, 8
"""Sizes of the trials that a learner is checked in."""
MIN_OPTIONS = {"iterations": 1, "tasks": 1, "worlds": 1, "shots": 0}
"""Options that every learner has, and their least values."""
USES_GLOBAL_RANDOM = "draws from a global random generator: take every random number from the noise that is passed in"
"""Message about a method, after its name."""


def check_learner(
    learner: str | type[Learner], suite: str | Path | Suite = "point-robot", options: dict[str, Any] | None = None
) -> list[str]:
    """Lists a learner's breaches of the protocol, in a sentence each; none if it conforms.

    Each group of checks relies on the groups before it, so it runs only if those find no fault.

    Args:
        learner: A class, a shipped learner's name, or `./mine.py:MyLearner`.
        suite: Suite to run it on, for a few steps.
        options: Options of the learner, to make it small; by default its first preset with 3 tasks and 2 worlds.

    Raises:
        UserError: If there is no such learner or suite, or an option is not the learner's.
    """
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    entry = registry.find(learner) if isinstance(learner, str) else None
    try:
        kind, preset = _loaded(learner, entry)
    except UserError as error:
        return [f"{error}."]
    faults = _form(kind, preset)
    if faults:
        return faults
    try:
        config = replace(preset, **{"tasks": CHECKED_TASKS, "worlds": CHECKED_WORLDS} | (options or {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"learner {kind.__name__}: {error}") from None
    bench = Bench(kind, config, replace(suite, horizon=min(suite.horizon, MAX_CHECKED_HORIZON)))
    with torch_on(1), torch.no_grad(), seeded(0):
        for group in (_made, _trial, _pure, _update, _neighbours, _state):
            try:
                faults = group(bench)
            except BrokenError as error:
                return [str(error)]
            if faults:
                return faults
    return []


def _loaded(learner: Any, entry: registry.Entry | None) -> tuple[Any, Any]:
    """A learner's class and its first configuration.

    Raises:
        UserError: If it is no learner.
    """
    if entry is not None:
        return entry.load(), next(iter(entry.presets().values()))
    fault = user_file.fault_of(learner, learner.__name__ if isinstance(learner, type) else repr(learner))
    if fault:
        raise UserError(fault)
    try:
        return completed(learner), learner.configuration()
    except (TypeError, ValueError) as error:
        raise UserError(f"configuration must have a default for every option: {error}") from None


def _form(kind: Any, preset: Any) -> list[str]:
    """Breaches that show before a class is used."""
    faults = []
    if not kind.configuration.__dataclass_params__.frozen:
        faults.append("configuration must be frozen: write @dataclass(frozen=True), since options never change.")
    for name, least in MIN_OPTIONS.items():
        value = getattr(preset, name)
        if type(value) is not int or value < least:
            faults.append(f"configuration must have a whole number of at least {least} as {name}, not {value!r}.")
    if type(kind.pools_worlds) is not bool:
        faults.append(f"pools_worlds must be True or False, not {kind.pools_worlds!r}.")
    return faults


def _made(bench: Bench) -> list[str]:
    """Breaches by a learner that was just made."""
    learner: Any = bench.made()  # whatever it really is
    faults = []
    kept = dir(learner)
    if "config" not in kept or learner.config != bench.config:
        faults.append("__init__ must keep the options that it is given as `config`.")
    if "device" not in kept or not isinstance(learner.device, torch.device):
        faults.append("__init__ must keep `device` as a torch.device, such as torch.device(device).")
    state: Any = bench.call("state_dict", learner.state_dict)
    if not isinstance(state, dict):
        return [*faults, f"state_dict must return tensors by name, not {type(state).__name__}."]
    wrong = [name for name, value in state.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if wrong:
        kinds = type(state[wrong[0]]).__name__
        return [*faults, f"state_dict must return a tensor under every name, and under {wrong[0]!r} it is {kinds}."]
    return faults + _repeated("__init__", lambda: [bench.made().state_dict()], "the same seed")


def _trial(bench: Bench) -> list[str]:
    """Breaches in the results of a learner's methods, in a trial of the usual size and in the smallest."""
    sizes = {"": (bench.config.tasks, bench.config.worlds), " with one task and one world": (1, 1)}
    for words, (tasks, worlds) in sizes.items():
        try:
            faults = _returned(bench, tasks, worlds)
        except BrokenError as error:
            raise BrokenError(str(error).replace(" raises ", f" raises{words} ", 1)) from error
        if faults:
            return [sentence.replace(" must ", f" must{words} ", 1) for sentence in faults]
    _, logged = bench.updated(bench.trial())
    if not isinstance(logged, dict):
        return [f"update must return numbers by name, not {type(logged).__name__}."]
    wrong = [name for name, value in logged.items() if type(value) not in (int, float) or not math.isfinite(value)]
    if wrong:
        return [f"update must return finite floats, and {wrong[0]!r} is {logged[wrong[0]]!r}."]
    return []


def _returned(bench: Bench, tasks: int, worlds: int) -> list[str]:
    learner, engine = bench.made(), bench.engine(tasks, worlds)
    noise = bench.noise("returned", tasks=tasks, worlds=worlds)
    step = first_step(engine, noise)
    adaptation = bench.call("begin", learner.begin, tasks, worlds, noise.fork("begin"))
    returned = bench.call("act", learner.act, adaptation, step, torch.zeros_like(step.last_action))
    if not isinstance(returned, tuple) or len(returned) != 2:
        return ["act must return a pair: the action, and the adaptation to carry on with."]
    action = returned[0]
    if not isinstance(action, Tensor) or action.shape != step.last_action.shape:
        shape = list(action.shape) if isinstance(action, Tensor) else type(action).__name__
        return [
            f"act must return an action of shape [task, world, action] = {list(step.last_action.shape)}, not {shape}."
        ]
    if action.dtype != torch.float32:
        return [f"act must return actions in torch.float32, not {action.dtype}."]
    if not action.isfinite().all():
        return ["act must return finite actions."]
    rollout, adaptation = bench.call("act", collect, engine, learner, adaptation, noise)
    with torch.enable_grad():
        adaptation = bench.call("adapt", learner.adapt, adaptation, rollout, noise.fork("adapt"))
    bench.call("act", collect, engine, learner, adaptation, noise.fork("again"))
    return []


def _pure(bench: Bench) -> list[str]:
    """Side effects of begin, act and adapt, and results that differ from call to call."""
    trial = bench.trial()
    learner, _ = bench.updated(trial)
    tasks, worlds = bench.config.tasks, bench.config.worlds
    noise = bench.noise("pure")
    step = first_step(bench.engine(tasks, worlds), noise)  # neither this nor the last rollout has been in its hands
    draws = noise.fork("action").normal(step.last_action.shape[-1])

    def begin() -> Adaptation:
        return bench.call("begin", learner.begin, tasks, worlds, noise)

    def adapt(adaptation: Adaptation, rollout: Rollout) -> Adaptation:
        with torch.enable_grad():
            return bench.call("adapt", learner.adapt, adaptation, rollout, noise.fork("adapt"))

    def act(adaptation: Adaptation, step: Step, draws: Tensor) -> Any:
        return bench.call("act", learner.act, adaptation, step, draws)

    faults = _clean("begin", learner, begin, {})
    faults += _clean("act", learner, act, {"adaptation": begin(), "step": step, "noise": draws})
    faults += _clean("adapt", learner, adapt, {"adaptation": begin(), "rollout": trial.rollouts[-1]})
    return faults


def _clean(name: str, learner: Learner, method: Callable[..., Any], given: dict[str, Any]) -> list[str]:
    """Side effects of one method; if there are none, results that differ from call to call."""
    before, state = {word: copied(value) for word, value in given.items()}, copied(learner.state_dict())
    method(*given.values())
    for word, value in given.items():
        if not same(leaves(value), before[word]):
            return [f"{name} changes the {word} that it is given: make a new one and leave the old as it was."]
    if not same(leaves(learner.state_dict()), state):
        return [f"{name} changes the learner's state: only update may."]
    return _repeated(name, lambda: method(*given.values()), "the same things given")


def _repeated(name: str, call: Callable[[], Any], given: str) -> list[str]:
    """Differences between calls, with the global random generators at other seeds too."""
    results = []
    for seed in (1, 1, 2):
        with seeded(seed):
            results.append(copied(call()))
    if not same(results[0], results[1]):
        return [
            f"{name} gives something else the second time with {given}: nothing may be kept outside the adaptation."
        ]
    return [] if same(results[0], results[2]) else [f"{name} {USES_GLOBAL_RANDOM}."]


def _update(bench: Bench) -> list[str]:
    """Breaches by an update: it must depend on the trial alone, and leave it unchanged."""
    trial = bench.trial()
    before = copied(trial.rollouts)
    logged = bench.updated(trial)[1]
    if isinstance(logged, Mapping) and (taken := names_taken(map(str, logged))):
        return [f"update returns {', '.join(taken)}, which every training logs: rename it."]
    if not same(leaves(trial.rollouts), before):
        return ["update changes the trial that it is given: copy what is to be changed."]

    def learned() -> dict[str, Tensor]:
        return bench.updated(trial)[0].state_dict()

    return _repeated("update", learned, "the same trial")


def _neighbours(bench: Bench) -> list[str]:
    """Influence between tasks, and between worlds unless the learner pools them."""
    trial = bench.trial()
    learner, _ = bench.updated(trial)
    rollout, tasks, worlds = trial.rollouts[0], bench.config.tasks, bench.config.worlds
    everybody = bench.acted(learner, rollout, tasks, worlds)
    alone = bench.acted(learner, rollout, 1, worlds)
    faults = []
    if not all(map(near, (actions[:1] for actions in everybody), alone)):
        faults.append("a task's actions depend on the tasks that stand beside it: every task is adapted to by itself.")
    lonely = bench.acted(learner, rollout, 1, 1)
    if not bench.kind.pools_worlds and not all(map(near, (actions[:, :1] for actions in alone), lonely)):
        faults.append(
            "a world's actions depend on the worlds beside it, and pools_worlds is False: one of them is wrong."
        )
    return faults


def _state(bench: Bench) -> list[str]:
    """Differences in acting and training between a learner and one that loaded its state."""
    trial = bench.trial()
    learner, _ = bench.updated(trial)
    sizes = trial.rollouts[0], bench.config.tasks, bench.config.worlds
    acted, state = bench.acted(learner, *sizes), {name: value.clone() for name, value in learner.state_dict().items()}
    policy = bench.made(seed=1)
    part = {name: value.clone() for name, value in state.items() if not name.startswith("training/")}
    bench.call("load_state_dict of the policy's part of a state", policy.load_state_dict, part)
    if not same(bench.acted(policy, *sizes), acted):
        return [
            "state_dict must have all that acting needs under names that do not begin with training/, "
            "and load_state_dict take it."
        ]
    again, given = bench.made(seed=2), {name: value.clone() for name, value in state.items()}
    bench.call("load_state_dict", again.load_state_dict, given)
    if not same(leaves(again.state_dict()), leaves(state)) or again.state_dict().keys() != state.keys():
        return ["load_state_dict must restore all of a state: what state_dict returns after it is not what was loaded."]
    following = [bench.updated(trial, one)[0].state_dict() for one in (learner, again)]
    if not same(leaves(following[0]), leaves(following[1])):
        return ["state_dict must have all that training resumes from: after load_state_dict, the next update differs."]
    if not same(leaves(given), leaves(state)):
        return ["load_state_dict must copy the tensors that it is given: the next update changed them."]
    return []

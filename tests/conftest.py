"""What several tests stand on: a suite that takes no time, and experience that no simulator made."""

import copy
import dataclasses
import functools
import signal
import types
from contextlib import closing

import processor_time
import pytest
import sampled_cases
import torch
from processor_time import (  # noqa: F401
    pytest_runtest_call,
    pytest_runtest_setup,
    pytest_terminal_summary,
)
from sampled_cases import pytest_collection_modifyitems  # noqa: F401

from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.data import Rollout
from robometa.policies.manifest import TrainingRecord
from robometa.trials import make
from torture.trainings import SUITE as TINY_SUITE

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job, whose children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)  # products this small gain nothing from more, and other work on the machine costs them dearly


def pytest_addoption(parser):
    """Adds the settings of the modules that this one takes hooks from."""
    processor_time.add_setting(parser)
    sampled_cases.add_setting(parser)


PLANNED = {
    "iterations": 4,
    "tasks": 3,
    "worlds": 2,
    "hidden": (8,),
    "members": 2,
    "candidates": 6,
    "plan_horizon": 2,
    "rounds": 2,
    "elites": 2,
    "kept": 1,
    "windows": 4,
    "gradient_steps": 3,
}
"""Options of a learner that plans."""
HISTORY = {
    "iterations": 4,
    "tasks": 3,
    "worlds": 2,
    "hidden": (8,),
    "minibatches": 2,
    "decay_end": 4,
    "history": 40,
    "module_steps": 2,
    "module_batch": 8,
}
"""Options of a learner with an adaptation module."""
IMITATING = {
    "iterations": 4,
    "tasks": 3,
    "worlds": 2,
    "shots": 1,
    "batch": 4,
    "gradient_steps": 2,
    "memory_size": 6,
    "memory_heads": 2,
    "context": 8,
    "hidden": (5,),
}
"""Options of a learner that learns from a dataset."""
OFFLINE = ("dpt", "ad")
"""Learners that learn from a dataset; test_imitation.py trains them."""
SMALL_OPTIONS = {
    "ad": IMITATING,
    "dpt": IMITATING,
    "fine-tune": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 4,
        "hidden": (8,),
        "minibatches": 2,
        "tuning_steps": 2,
        "decay_end": 4,
    },
    "grbal": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 2,
        "hidden": (8,),
        "past": 2,
        "future": 2,
        "candidates": 6,
        "plan_horizon": 2,
        "elites": 2,
        "windows": 4,
        "gradient_steps": 3,
    },
    "pets": PLANNED,
    "cadm": PLANNED | {"past": 2, "future": 2, "context": 2, "encoder_hidden": (4,)},
    "anil": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,), "last_layer_only": True},
    "e-maml": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,)},
    "fomaml": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,), "first_order": True},
    "hypernetwork": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 2,
        "memory_size": 6,
        "hidden": (5,),
        "minibatches": 2,
        "decay_end": 4,
    },
    "maml-trpo": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,)},
    "meta-sgd": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,)},
    "promp": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,), "epochs": 2, "decay_end": 4},
    "reptile": {"iterations": 4, "tasks": 3, "worlds": 4, "hidden": (8,)},
    "no-adaptation": {"iterations": 4, "tasks": 3, "worlds": 2, "hidden": (8,), "minibatches": 2, "decay_end": 4},
    "oracle": {"iterations": 4, "tasks": 3, "worlds": 2, "hidden": (8,), "minibatches": 2, "decay_end": 4},
    "pearl": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 2,
        "hidden": (8, 8),
        "encoder_hidden": (8,),
        "context": 6,
        "meta_batch": 2,
        "batch": 8,
        "gradient_steps": 3,
        "decay_begin": 3,
        "decay_end": 4,
    },
    "amago": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 2,
        "memory_size": 6,
        "step_hidden": (5,),
        "hidden": (5,),
        "discounts": (0.5, 0.9),
        "critics": 3,
        "bins": 8,
        "sequence": 6,
        "batch": 4,
        "gradient_steps": 3,
        "capacity": 10,
        "anneal": 2,
        "warm_up": 2,
        "lead": 2,
    },
    "rl2": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 2,
        "memory_size": 6,
        "hidden": (5,),
        "minibatches": 2,
        "decay_end": 4,
    },
    "random": {"iterations": 2, "tasks": 2, "worlds": 2},
    "rma": HISTORY | {"policy_end": 2, "bottleneck": 2, "encoder_hidden": (4,)},
    "rma-concurrent": HISTORY,
    "varibad": {
        "iterations": 4,
        "tasks": 3,
        "worlds": 2,
        "latent": 2,
        "memory_size": 6,
        "hidden": (5,),
        "decoder_hidden": (4,),
        "minibatches": 2,
        "decay_end": 4,
        "gradient_steps": 2,
        "batch": 3,
        "beliefs": 2,
        "decodes": 4,
        "capacity": 10,
    },
}
"""Options with which a learner trains on the tiny suite in a fraction of a second."""


def record_of(learner):
    """Description of a training with a learner, for a policy that a test saves."""
    return TrainingRecord(
        seed=3,
        preset=next(iter(registry.find(learner).presets())),
        iterations=1,
        environment_steps=1,
        wall_time_seconds=1.0,
        versions={},
        processors=2,
        last_returns={},
    )


def reference_entry(suite, unadapted, oracle, random, spread=0.5):
    """A suite's entry of references.json: three seeds, alike on all tasks but for a spread between seeds."""
    returns = {
        name: [[value + offset] * len(suite.test) for offset in (-spread, 0.0, spread)]
        for name, value in (("unadapted", unadapted), ("oracle", oracle), ("random", random))
    }
    return {"suite_hash": suite.content_hash} | {name: {"returns": values} for name, values in returns.items()}


def fake_rollout(tasks, worlds, horizon, observation, action, seed, dtype=torch.float32):
    """Experience drawn at random, in which some episodes end early and every one ends with the rollout."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(tasks, worlds, horizon, *shape, generator=generator, dtype=dtype)

    terminated = torch.rand(tasks, worlds, horizon, generator=generator) < 0.1
    truncated = torch.zeros_like(terminated)
    truncated[..., -1] = ~terminated[..., -1]
    return Rollout(
        obs=normal(observation),
        action=normal(action),
        reward=normal(),
        next_obs=normal(observation),
        terminated=terminated,
        truncated=truncated,
        success=torch.zeros_like(terminated),
        diverged=torch.zeros_like(terminated),
    )


def training_spaces(suite, learner):
    """Sizes of what a learner observes in training."""
    with closing(make.engine_for(learner, suite, 1, 1, Hardware(threads=1), training=True)) as engine:
        return engine.spaces


def credit(whole, value, discount, gae_lambda):
    """What each step of a trial is credited with, from the definition, standardised; and which steps are learned from.

    A step's credit is the sum over the steps that are paid from it on, of what they turned out better than expected.
    `[trial, time + 1]` to `[trial, time]` and `[trial, time]`
    """
    paid = torch.cat([part.first_episode() for part in whole.rollouts], dim=2).flatten(0, 1)
    joined = whole.joined()
    reward, terminated = joined.reward.flatten(0, 1), joined.terminated.flatten(0, 1)
    result = torch.zeros_like(reward)
    length = reward.shape[1]
    for trial in range(len(reward)):
        steps = [time for time in range(length) if paid[trial, time]]
        goes_on = steps[-1] == length - 1 and not terminated[trial, -1]
        ends = [*steps[1:], length]
        ahead = [value[trial, end] if end < length or goes_on else 0.0 for end in ends]
        better = [
            reward[trial, time] + discount ** (end - time) * worth - value[trial, time]
            for time, end, worth in zip(steps, ends, ahead, strict=True)
        ]
        for place, time in enumerate(steps):
            result[trial, time] = sum(
                discount ** (steps[later] - time) * gae_lambda ** (later - place) * better[later]
                for later in range(place, len(steps))
            )
    return (result - result[paid].mean()) / result[paid].std(), paid


def copied(state):
    """A copy of a learner's state that the learner cannot change any more."""
    return {name: tensor.clone() for name, tensor in state.items()}


@pytest.fixture
def tiny_file(tmp_path):
    """The file of a suite of a user's own: a point robot with a horizon of 5 steps, 6 tasks to train on, 3 held out."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE, encoding="utf-8")
    return path


@pytest.fixture
def tiny_suite(tiny_file):
    """The suite of `tiny_file`."""
    return suites.load(tiny_file)


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """Folders of trainings on the tiny suite that nothing interrupts, one for each learner and its further options.

    Many tests compare a run with such a training: it is made once, by one thread, and must not be changed.
    """
    from robometa.training.train import train

    known = {}

    def of(learner, **options):
        key = (learner, *sorted(options.items()))
        if key not in known:
            base = tmp_path_factory.mktemp("straight")
            (base / "tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
            asked = {"options": SMALL_OPTIONS[learner] | options, "folder": base / "run", "checkpoint_minutes": 1e9}
            train(base / "tiny.toml", learner, threads=1, loggers=(), **asked)
            known[key] = base / "run"
        return known[key]

    return of


@pytest.fixture(scope="session")
def upstream_models_compiled_once():
    """Lets Gymnasium's and Meta-World's environments of one file share a compilation; each gets a copy."""
    import mujoco
    from gymnasium.envs.mujoco.mujoco_env import MujocoEnv

    initialize = MujocoEnv._initialize_simulation

    @functools.lru_cache(maxsize=4)
    def compiled(path, width, height):
        return initialize(types.SimpleNamespace(fullpath=path, width=width, height=height))[0]

    def initialized(self):
        model = copy.copy(compiled(self.fullpath, self.width, self.height))
        return model, mujoco.MjData(model)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MujocoEnv, "_initialize_simulation", initialized)
        yield


@pytest.fixture
def changed():
    """A dataclass value with some fields changed, by name."""
    return dataclasses.replace


def same_tensors(first, second):
    """Whether two states agree in every bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

"""Every learner learns: on tasks that it has never seen, it does better once it has adapted."""

import time

import pytest
import torch

from robometa import registry, suites
from robometa.evaluation.evaluate import measure
from robometa.noise import Noise
from robometa.registry.options import resolve
from robometa.training.iteration import task_batch
from robometa.trials.make import build, engine_for
from robometa.trials.trial import run_trial

BY_GRADIENT = {"tasks": 8, "worlds": 12, "hidden": (32, 32), "discount": 0.95}
BY_HISTORY = {
    "tasks": 20,
    "worlds": 8,
    "shots": 1,
    "history": 40,
    "hidden": (32, 32),
    "reward_input": True,
    "discount": 0.9,
    "learning_rate": 3e-3,
    "minibatches": 4,
    "module_learning_rate": 3e-3,
    "module_steps": 40,
    "module_batch": 256,
}
OPTIONS = {
    "amago": {
        "iterations": 72,
        "tasks": 20,
        "worlds": 2,
        "memory_size": 32,
        "step_hidden": (32,),
        "hidden": (32, 32),
        "discounts": (0.9,),
        "bins": 60,
        "lowest_return": -12.0,
        "highest_return": 1.0,
        "sequence": 40,
        "gradient_steps": 60,
        "learning_rate": 3e-3,
        "target_rate": 0.05,
        "lead": 240,
        "anneal": 50,
        "capacity": 800,
    },
    "anil": {"iterations": 7, **BY_GRADIENT},
    "cadm": {
        "iterations": 12,
        "tasks": 20,
        "worlds": 2,
        "shots": 1,
        "hidden": (32, 32),
        "members": 2,
        "encoder_hidden": (32,),
        "past": 16,
        "context": 4,
        "candidates": 20,
        "plan_horizon": 5,
        "rounds": 2,
        "elites": 4,
        "windows": 16,
        "gradient_steps": 200,
        "learning_rate": 5e-3,
    },
    "e-maml": {"iterations": 6, **BY_GRADIENT},
    "fomaml": {"iterations": 6, **BY_GRADIENT},
    "grbal": {
        "iterations": 12,
        "tasks": 20,
        "worlds": 2,
        "shots": 1,
        "hidden": (32, 32),
        "across_episodes": True,
        "future": 8,
        "inner_steps": 2,
        "inner_step_size": 0.1,
        "candidates": 24,
        "plan_horizon": 5,
        "rounds": 1,
        "plan_std": 0.5,
        "elites": 4,
        "windows": 32,
        "gradient_steps": 200,
        "learning_rate": 5e-3,
    },
    "hypernetwork": {
        "iterations": 24,
        "tasks": 40,
        "worlds": 4,
        "memory_size": 32,
        "hidden": (16,),
        "epochs": 5,
        "minibatches": 4,
        "learning_rate": 3e-3,
        "final_learning_rate": 1e-3,
    },
    "maml-trpo": {"iterations": 7, **BY_GRADIENT},
    "meta-sgd": {"iterations": 6, **BY_GRADIENT},
    "promp": {"iterations": 10, "learning_rate": 0.01, **BY_GRADIENT},
    "reptile": {"iterations": 20, "learning_rate": 0.02, **BY_GRADIENT, "tasks": 10, "worlds": 10},
    "pearl": {
        "iterations": 24,
        "tasks": 20,
        "worlds": 2,
        "hidden": (64, 64),
        "encoder_hidden": (64, 64),
        "latent": 3,
        "gradient_steps": 80,
        "batch": 64,
        "context": 40,
        "learning_rate": 2e-3,
        "discount": 0.9,
        "temperature": 0.1,
        "target_rate": 0.02,
    },
    "rl2": {
        "iterations": 35,
        "tasks": 20,
        "worlds": 4,
        "memory_size": 32,
        "hidden": (32,),
        "epochs": 5,
        "minibatches": 4,
        "learning_rate": 3e-3,
        "final_learning_rate": 1e-3,
    },
    "rma": {"iterations": 36, "policy_share": 0.5, **BY_HISTORY, "encoder_hidden": (32,), "bottleneck": 4},
    "rma-concurrent": {"iterations": 24, **BY_HISTORY},
    "varibad": {
        "iterations": 45,
        "tasks": 20,
        "worlds": 4,
        "memory_size": 32,
        "latent": 3,
        "hidden": (32, 32),
        "epochs": 5,
        "minibatches": 4,
        "learning_rate": 3e-3,
        "final_learning_rate": 1e-3,
        "discount": 0.95,
        "gae_lambda": 0.9,
        "decoder_learning_rate": 3e-3,
        "decodes": 20,
    },
}
"""Options with which a learner learns the point robot in seconds."""
BY_PRESET = {"lstm": {"tasks": 40}, "transformer": {"context": 40}}
"""Further options of a preset."""
BUDGET, BUDGETS = 120, {"amago": 300}
"""Processor time of a training and its evaluation: a minute of 2 cores, s; and of learners that need more."""
BETTER, BETTER_THAN_RANDOM = 3.0, 6.0
"""By how much the return must grow through adaptation, and end above random actions. Those reach -20; after a shot the
learners reached -5 to -10 here, and -16 before it."""

ONLINE = {"amago", "cadm", "grbal", "hypernetwork", "rl2", "rma", "rma-concurrent", "varibad"}
"""Learners that adapt at every step: most of what adapting is worth shows in the first episode already."""
BETTER_ONLINE = 1.0
"""By how much their return must still grow; they must also beat their untrained selves by the other margin."""
KNOWS_AT_ONCE = {"amago", "rma"}
"""Learners that know the task after a few steps: their later episodes need only be as good as the first, within 0.5."""
SETS_OUT = {"amago"}
"""Learners among these whose second episode begins with what the first has found: it sets out to where that ended."""

BASELINES = {"random", "no-adaptation", "fine-tune", "oracle", "pets", "dpt", "ad"}
"""Learners that do not learn to adapt, or learn from a dataset: what they must do stands in test_baselines.py,
test_planning_learners.py and test_imitation.py."""


def trained(learner, suite, seed):
    """Trains a learner in memory."""
    config = learner.config
    engine = engine_for(learner, suite, config.tasks, config.worlds, training=True)
    for iteration in range(config.iterations):
        noise = Noise(seed, ("train", iteration), config.tasks, config.worlds)
        indices = task_batch(len(suite.train), config.tasks, seed, iteration)
        learner.update(run_trial(engine, learner, suite.train, indices, config.shots, noise))
    return learner


def setting_out(learner, suite):
    """Cosine of the first action of two episodes and the way to where the first one has ended, mean over tasks."""
    tasks = range(len(suite.test))
    engine = engine_for(learner, suite, len(tasks), 4, training=False)
    trial = run_trial(engine, learner, suite.test, list(tasks), 1, Noise(0, ("set out",), len(tasks), 4))
    place = trial.rollouts[0].obs[:, :, -1, :2]
    return [
        float(torch.cosine_similarity(place - one.obs[:, :, 0, :2], one.action[:, :, 0], dim=-1).mean())
        for one in trial.rollouts
    ]


QUICK = ("maml-trpo", "fomaml")
"""Learners whose training here is no longer than a default run may be."""


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *(
            pytest.param(name, None, marks=[pytest.mark.slow] if name not in QUICK else [])
            for name in registry.LEARNERS
            if name not in BASELINES
        ),
        pytest.param("rl2", "lstm", marks=[pytest.mark.slow]),
        pytest.param("rl2", "transformer", marks=[pytest.mark.slow]),
    ],
)
def test_it_adapts_to_tasks_that_it_has_never_seen(name, preset):
    begun = time.process_time()
    suite = suites.load("point-robot")
    options = OPTIONS[name] | BY_PRESET.get(preset, {})
    learner = build(name, resolve(suite, name, options, preset), suite, seed=0)
    before = measure(learner, suite, shots=1)
    report = measure(trained(learner, suite, seed=0), suite, shots=1)
    chance = report.random.interquartile_mean(0)[0]
    for scores in (report.mean_action, report.exploring):
        start, adapted = scores.interquartile_mean(0)[0], scores.interquartile_mean(1)[0]
        better = BETTER_ONLINE if name in ONLINE else BETTER
        assert adapted > start + (-0.5 if name in KNOWS_AT_ONCE else better)
        assert adapted > chance + BETTER_THAN_RANDOM
    if name in SETS_OUT:
        first, second = setting_out(learner, suite)
        assert second > max(first + 0.3, 0.6)
    # an untrained learner cannot do that: adapting is what training has taught it
    untrained = before.mean_action
    if name in ONLINE:
        assert report.mean_action.interquartile_mean(0)[0] > untrained.interquartile_mean(0)[0] + BETTER_THAN_RANDOM
    assert untrained.interquartile_mean(1)[0] < untrained.interquartile_mean(0)[0] + BETTER
    assert time.process_time() - begun < BUDGETS.get(name, BUDGET)

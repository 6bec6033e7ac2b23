"""PETS and CaDM: what is learned without adapting, and what a context adds."""

import dataclasses

import pytest
import torch
from conftest import fake_rollout

from robometa import registry, suites
from robometa.data import Meaning, Spaces, Step, Trial
from robometa.errors import UserError
from robometa.learners.cadm import Cadm
from robometa.learners.cadm import Config as CadmConfig
from robometa.learners.pets import Config as PetsConfig
from robometa.learners.pets import Pets
from robometa.noise import Noise
from robometa.registry.options import resolve
from robometa.training.iteration import task_batch
from robometa.trials.make import build, engine_for
from robometa.trials.trial import run_trial

SPACES = Spaces(2, 2)
SMALL = {"hidden": (16, 16), "members": 2, "gradient_steps": 200, "learning_rate": 5e-3, "random_iterations": 0}
KINDS = {"pets": (Pets, PetsConfig(windows=32, **SMALL)), "cadm": (Cadm, CadmConfig(windows=32, past=4, **SMALL))}


def made(name, spaces=SPACES, **options):
    kind, config = KINDS[name]
    return kind(dataclasses.replace(config, **options), spaces, seed=0)


def noise(tasks=4, worlds=5, seed=0):
    return Noise(seed, ("test",), tasks, worlds)


def hidden_sign(seed, horizon=12):
    """Points that move by their action in one world and against it in the next."""
    generator = torch.Generator().manual_seed(seed)
    sign = torch.where(torch.rand(4, 5, 1, 1, generator=generator) < 0.5, -1.0, 1.0)
    rollout = fake_rollout(4, 5, horizon, 2, 2, seed)
    action = rollout.action.clamp(-1, 1)
    return Trial(
        torch.arange(4),
        (dataclasses.replace(rollout, next_obs=rollout.obs + sign * action, reward=(sign * action)[..., 0].clone()),),
        noise(seed=seed),
    )


@pytest.mark.slow
def test_a_context_explains_what_differs_between_tasks_and_models_without_one_cannot():
    errors = {}
    for name in KINDS:
        learner = made(name, members=1, hidden=(32, 32), gradient_steps=150)
        for seed in range(3):
            logged = learner.update(hidden_sign(seed, horizon=60))
        errors[name] = logged["model_error"]
    assert errors["pets"] > 0.8
    assert errors["cadm"] < 0.1


def test_a_context_is_of_the_last_transitions_whatever_their_order():
    learner = made("cadm")
    weight = torch.ones(20, 4)
    steps = torch.randn(20, 4, learner.model.transition, generator=torch.Generator().manual_seed(1))
    found = learner._context(steps, weight)
    torch.testing.assert_close(learner._context(steps.flip(1), weight), found)
    fewer = weight.clone()
    fewer[:, :2] = 0
    changed = steps.clone()
    changed[:, :2] += 1
    assert torch.equal(learner._context(steps, fewer), learner._context(changed, fewer))
    assert not torch.allclose(learner._context(steps, fewer), found)


def test_acting_infers_the_context_that_training_would():
    learner = made("cadm", candidates=4, elites=2, kept=1, plan_horizon=2)
    rollout = hidden_sign(3).rollouts[0]
    adaptation, zero = learner.begin(4, 5, noise()), torch.zeros(4, 5, 2)
    for time in range(6):
        before = max(time - 1, 0)
        step = Step(
            rollout.obs[:, :, time], rollout.action[:, :, before], rollout.reward[:, :, before], zero[..., 0] > 0
        )
        if time:
            step = dataclasses.replace(step, obs=rollout.next_obs[:, :, before])
            adaptation = adaptation._replace(last=adaptation.last._replace(last_obs=rollout.obs[:, :, before]))
        _, adaptation = learner.act(adaptation, step, zero)
    changes = rollout.next_obs - rollout.obs
    steps = torch.cat((rollout.obs, rollout.action.clamp(-1, 1), changes, rollout.reward[..., None]), dim=-1)
    wanted = learner._context(steps[:, :, 1:5].flatten(0, 1), torch.ones(20, 4))
    torch.testing.assert_close(adaptation.knowledge.flatten(0, 1), wanted)


def test_members_learn_from_windows_of_their_own():
    learner = made("pets", gradient_steps=1)
    learner.model.parameters.data[1] = learner.model.parameters.data[0]
    learner.update(hidden_sign(0))
    assert not torch.equal(*learner.model.parameters.data)


@pytest.mark.parametrize("informed", [True, False])
def test_the_meaning_of_an_observation_is_used_where_it_is_asked_for(informed):
    meaning = Meaning(free=(1,), pitch=0, reward=lambda obs, action, after: after[:, 1])
    learner = made("pets", dataclasses.replace(SPACES, meaning=meaning), informed=informed, gradient_steps=1)
    logged = learner.update(hidden_sign(0))
    assert (learner.model.targets, learner.model.features) == ((2, 4) if informed else (3, 2))
    assert ("on_back" in logged) == informed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"elites": 33}, "elites must be in"),
        ({"particles": 6}, "particles must be in"),
        ({"planner": "cam"}, "cem"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        PetsConfig(**options)


ONE_GOAL = """
about = "A point asked to go to one place."
robot = "point"
objective = "goal"
horizon = 20
finite = true
[train]
tasks = 1
seed = 0
goal = [0.6, 0.8]
[test]
tasks = 1
seed = 0
goal = [0.6, 0.8]
"""


def test_pets_learns_a_single_task_in_a_few_iterations(tmp_path):
    path = tmp_path / "one-goal.toml"
    path.write_text(ONE_GOAL, encoding="utf-8")
    suite = suites.load(path)
    options = {"iterations": 3, "tasks": 5, "hidden": (32, 32), "plan_horizon": 10, "candidates": 24}
    learner = build("pets", resolve(suite, "pets", options | {"gradient_steps": 200}), suite, seed=0)
    engine = engine_for(registry.find("pets").load(), suite, 5, 1)
    for iteration in range(3):
        indices = task_batch(len(suite.train), 5, 0, iteration)
        trial = run_trial(engine, learner, suite.train, indices, 0, Noise(0, ("train", iteration), 5, 1))
        learner.update(trial)
    engine.close()
    assert trial.rollouts[0].episode_return().mean() > -12.0  # standing still earns -20, straight ahead -4

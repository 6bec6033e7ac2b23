"""RMA in two phases and in one: shown what tasks hide in training, and not in acting."""

import dataclasses
import math
from contextlib import closing

import pytest
import torch
from conftest import SMALL_OPTIONS, fake_rollout

from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.data import Spaces, Step, Trial
from robometa.errors import UserError
from robometa.nn.bottleneck import Bottleneck
from robometa.noise import Noise
from robometa.policies import policy_folder
from robometa.registry.options import read_config
from robometa.training.train import train
from robometa.trials import make

SPACES, TASKS, WORLDS, HORIZON = Spaces(3, 2, privileged=("mass", "friction")), 3, 2, 6
BOTH = ("rma", "rma-concurrent")


def learner(name, **options):
    kind = registry.find(name).load()
    made = kind(kind.configuration(**(SMALL_OPTIONS[name] | options)), SPACES, 0)
    made.observations.include(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1)
    made.parameters.include(torch.randn(50, 2, generator=torch.Generator().manual_seed(1)) + 3)
    return made


def trial(seed=0, shots=2):
    """A trial as in training, whose observations end with two numbers that are those of the task."""
    rollouts = []
    for shot in range(shots):
        rollout = fake_rollout(TASKS, WORLDS, HORIZON, 5, 2, 10 * seed + shot)
        for part in (rollout.obs, rollout.next_obs):
            part[..., 3:] = torch.arange(1.0, TASKS + 1).reshape(-1, 1, 1, 1) * torch.tensor([1.0, -1.0])
        rollouts.append(rollout)
    return Trial(torch.arange(TASKS), tuple(rollouts), Noise(seed, ("update",), TASKS, WORLDS))


def acted(made, whole, *, told=True):
    """Histories and actions along a trial, without noise. `[task, world, time, ...]`."""
    rollout = whole.joined()
    seen, history, found = rollout.seen(), made.begin(TASKS, WORLDS, whole.noise), []
    for time in range(rollout.reward.shape[-1]):
        step = Step(*(part[:, :, time] for part in vars(seen).values()))
        step = step if told else dataclasses.replace(step, obs=step.obs[..., :3])
        action, history = made.act(history, step, torch.zeros(TASKS, WORLDS, 2))
        found.append((history, action))
    return tuple(torch.stack(part, dim=2) for part in zip(*found, strict=True))


def test_the_actor_begins_with_weights_of_the_size_of_the_oracles():
    layers = [layer for layer in learner("rma", hidden=(16, 16)).network.policy.actor if hasattr(layer, "weight")]
    for layer in layers:
        limit = math.sqrt(6 / (layer.in_features + layer.out_features)) * (0.01 if layer is layers[-1] else 1)
        assert 0.8 * limit < layer.weight.abs().max() <= limit
        assert not layer.bias.any()


@pytest.mark.parametrize("name", BOTH)
def test_the_histories_that_it_learns_from_are_those_that_acted(name):
    made, whole = learner(name), trial()
    histories, _ = acted(made, whole)
    assert torch.equal(made._histories(whole.joined()).unflatten(0, (TASKS, WORLDS)), histories)
    assert torch.equal(histories[:, :, 3, -2], histories[:, :, 2, -1])  # a step moves on by one place
    assert (histories[:, :, 0, :-1] == 0).all()


@pytest.mark.parametrize("name", BOTH)
def test_nothing_of_what_is_hidden_is_needed_to_act(name):
    made, whole = learner(name), trial()
    for _ in range(3):  # until phase two
        made.update(whole)
    for told, untold in zip(acted(made, whole), acted(made, whole, told=False), strict=True):
        assert torch.equal(told, untold)


def test_the_policy_is_given_the_bottleneck_in_phase_one_and_its_estimate_in_phase_two():
    made, whole = learner("rma"), trial()
    other = trial()
    for rollout in other.rollouts:
        rollout.obs[..., 3:] += 1.0
    assert made.trains_policy
    assert not torch.equal(acted(made, whole)[1], acted(made, other)[1])
    module = [weight.clone() for weight in made.module.parameters()]
    made.update(whole)
    assert all(map(torch.equal, made.module.parameters(), module))
    made.update(whole)
    assert not made.trains_policy
    assert torch.equal(acted(made, whole)[1], acted(made, other)[1])
    before = {name: value.clone() for name, value in made.state_dict().items()}
    metrics = made.update(whole)
    changed = {name for name, value in made.state_dict().items() if not torch.equal(value, before.get(name, value))}
    assert {name.split("/")[0] for name in changed - {"progress/updates", "progress/of_module"}} == {"module"}
    assert metrics.keys() == {"estimate_error", "constant_error", "gradient_samples"}


def test_phase_two_goes_on_where_a_run_is_given_a_later_end():
    made, whole = learner("rma", policy_end=0, iterations=2, policy_share=0.5), trial()
    assert [made.update(whole)["policy_loss"] != 0, made.trains_policy] == [True, False]
    early = learner("rma", policy_end=0, iterations=8, policy_share=0.5)
    early.load_state_dict(made.state_dict())
    assert early.trains_policy  # phase two has not begun
    made.update(whole)
    later = learner("rma", policy_end=0, iterations=8, policy_share=0.5)
    later.load_state_dict(made.state_dict())
    assert not later.trains_policy


def test_phase_two_follows_mean_actions_and_evaluation_may_explore():
    made, whole = learner("rma", policy_end=1), trial()
    made.update(whole)
    step = Step(*(part[:, :, 0] for part in vars(whole.joined().seen()).values()))
    plain = dataclasses.replace(step, obs=step.obs[..., :3])
    begun, none = made.begin(TASKS, WORLDS, whole.noise), torch.zeros(TASKS, WORLDS, 2)
    ones = none + 1
    assert torch.equal(made.act(begun, step, ones)[0], made.act(begun, step, none)[0])
    assert not torch.equal(made.act(begun, plain, ones)[0], made.act(begun, plain, none)[0])


def test_in_one_phase_the_old_probabilities_are_those_of_the_estimates_that_acted():
    made, whole = learner("rma-concurrent", epochs=1, minibatches=1), trial()
    metrics = made.update(whole)
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["clipped"] == 0.0


@pytest.mark.parametrize("name", BOTH)
def test_the_estimate_is_learned_and_a_constant_is_what_it_is_measured_by(name):
    options = {"policy_end": 1} if name == "rma" else {}
    made = learner(name, module_steps=40, module_batch=64, module_learning_rate=3e-3, **options)
    if name == "rma":
        made.network.encoder = Bottleneck(2, (), 2, torch.Generator().manual_seed(3))
    whole = trial()
    # What is hidden shows in the observation. In one phase the statistics move once more.
    for rollout in whole.rollouts:
        rollout.obs[..., :2] += rollout.obs[..., 3:]
    errors = [made.update(whole) for _ in range(6)]
    assert errors[1]["estimate_error"] > errors[-1]["estimate_error"]
    assert errors[-1]["estimate_error"] < 0.3 * errors[-1]["constant_error"]


@pytest.mark.parametrize("name", BOTH)
def test_trials_that_diverged_are_no_evidence(name):
    made, whole = learner(name), trial()
    whole.rollouts[0].diverged[:, :, 2] = True
    metrics = made.update(whole)
    assert metrics["estimate_error"] == metrics["constant_error"] == 0.0


@pytest.mark.parametrize("name", BOTH)
def test_rewards_are_part_of_a_history_if_asked_for(name):
    for wanted in (False, True):
        made, whole = learner(name, reward_input=wanted), trial()
        richer = dataclasses.replace(whole.rollouts[0], reward=whole.rollouts[0].reward + 1)
        other = Trial(whole.tasks, (richer, whole.rollouts[1]), whole.noise)
        same = torch.equal(acted(made, whole)[0], acted(made, other)[0])
        assert same != wanted


@pytest.mark.parametrize("name", BOTH)
def test_a_suite_that_hides_no_numbers_is_refused(name):
    kind = registry.find(name).load()
    with pytest.raises(UserError, match=f"^{name} needs a suite whose training tasks differ in numbers"):
        kind(kind.configuration(), Spaces(3, 2), 0)
    with pytest.raises(UserError, match="history must be in"):
        kind.configuration(history=39)


@pytest.mark.parametrize("name", BOTH)
def test_training_shows_it_what_evaluation_does_not(tiny_suite, name):
    made = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=0)
    sizes = []
    for training in (True, False):
        with closing(make.engine_for(made, tiny_suite, 1, 1, Hardware(threads=1), training=training)) as engine:
            sizes.append(engine.spaces.observation)
    assert sizes == [4, 2]
    assert make.spaces_of(tiny_suite, made) == Spaces(2, 2, privileged=("goal 0", "goal 1"))


def test_its_policy_is_of_what_it_was_trained_with(tmp_path):
    policy = train("hopper-params", "rma", options=SMALL_OPTIONS["rma"] | {"iterations": 1}, folder=tmp_path / "run")
    manifest = policy_folder.load_policy(policy)[2]
    assert manifest.spaces.privileged
    assert not manifest.spaces.revealed
    with pytest.raises(UserError, match="in training also what a task hides: "):
        policy_folder.load_policy(policy, suites.load("walker2d-params"))

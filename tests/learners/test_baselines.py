"""What keeps the others honest: one policy for all tasks, the same trained on to a task, and one that sees the task."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from conftest import SMALL_OPTIONS, TINY_SUITE, fake_rollout
from test_learning import trained

from robometa import registry, suites
from robometa.data import Spaces, Step, Trial
from robometa.errors import UserError
from robometa.evaluation.evaluate import measure
from robometa.learners.protocol import sees_parameters
from robometa.nn.actor_critic import LAST_LAYER, Network
from robometa.nn.networks import normal_log_density
from robometa.nn.normalizer import Normalizer
from robometa.noise import Noise
from robometa.policies import policy_folder
from robometa.registry.options import read_config
from robometa.rl.policy_gradient import Batch
from robometa.rl.ppo_on_episodes import experience
from robometa.sim.oracle import HiddenNumbers
from robometa.sim.select import engine_of
from robometa.training.train import train
from robometa.trials import make, pieces
from robometa.trials.trial import run_trial
from robometa.video.record import play

TASKS, WORLDS = 3, 2


def noise(*purpose):
    return Noise(0, purpose or ("test",), TASKS, WORLDS)


def hidden_by_hand(suite, task):
    """A task's numbers; those that never change are left out."""
    every = np.array([[number for _, value in one.parameters for number in value] for one in suite.train])
    mine = np.array([number for _, value in task.parameters for number in value])
    return mine[np.ptp(every, axis=0) > 0].astype(np.float32)


@pytest.mark.parametrize("name", ["point-robot", "half-cheetah-direction", "half-cheetah-velocity", "hopper-params"])
def test_the_engine_tells_an_oracle_exactly_what_tasks_hide(name):
    suite = suites.load(name)
    plain, telling = (engine_of(suite, TASKS, WORLDS, threads=1, reveal=reveal) for reveal in (False, True))
    tasks = [suite.test[index % len(suite.test)] for index in (1, 0, 3)]
    told = torch.from_numpy(np.stack([hidden_by_hand(suite, task) for task in tasks]))
    told = told.unsqueeze(1).expand(-1, WORLDS, -1)
    seen = plain.spaces.observation
    assert telling.spaces == Spaces(seen + told.shape[-1], plain.spaces.action, HiddenNumbers(suite).names)
    assert len(telling.spaces.revealed) == told.shape[-1]
    for engine in (plain, telling):
        engine.assign(tasks)
    obs, both = plain.reset(noise()), telling.reset(noise())
    for time in range(5):
        assert torch.equal(both[..., :seen], obs)  # without being told, nothing has changed
        torch.testing.assert_close(both[..., seen:], told)
        assert torch.equal(telling.state().obs, both)
        action = noise("act", time).normal(plain.spaces.action)
        outcome, theirs = plain.step(action), telling.step(action)
        torch.testing.assert_close(theirs.next_obs, torch.cat((outcome.next_obs, told), dim=-1))
        assert torch.equal(theirs.reward, outcome.reward)
        obs, both = outcome.obs, theirs.obs
    for engine in (plain, telling):
        engine.close()


def test_a_number_means_the_same_in_every_suite(tmp_path):
    """A policy may be run on another suite than its own."""
    shipped = suites.load("half-cheetah-velocity")
    slow = tmp_path / "slow.toml"
    slow.write_text(shipped.path.read_text().replace("[0.0, 3.0]", "[0.0, 1.0]"), encoding="utf-8")
    slow = suites.load(slow)
    assert HiddenNumbers(slow).names == HiddenNumbers(shipped).names == ("velocity",)
    assert HiddenNumbers(slow)(slow.test[0]).item() == pytest.approx(dict(slow.test[0].parameters)["velocity"][0])
    directions = suites.load("half-cheetah-direction")
    assert HiddenNumbers(directions).names == ("direction",)
    assert {HiddenNumbers(directions)(task).item() for task in directions.train} == {-1.0, 1.0}


def test_an_oracle_is_not_told_one_thing_for_another(tmp_path):
    options = SMALL_OPTIONS["oracle"] | {"tasks": 2, "worlds": 1, "iterations": 1}
    policy = train("half-cheetah-velocity", "oracle", options=options, folder=tmp_path / "run")
    # as many numbers, and another one last
    with pytest.raises(UserError, match=r"policy was trained with .*: velocity, but .*-direction has .*: direction$"):
        policy_folder.load_policy(policy, suites.load("half-cheetah-direction"))


def test_which_of_several_jobs_is_no_number(tiny_suite):
    other = dataclasses.replace(tiny_suite.test[0], objective="sparse_goal")
    several = dataclasses.replace(tiny_suite, test=(*tiny_suite.test, other))
    with pytest.raises(UserError, match="no policy can observe what suite tiny hides: which task it is"):
        HiddenNumbers(several)


def test_an_oracle_trains_on_tasks_that_are_on_no_list(tiny_suite, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(pieces, "run_trial", lambda *given: (seen.append(given[2]), run_trial(*given))[1])
    for drawn in (5, 0):
        options = SMALL_OPTIONS["oracle"] | {"drawn_tasks": drawn, "iterations": 1}
        train(tiny_suite, "oracle", options=options, folder=tmp_path / str(drawn))
    drawn, listed = seen
    assert len(set(drawn)) == 5
    assert not set(drawn) & {*tiny_suite.train, *tiny_suite.test}
    assert all(np.hypot(*dict(task.parameters)["goal"]) == pytest.approx(1.0) for task in drawn)  # of the same arc
    assert listed == tiny_suite.train


@pytest.mark.parametrize(
    ("name", "endless"),
    [("half-cheetah-velocity", True), ("half-cheetah-params", True), ("half-cheetah-crippled", False),
     ("half-cheetah-direction", False), ("ant-direction-2d", True)],
)  # fmt: skip
def test_some_suites_have_more_tasks_than_they_list(name, endless):
    suite = suites.load(name)
    assert suite.endless == endless
    if endless:
        assert suite.drawn(0, 1) == suite.drawn(0, 1) != suite.drawn(0, 2) != suite.drawn(1, 2)
        assert [key for key, _ in suite.drawn(0, 1).parameters] == [key for key, _ in suite.train[0].parameters]


def test_what_never_changes_is_left_out(tmp_path):
    path = tmp_path / "lined-up.toml"
    goals = "{ values = [[0.5, 1.0], [0.5, 2.0], [0.5, 3.0], [0.5, 4.0], [0.5, 5.0], [0.5, 6.0]] }"
    path.write_text(TINY_SUITE.replace("{ arc = [1.0, 0.0, 3.141592653589793] }", goals, 1), encoding="utf-8")
    suite = suites.load(path)
    hidden = HiddenNumbers(suite)
    assert hidden.names == ("goal 1",)
    assert [hidden(task).item() for task in suite.train] == [1, 2, 3, 4, 5, 6]


def test_a_task_that_hides_something_else_cannot_be_told(tiny_suite):
    with pytest.raises(UserError, match=r"velocity .* cannot be shown to an oracle: the training tasks hide goal$"):
        HiddenNumbers(tiny_suite)(suites.load("half-cheetah-velocity").test[0])


def test_only_the_oracle_sees(tiny_suite):
    assert [name for name, entry in registry.LEARNERS.items() if sees_parameters(entry.load())] == ["oracle"]
    for name, entry in registry.LEARNERS.items():
        size = make.spaces_of(tiny_suite, entry.load()).observation  # as a policy acts
        assert size == (4 if name == "oracle" else 2)
    assert make.spaces_of(tiny_suite).observation == 2


def test_an_oracle_is_trained_measured_and_recorded_as_such(tiny_file, tiny_suite, tmp_path):
    policy = train(tiny_file, "oracle", options=SMALL_OPTIONS["oracle"], folder=tmp_path / "run")
    assert json.loads((policy / "manifest.json").read_text())["spaces"] == {
        "observation": 4,
        "action": 2,
        "told": ["goal 0", "goal 1"],
    }
    oracle, suite, _ = policy_folder.load_policy(policy)
    assert measure(oracle, suite, shots=1, worlds=2).mean_action.returns.shape == (2, 3, 2)
    assert len(play(oracle, suite, "test", task=0, shots=1, seed=0)) == 1  # it does not adapt
    with pytest.raises(
        UserError, match=r"with 4 observations and 2 actions, .* but suite half-cheetah-velocity has 19 "
    ):
        policy_folder.load_policy(policy, suites.load("half-cheetah-velocity"))


@pytest.mark.parametrize("name", ["no-adaptation", "oracle"])
def test_nothing_is_found_out(tiny_suite, name):
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=0)
    size = make.spaces_of(tiny_suite, learner).observation
    rollout = fake_rollout(TASKS, WORLDS, 5, size, 2, seed=0)
    start = learner.begin(TASKS, WORLDS, noise())
    assert start is None
    assert learner.adapt(start, rollout, noise()) is None


def test_each_episode_stands_for_itself():
    """Against the definition, step by step: nothing follows a termination, a value follows a cut."""
    discount, gae_lambda = 0.9, 0.7
    options = dataclasses.replace(registry.LEARNERS["no-adaptation"].presets()["default"], discount=0.9, gae_lambda=0.7)
    rollout = fake_rollout(TASKS, WORLDS, 12, 3, 2, seed=1)
    cut = torch.zeros_like(rollout.truncated)
    cut[0, 0, 4] = ~rollout.terminated[0, 0, 4]  # an episode that is cut in the middle
    rollout = dataclasses.replace(rollout, truncated=rollout.truncated | cut)
    assert rollout.terminated[..., :-1].any()
    network = Network(3, 2, (8,), 0.5, torch.Generator().manual_seed(0))
    observations, returns = Normalizer(3), Normalizer(1)
    observations.include(5 + 2 * rollout.obs)
    returns.include(torch.tensor([[1.0], [4.0]]))  # mean 2.5, deviation 1.5

    @torch.no_grad()
    def value(obs):
        return 2.5 + 1.5 * network.critic(observations(obs))[..., 0]

    wanted = torch.zeros(TASKS, WORLDS, 12)
    for task in range(TASKS):
        for world in range(WORLDS):
            later = 0.0
            for time in reversed(range(12)):
                place = (task, world, time)
                following = 0.0 if rollout.terminated[place] else value(rollout.next_obs[place])
                delta = rollout.reward[place] + discount * following - value(rollout.obs[place])
                later = delta + (0.0 if rollout.done[place] else discount * gae_lambda * later)
                wanted[place] = later
    learned = experience(network, rollout, observations, returns, options)
    assert len(learned.action) == TASKS * WORLDS  # 12 steps stay together
    scaled = (wanted - wanted.mean()) / wanted.std()
    torch.testing.assert_close(learned.advantage.reshape(wanted.shape), scaled, atol=1e-5, rtol=1e-5)
    targets = returns.undo(learned.target).reshape(wanted.shape)
    torch.testing.assert_close(targets, wanted + value(rollout.obs), atol=1e-5, rtol=1e-5)
    mean, log_std = network.policy.distribution(network.actor.detach(), observations(rollout.obs))
    density = normal_log_density(rollout.action, mean, log_std)
    torch.testing.assert_close(learned.log_density.reshape(wanted.shape), density, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("horizon", "length"), [(200, 25), (60, 20), (7, 7), (31, 1), (26, 13)])
def test_minibatches_are_of_short_pieces(horizon, length):
    rollout = fake_rollout(1, 2, horizon, 3, 2, seed=2)
    network = Network(3, 2, (4,), 0.5, torch.Generator().manual_seed(0))
    config = registry.LEARNERS["no-adaptation"].presets()["default"]
    learned = experience(network, rollout, Normalizer(3), Normalizer(1), config)
    assert learned.action.shape == (2 * horizon // length, length, 2)
    assert torch.equal(learned.action.flatten(0, 1), rollout.action.flatten(0, 2))
    assert torch.equal(learned.inputs[0].flatten(0, 1), rollout.obs.flatten(0, 2))


def test_it_begins_near_zero_actions():
    network = Network(4, 2, (32, 32), 0.5, torch.Generator().manual_seed(0))
    mean, log_std = network.policy.distribution(network.actor.detach(), torch.randn(100, 4))
    assert 0 < mean.abs().max() < 3 * LAST_LAYER
    torch.testing.assert_close(log_std.exp(), torch.full((1, 2), 0.5))


def test_the_statistics_are_part_of_the_policy(tiny_suite):
    config = read_config("no-adaptation", SMALL_OPTIONS["no-adaptation"])
    learner = make.build("no-adaptation", config, tiny_suite, seed=0)
    rollout = fake_rollout(TASKS, WORLDS, 5, 2, 2, seed=0)
    rollout = dataclasses.replace(rollout, obs=7 + 3 * rollout.obs)
    learner.update(Trial(torch.arange(TASKS), (rollout,), noise()))
    policy = {name: value for name, value in learner.state_dict().items() if not name.startswith("training/")}
    assert policy["observations/mean"].tolist() == pytest.approx(rollout.obs.double().mean(dim=(0, 1, 2)).tolist())
    other = make.build("no-adaptation", config, tiny_suite, seed=1)
    other.load_state_dict(policy)
    zero = torch.zeros(TASKS, WORLDS, 2)
    step = Step(rollout.obs[:, :, 0], zero, zero[..., 0], zero[..., 0].bool())
    assert torch.equal(other.act(None, step, zero)[0], learner.act(None, step, zero)[0])


def tuner(tiny_suite, **options):
    return make.build("fine-tune", read_config("fine-tune", SMALL_OPTIONS["fine-tune"] | options), tiny_suite, seed=0)


def test_one_step_of_fine_tuning_follows_the_policy_gradient(tiny_suite):
    """Adam's first step goes by its rate along the sign of the gradient; that gradient by finite differences."""
    learner = tuner(tiny_suite, tuning_steps=1, tuning_minibatches=1, tuning_rate=1e-2, hidden=(3,))
    generator = torch.Generator().manual_seed(0)
    obs, output = (torch.randn(40, 2, generator=generator) for _ in range(2))
    batch = Batch(obs, output, torch.randn(40, generator=generator), torch.zeros(40))
    start = learner.begin(1, 1, noise())[0]
    policy = learner.network.policy

    def loss(parameters):
        return -(policy.log_likelihood(parameters, obs.double(), output.double()) * batch.advantage).mean()

    steps = 1e-5 * torch.eye(len(start), dtype=torch.float64)
    slope = torch.stack([loss(start.double() + step) - loss(start.double() - step) for step in steps]) / 2e-5
    clear = slope.abs() > 1e-5
    assert clear.sum() > len(start) / 2
    moved = learner._tuned(start, batch) - start
    torch.testing.assert_close(moved[clear], -1e-2 * slope[clear].sign().float(), atol=1e-4, rtol=0)


def test_the_steps_of_fine_tuning_share_out_the_experience(tiny_suite):
    generator = torch.Generator().manual_seed(0)
    obs, output, advantage = (torch.randn(9, *size, generator=generator) for size in ((2,), (2,), ()))
    other = advantage.clone()
    other[1::2] *= -3  # what a second step is to see
    for steps, same in ((1, True), (2, False)):
        learner = tuner(tiny_suite, tuning_steps=steps, tuning_minibatches=2)
        start = learner.begin(1, 1, noise())[0]
        first, second = (learner._tuned(start, Batch(obs, output, paid, paid)) for paid in (advantage, other))
        assert torch.equal(first, second) == same
    samples = Batch(obs, output, advantage, advantage)
    few = tuner(tiny_suite, tuning_steps=3, tuning_minibatches=50)._tuned(start, samples)
    assert few.isfinite().all()


def test_fine_tuning_stops_where_the_clip_says(tiny_suite):
    """One action that was better than expected: its ratio rises beyond 1.2, and then nothing pulls any more."""
    learner = tuner(tiny_suite, tuning_steps=300, tuning_rate=3e-4)
    start = learner.begin(1, 1, noise())[0]
    batch = Batch(torch.ones(1, 2), torch.full((1, 2), 0.3), torch.ones(1), torch.ones(1))
    likelihood = learner.network.policy.log_likelihood
    after = learner._tuned(start, batch)
    ratio = (likelihood(after, batch.obs, batch.output) - likelihood(start, batch.obs, batch.output)).exp().item()
    assert 1.2 < ratio < 1.3
    free = tuner(tiny_suite, tuning_steps=300, tuning_rate=3e-4, clip=0.99)._tuned(start, batch)
    assert likelihood(free, batch.obs, batch.output) > likelihood(after, batch.obs, batch.output) + 0.2


def test_each_task_is_tuned_on_its_own_worlds_and_nothing_else_moves(tiny_suite):
    learner = tuner(tiny_suite)
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    rollout = fake_rollout(TASKS, WORLDS, 5, 2, 2, seed=0)
    start = learner.begin(TASKS, WORLDS, noise())
    adapted = learner.adapt(start, rollout, noise())
    assert len(torch.unique(adapted, dim=0)) == TASKS
    reward = rollout.reward.clone()
    reward[1] += torch.randn(WORLDS, 5, generator=torch.Generator().manual_seed(1))
    other = learner.adapt(start, dataclasses.replace(rollout, reward=reward), noise())
    assert [torch.equal(*rows) for rows in zip(adapted, other, strict=True)] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())


POINT = {"tasks": 20, "hidden": (32, 32), "discount": 0.9, "learning_rate": 3e-3, "minibatches": 4}
LEARNING = {
    "no-adaptation": {"iterations": 15, "worlds": 10},
    "oracle": {"iterations": 20, "worlds": 10},
    "fine-tune": {"iterations": 12, "worlds": 20},
}


def learned(name):
    """What mean actions are paid on the point robot's held-out tasks at each shot, and random ones."""
    suite = suites.load("point-robot")
    learner = make.build(name, read_config(name, POINT | LEARNING[name]), suite, seed=0)
    report = measure(trained(learner, suite, seed=0), suite, shots=1)
    returns = [report.mean_action.interquartile_mean(shot)[0] for shot in range(2)]
    return *returns, report.random.interquartile_mean(0)[0]


@pytest.mark.slow
def test_on_the_point_robot_everyone_is_where_they_belong():
    """Random actions are paid -20. To the middle of all goals is worth some 4, going straight to one's goal 15."""
    one_for_all, again, chance = learned("no-adaptation")
    knowing, _, _ = learned("oracle")
    before, tuned, _ = learned("fine-tune")
    assert one_for_all > chance + 2.5
    assert again == pytest.approx(one_for_all, abs=0.5)
    assert knowing > one_for_all + 8
    assert knowing > -7
    assert before == pytest.approx(one_for_all, abs=2.0)
    assert tuned > before + 1.0
    assert knowing > tuned + 3


def test_a_direction_is_told_as_a_direction():
    suite = suites.load("ant-direction-2d")
    told = HiddenNumbers(suite)

    def at(angle):
        return told(dataclasses.replace(suite.train[0], parameters=(("angle", (angle,)),)))

    near, far = at(math.pi - 1e-3), at(-math.pi + 1e-3)
    assert told.names == ("cos angle", "sin angle")
    assert (near - far).norm() < 0.01  # as a number they would be 2 pi apart
    assert (at(0.0) - at(math.pi)).norm() > 1.9


def test_fine_tuning_trains_on_what_the_policy_itself_did(tiny_suite):
    """Rollouts after an adaptation acted with tuned policies, of which PPO would believe that they were its own."""
    config = read_config("fine-tune", SMALL_OPTIONS["fine-tune"] | {"shots": 1})
    one, other = (make.build("fine-tune", config, tiny_suite, seed=0) for _ in range(2))
    spaces = make.spaces_of(tiny_suite)
    first, second = (fake_rollout(3, 4, 5, spaces.observation, spaces.action, seed) for seed in (0, 1))
    one.update(Trial(torch.arange(3), (first, second), noise("update")))
    other.update(Trial(torch.arange(3), (first,), noise("update")))
    torch.testing.assert_close(one.network.actor, other.network.actor, rtol=0, atol=0)


def test_an_oracle_with_a_bottleneck_reads_hidden_numbers_through_it_alone(tmp_path):
    suite = suites.load("hopper-params")
    options = {"bottleneck": 2, "encoder_hidden": (8,), "hidden": (8,), "tasks": 2, "worlds": 1, "drawn_tasks": 4}
    policy = train(suite, "oracle", options=options | {"iterations": 2}, folder=tmp_path / "run")
    learner = policy_folder.load_policy(policy)[0]
    assert learner.network.known(torch.zeros(1, 11 + len(HiddenNumbers(suite).names))).shape == (1, 11 + 2)
    begun = make.build("oracle", learner.config, suite, seed=0).network.encoder
    assert not torch.equal(begun[0].weight, learner.network.encoder[0].weight)  # PPO trained it

    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(1, 1, 11, generator=generator)
    hidden = torch.stack([HiddenNumbers(suite)(task) for task in suite.train[:2]]).unsqueeze(1)
    obs = torch.cat((seen.expand(2, 1, 11), hidden), dim=-1)
    step = Step(obs, torch.zeros(2, 1, 3), torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.bool))
    with torch.no_grad():
        first, second = learner.act(None, step, torch.zeros(2, 1, 3))[0]
        assert not torch.equal(first, second)
        learner.network.encoder[-1].weight.zero_()
        first, second = learner.act(None, step, torch.zeros(2, 1, 3))[0]
        assert torch.equal(first, second)


def test_a_bottleneck_of_nothing_is_refused():
    config = dataclasses.replace(read_config("oracle", {}), bottleneck=2)
    with pytest.raises(UserError, match="option bottleneck needs a suite that hides numbers"):
        registry.find("oracle").load()(config, Spaces(3, 2), 0)

"""Simulations that diverge in a training: charged, counted, shown, dumped, and looked at again."""

import functools
import json
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import OFFLINE, SMALL_OPTIONS, TINY_SUITE, copied, fake_rollout, same_tensors, training_spaces
from test_train import assert_same_run, at_iteration, trained

from robometa import registry, suites
from robometa.commands.main import main
from robometa.data import Trial
from robometa.errors import Stopped, UserError
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.rl import ppo
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.host_reader import HostReader
from robometa.sim.select import engine_of
from robometa.storage import sealed_folder
from robometa.training.divergence_dumps import DUMPS_FOLDER, MAX_DUMPS, replay
from robometa.training.guarded_update import ALL_DIVERGED, guarded_update
from robometa.training.run_folder import RunFolder
from robometa.training.train import resume
from robometa.trials import make
from robometa.trials.trial import run_trial

LEARNERS = [name for name in registry.LEARNERS if name != "random"]
PLANNERS = ("grbal", "cadm", "pets")


@functools.cache
def tiny():
    """The tiny suite, read once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.toml"
        path.write_text(TINY_SUITE, encoding="utf-8")
        return suites.load(path)


FROM_ALL = {"amago": {"capacity": 12, "batch": 40, "sequence": 10}}
"""Further options with which a learner keeps all of the trial here, and draws from all of it."""
BLOWN_UP = (0, 1, 2)
"""Task, world and time of the step that diverges."""
CHARGE = -60.0


def trial(spaces, spoil=None, action=0.0):
    """A trial with a step that diverged in its first rollout, and perhaps another in what stands there.

    Its action was none unless it is given.
    """
    rollouts = []
    for shot in range(2):
        rollout = fake_rollout(3, 4, 5, spaces.observation, spaces.action, seed=shot)
        if shot == 0:
            for flag, value in (("diverged", True), ("terminated", True), ("truncated", False), ("reward", CHARGE)):
                getattr(rollout, flag)[BLOWN_UP] = value
            rollout.action[BLOWN_UP] = action
            if spoil is not None:
                getattr(rollout, spoil)[BLOWN_UP] += 0.25 if spoil == "action" else 5.0
        rollouts.append(rollout)
    return Trial(torch.arange(3), tuple(rollouts), Noise(0, ("update",), 3, 4))


@functools.cache
def updated(name, spoil=None, action=0.0):
    """A learner's state after it has adapted to a trial on the tiny suite and learned from it."""
    suite = tiny()
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name] | FROM_ALL.get(name, {})), suite, seed=3)
    made = trial(training_spaces(suite, learner), spoil, action)
    adaptation = learner.begin(3, 4, made.noise)
    if name not in PLANNERS:
        adaptation = learner.adapt(adaptation, made.rollouts[0], made.noise.fork("adapt"))
    assert guarded_update(learner, made)[1] == ""
    state = copied(learner.state_dict())
    parts = adaptation if isinstance(adaptation, tuple) else (adaptation,)
    return state | {f"adapted/{row}": part.detach() for row, part in enumerate(parts) if isinstance(part, torch.Tensor)}


MEMORIES = ("rl2", "hypernetwork", "varibad")


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.sample(8)
def test_what_a_diverged_simulation_led_to_changes_nothing_that_is_learned(name):
    assert same_tensors(updated(name), updated(name, "next_obs"))


CHARGED = [name for name in LEARNERS if name not in (*PLANNERS, *OFFLINE)]
"""Learners that learn from rewards: others model them, and their plans ignore the ends of episodes."""


@pytest.mark.parametrize("name", [name for name in CHARGED if name != "pearl"])
def test_the_steps_before_are_credited_with_the_charge_of_what_was_no_action(name):
    assert not same_tensors(updated(name), updated(name, "reward"))


@pytest.mark.parametrize("name", CHARGED)
@pytest.mark.sample(6)
def test_an_action_that_blew_up_is_learned_from_with_its_charge(name):
    found = updated(name, action=0.5)
    assert not same_tensors(found, updated(name, "action", 0.5))
    assert not same_tensors(found, updated(name, "reward", 0.5))


@pytest.mark.parametrize("name", PLANNERS)
def test_a_world_that_diverged_is_no_part_of_a_dynamics_model(name):
    found = updated(name, action=0.5)
    for spoil in ("action", "reward", "next_obs"):
        assert same_tensors(found, updated(name, spoil, 0.5))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_that_did_not_diverge_is_learned_from(tiny_suite, name):
    """Or the test above could not fail."""
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name] | FROM_ALL.get(name, {})), tiny_suite, seed=3)
    made = trial(training_spaces(tiny_suite, learner), "action")
    sound = replace(made.rollouts[0], diverged=torch.zeros_like(made.rollouts[0].diverged))
    guarded_update(learner, Trial(made.tasks, (sound, made.rollouts[1]), made.noise))
    without = updated(name)
    assert not same_tensors(learner.state_dict(), {key: without[key] for key in learner.state_dict()})


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_s_policy_has_no_gradient_from_what_was_no_action(tiny_suite, monkeypatch, name):
    seen = []
    update = ppo.update
    monkeypatch.setattr(ppo, "update", lambda *arguments: seen.append(arguments[2]) or update(*arguments))
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=3)
    guarded_update(learner, trial(training_spaces(tiny_suite, learner)))
    weight = seen[0].weight.reshape(12, 10)  # [task * world, time]
    assert weight[1, 2] == 0
    learned = weight > 0
    assert learned[1, :5].tolist() == [True, True, False, False, False]  # nor from what comes after it in its rollout
    assert weight[learned].unique().numel() == 1
    assert seen[0].advantage.reshape(12, 10)[1, 1] < -1  # the step before bears the charge
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))


def test_a_step_of_no_weight_has_no_part_in_ppo_s_loss(tiny_suite):
    config = read_config("no-adaptation", SMALL_OPTIONS["no-adaptation"])
    learner = make.build("no-adaptation", config, tiny_suite, seed=3)
    generator = torch.Generator().manual_seed(0)
    shape = (4, 5)
    weight = torch.ones(shape)
    weight[1, 3] = 0.0
    losses = []
    for other in (0.0, 7.0):
        generator.manual_seed(0)
        obs = torch.randn(*shape, 2, generator=generator)
        numbers = [torch.randn(*shape, *rest, generator=generator) for rest in ((2,), (), (), ())]
        for part in numbers:
            part[1, 3] += other
        experience = ppo.Experience((obs,), *numbers, weight)
        losses.append(ppo._loss(learner.network, experience, learner.config)[0])
    assert torch.equal(*losses)


def test_a_trial_with_a_task_that_only_diverged_teaches_nothing(tiny_suite):
    learner = make.build("maml-trpo", read_config("maml-trpo", SMALL_OPTIONS["maml-trpo"]), tiny_suite, seed=3)
    made, before = trial(training_spaces(tiny_suite, learner)), copied(learner.state_dict())
    made.rollouts[1].diverged[2] = True
    assert guarded_update(learner, made) == ({}, ALL_DIVERGED)
    assert same_tensors(learner.state_dict(), before)


@pytest.mark.parametrize("name", CHARGED)
def test_a_task_that_only_diverged_is_adapted_to_without_harm(tiny_suite, name):
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=3)
    made = trial(training_spaces(tiny_suite, learner))
    made.rollouts[0].diverged[2] = True
    adaptation = learner.adapt(learner.begin(3, 4, made.noise), made.rollouts[0], made.noise.fork("adapt"))
    parts = adaptation if isinstance(adaptation, tuple) else (adaptation,)
    assert all(part.isfinite().all() for part in parts if isinstance(part, torch.Tensor))


def test_a_belief_without_any_evidence_stays_the_prior(tiny_suite):
    learner = make.build("pearl", read_config("pearl", SMALL_OPTIONS["pearl"]), tiny_suite, seed=3)
    rollout = trial(training_spaces(tiny_suite, learner)).rollouts[0]
    rollout.diverged[1, 2] = True
    prior = learner.begin(3, 4, Noise(0, ("begin",), 3, 4))
    belief = learner.adapt(prior, rollout, Noise(0, ("adapt",), 3, 4))
    assert belief.sample.isfinite().all()
    assert not belief.precision[1, 2].any()
    assert belief.precision[1, 1].all()


def diverging(monkeypatch, at, column=2, value=1e12):
    """Lets a world blow up at some of an engine's steps, counted from the first."""
    step, count = CpuEngine.step, [0]

    def spoilt(self, chosen):
        if count[0] in at:
            self._before[0, column] = value
        count[0] += 1
        return step(self, chosen)

    monkeypatch.setattr(CpuEngine, "step", spoilt)


def test_an_action_that_is_none_is_seen_by_nobody(tiny_suite, monkeypatch):
    learner = make.build("rl2", read_config("rl2", SMALL_OPTIONS["rl2"]), tiny_suite, seed=3)
    engine = make.engine_for(learner, tiny_suite, 3, 2)
    act, times = learner.act, [0]

    def acted(adaptation, step, noise):
        action, adaptation = act(adaptation, step, noise)
        if times[0] == 3:
            action = action.clone()
            action[0, 0, 0], action[1, 0, 0] = float("nan"), 1e12
        times[0] += 1
        return action, adaptation

    monkeypatch.setattr(learner, "act", acted)
    found = run_trial(engine, learner, tiny_suite.train, [0, 1, 2], 1, Noise(0, ("train", 0), 3, 2))
    assert found.rollouts[0].diverged.sum() == 2
    assert found.rollouts[0].diverged[:2, 0, 3].all()
    assert torch.equal(found.rollouts[0].actionless(), found.rollouts[0].diverged)
    for rollout in found.rollouts:
        for number in vars(rollout).values():
            assert number.isfinite().all()
    assert not found.rollouts[0].action[:2, 0, 3].any()


@pytest.mark.parametrize("name", ["maml-trpo", "pearl", "varibad", "grbal", "no-adaptation", "oracle"])
def test_a_training_with_divergences_counts_shows_and_dumps_them_and_goes_on(
    tiny_file, tmp_path, monkeypatch, name, capsys
):
    monkeypatch.chdir(tmp_path)
    diverging(monkeypatch, {3, 12, 13, 14, 15, 16, 17, 18})
    trained(tiny_file, name, tmp_path / "run")
    rows = RunFolder(tmp_path / "run").rows("metrics.jsonl")
    assert sum(row["diverged"] for row in rows) == 8
    assert rows[-1]["skipped"] == 0
    assert "robometa replay" in capsys.readouterr().out
    dumps = sorted((tmp_path / "run" / DUMPS_FOLDER).iterdir())
    assert len(dumps) == MAX_DUMPS
    assert not list(tmp_path.rglob("MUJOCO_LOG.TXT"))
    assert main(["replay", str(dumps[0])]) == 0
    told = capsys.readouterr().out
    assert "it diverges again" in told
    assert ("drawn task" if name == "oracle" else "training task") in told
    assert "position of joint" in told
    assert "1e+12" in told


def test_divergences_and_a_resume_lead_to_the_same_bytes_and_dumps(tiny_file, tmp_path, monkeypatch):
    reader = HostReader.diverged

    def diverged(self, before, after, action):
        """By where a world is, so that it is the same in every run."""
        found = abs(before[:, 1]) > 0.05
        return found if found.any() else reader(self, before, after, action)

    monkeypatch.setattr(HostReader, "diverged", diverged)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    trained(tiny_file, "pearl", straight)
    assert sum(row["diverged"] for row in RunFolder(straight).rows("metrics.jsonl")) > 0
    at_iteration(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped):
        trained(tiny_file, "pearl", stopped)
    resume(stopped)
    assert_same_run(straight, stopped)
    assert sorted(path.name for path in (straight / DUMPS_FOLDER).iterdir()) == sorted(
        path.name for path in (stopped / DUMPS_FOLDER).iterdir()
    )


def storm(suite, column=None, value=1e9, action=None):
    """What an engine tells of a world of half-cheetah that is made to blow up."""
    engine, told = CpuEngine(suite, tasks=2, worlds=3, threads=1), []
    engine.on_divergence = told.append
    engine.reset(Noise(0, ("storm",), 2, 3))
    actions = torch.zeros(2, 3, 6)
    for _ in range(3):
        engine.step(actions)
    if column is not None:
        engine._before[4, column] = value
    if action is not None:
        actions[1, 1, action] = value
    engine.step(actions)
    return told


@pytest.fixture
def written(tmp_path):
    """Writes what an engine told as a dump, and returns its folder."""

    def write(suite, divergence):
        from robometa.training.divergence_dumps import Dumps

        said = []
        Dumps(RunFolder(tmp_path), suite, suite.train, None, lambda: 6, said.append)(divergence)
        assert len(said) == 1
        return next((tmp_path / DUMPS_FOLDER).iterdir())

    return write


def test_a_replay_names_the_joint_the_body_and_the_moment(written):
    suite = suites.load("half-cheetah-velocity")
    (told,) = storm(suite, column=1 + 9 + 4, value=1e9)  # the velocity of the second joint of the back leg, too fast
    found = replay(written(suite, told))
    assert (told.task, told.world, told.step) == (suite.train[1], 1, 3)
    assert found.finding.again
    assert "acceleration of joint bshin (body bshin)" in "\n".join(found.lines())
    assert "after physics step 1 of 5" in found.finding.blown_up[0]
    assert "control step 4 of an episode in iteration 7" in found.lines()[0]


def test_a_replay_tells_an_action_that_was_none(written):
    suite = suites.load("half-cheetah-velocity")
    (told,) = storm(suite, action=2, value=float("nan"))
    found = replay(written(suite, told))
    assert found.finding.again
    assert found.finding.blown_up == ["action of bfoot is nan, as the policy gave it"]


def storm_of_arms(suite, velocity=None, action=None):
    """What an engine tells of one of Meta-World's arms that is made to blow up."""
    engine, told = engine_of(suite, tasks=2, worlds=1, threads=1), []
    engine.on_divergence = told.append
    engine.assign(suite.train[3:5])
    engine.reset(Noise(0, ("storm",), 2, 1))
    actions = torch.full((2, 1, 4), 0.5)
    for _ in range(3):
        engine.step(actions)
    if velocity is not None:
        state = engine.state()
        state.physics[1, 0, 1 + engine.simulation(1)[0].nq + 2] = velocity
        engine.restore(state)
    if action is not None:
        actions[1, 0, 2] = action
    engine.step(actions)
    return told


def test_a_replay_of_an_arm_names_the_joint_and_the_moment(written):
    suite = suites.load("ml1/push-v3")
    (told,) = storm_of_arms(suite, velocity=1e8)
    found = replay(written(suite, told))
    assert (told.task, told.world, told.step) == (suite.train[4], 0, 3)
    assert found.finding.again
    assert "acceleration of joint right_j" in found.finding.blown_up[0]
    assert "after physics step 1 of 5" in found.finding.blown_up[0]


def test_a_replay_of_an_arm_tells_an_action_that_was_none(written):
    suite = suites.load("ml1/push-v3")
    (told,) = storm_of_arms(suite, action=float("nan"))
    found = replay(written(suite, told))
    assert found.finding.again
    assert found.finding.blown_up == ["action of z is nan, as the policy gave it"]


def test_a_replay_of_an_arm_that_is_sound_finds_nothing(written):
    suite = suites.load("ml1/push-v3")
    (told,) = storm_of_arms(suite, action=float("nan"))
    found = replay(written(suite, replace(told, action=torch.zeros(4))))
    assert not found.finding.again
    assert found.finding.blown_up == []


def test_a_dump_is_verified_and_its_suite_must_be_the_same(written, tmp_path):
    suite = suites.load("half-cheetah-velocity")
    folder = written(suite, storm(suite, column=2, value=float("nan"))[0])
    manifest = sealed_folder.read_manifest(folder)
    for change, message in (
        ({"suite_hash": "0"}, "no longer the one"),
        ({"task": 10_000}, "damaged"),
        ({"world": None}, "damaged"),
        ({"step": float("inf")}, "damaged"),
        ({"kind": "policy"}, "not the manifest of a divergence"),
    ):
        sealed_folder.write_manifest(folder, manifest | change)
        with pytest.raises(UserError, match=message):
            replay(folder)
    sealed_folder.write_manifest(folder, manifest)
    content = (folder / sealed_folder.TENSORS).read_bytes()
    (folder / sealed_folder.TENSORS).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="altered"):
        replay(folder)


def test_a_disk_that_takes_no_dump_ends_nothing(tiny_file, tmp_path, monkeypatch, capsys):
    diverging(monkeypatch, {3})
    save = sealed_folder.save

    def full(folder, *arguments, **words):
        if folder.parent.name == DUMPS_FOLDER:
            raise OSError(28, "No space left on device")
        save(folder, *arguments, **words)

    monkeypatch.setattr(sealed_folder, "save", full)
    assert trained(tiny_file, "maml-trpo", tmp_path / "run").is_dir()
    assert "cannot be written" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])["diverged"] == 1


CHANGING = """
robot = "half-cheetah"
objective = "forward"
horizon = 10
[train]
motor_strength = { values = [[0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]] }
[test]
motor_strength = { values = [[1, 0, 1, 1, 1, 1]] }
[change]
at = [8]
before = { motor_strength = 1 }
"""


def test_a_replay_is_of_the_task_as_it_was_at_the_step(written, tmp_path):
    file = tmp_path / "changing.toml"
    file.write_text(CHANGING, encoding="utf-8")
    suite = suites.load(str(file))
    (told,) = storm(suite, action=2, value=float("nan"))
    folder = written(suite, told)
    found = replay(folder)
    assert found.finding.again
    assert found.divergence.task.change is None
    assert dict(found.divergence.task.parameters) == {"motor_strength": (1.0,) * 6}
    assert "motor_strength 1 (all 6)" in found.lines()[0]
    manifest = sealed_folder.read_manifest(folder)
    for spoilt in (None, {"motor_strength": [1.0]}, {"motor_strength": ["a"] * 6}, {"payload": [1.0] * 6}, 3):
        sealed_folder.write_manifest(folder, manifest | {"parameters": spoilt})
        with pytest.raises(UserError, match="damaged"):
            replay(folder)

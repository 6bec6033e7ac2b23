"""Datasets, and the learners that learn from them: the same bytes again, and a context that helps."""

import json
import signal
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from conftest import OFFLINE, SMALL_OPTIONS, fake_rollout

from robometa import suites
from robometa.commands.main import main
from robometa.data import Spaces, Step, Trial
from robometa.errors import UserError
from robometa.learners import ad
from robometa.learners.ad import Ad
from robometa.learners.dpt import Config, Dpt
from robometa.noise import Noise
from robometa.sim.oracle import HiddenNumbers
from robometa.storage import atomic
from robometa.training.collect_dataset import _require_no_held_out, collect_dataset
from robometa.training.load import newest
from robometa.training.train import resume, train
from robometa.trials import demonstrations
from robometa.trials.collectors.from_dataset import FromDataset
from robometa.trials.dataset import Dataset
from robometa.trials.pieces import Batch
from torture.trainings import SUITE as TINY_SUITE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a suite, an oracle's policy and a dataset of its trials."""
    folder = tmp_path_factory.mktemp("imitation")
    (folder / "tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    train(folder / "tiny.toml", "oracle", options=SMALL_OPTIONS["oracle"], folder=folder / "oracle", loggers=())
    collected(folder, "data")
    return folder


def collected(folder, out, **options):
    options = {"episodes": 3, "tasks": 10} | options
    return collect_dataset(folder / "tiny.toml", folder / "oracle" / "policy", folder / out, **options)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def trained(place, name, folder, **options):
    options = SMALL_OPTIONS[name] | options
    return train(place / "tiny.toml", name, options=options, folder=folder, dataset=place / "data", loggers=())


def test_a_dataset_has_the_policy_s_action_beside_noise_that_shrinks(place):
    dataset = Dataset(place / "data")
    assert dataset.about.noise == (1.0, 0.5, 0.0)
    rollout, expert, task = dataset.load()
    assert rollout.obs.shape == (10, 3, 5, 2)  # without what only the oracle sees
    assert task.tolist() == list(range(10))
    same = (rollout.action.clamp(-1, 1) == expert).all(dim=-1).float().mean(dim=(0, 2))
    assert same[0] == 0
    assert 0 < same[1] < 1
    assert same[2] == 1


def test_noise_of_an_oracle_is_what_it_does_on_other_tasks(place):
    """Actions change a few times in an episode, and none of them is drawn at random."""
    collected(place, "others", noise="other-tasks", noise_schedule="full", tasks=16)
    dataset = Dataset(place / "others")
    assert (dataset.about.noise_kind, dataset.about.noise) == ("other-tasks", (1.0,) * 3)
    rollout, expert, _ = dataset.load()
    assert (
        0.5 < (rollout.action.clamp(-1, 1) != expert).any(dim=-1).float().mean() < 1
    )  # at times its own task is drawn
    learner = newest(place / "oracle").load(suites.load(place / "tiny.toml"), "cpu", None, "collect")[0]
    hidden = HiddenNumbers(suites.load(place / "tiny.toml"))
    told = torch.stack([hidden(task) for task in dataset.about.tasks_of(suites.load(place / "tiny.toml"))])
    obs = torch.cat((rollout.obs[0, 0, 0].expand(16, -1), told), dim=-1).unsqueeze(1)
    step = Step(obs, torch.zeros(16, 1, 2), torch.zeros(16, 1), torch.zeros(16, 1, dtype=torch.bool))
    possible = learner.act(learner.begin(16, 1, Noise(0, (), 16, 1)), step, torch.zeros(16, 1, 2))[0].flatten(0, 1)
    assert torch.isclose(possible, rollout.action[0, 0, 0], atol=1e-6).all(dim=-1).any()


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [("linear", (1, 0.5, 0)), ("cosine", (1, 0.5, 0)), ("none", (0,) * 3), ("full", (1,) * 3)],
)
def test_schedules_of_noise(schedule, shares):
    assert demonstrations.shares_of_noise(schedule, 3) == shares


def test_two_processes_write_the_same_bytes(place):
    collected(place, "again", noise="other-tasks", processes=2, tasks=16)
    collected(place, "once", noise="other-tasks", tasks=16)
    assert content(place / "again") == content(place / "once")


def test_a_failure_leaves_no_half_dataset(place, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: .*half"):
        collected(place, "half")
    assert not [path for path in place.iterdir() if "half" in path.name]


def test_a_signal_leaves_no_half_dataset(place, monkeypatch, capsys):
    monkeypatch.setattr(atomic, "write", lambda *_: signal.raise_signal(signal.SIGTERM))
    words = ["collect", str(place / "tiny.toml"), str(place / "oracle"), "--out", str(place / "ended")]
    assert main([*words, "--tasks", "2", "--episodes", "1"]) == 130
    assert "stopped at once" in capsys.readouterr().err
    assert not [path for path in place.iterdir() if "ended" in path.name]


def test_numbers_that_could_not_be_read_again_are_not_written(place, monkeypatch):
    def too_far(*given):
        shard = demonstrations.demonstrate(*given)
        shard["reward"][0, 0, 0] = 2e30
        return shard

    monkeypatch.setattr("robometa.training.collect_dataset.demonstrate", too_far)
    with pytest.raises(UserError, match=r"no dataset: reward must hold finite numbers of at most 1e\+30"):
        collected(place, "huge")
    assert not [path for path in place.iterdir() if "huge" in path.name]


def test_mistakes_are_told_in_a_line(place, capsys):
    for options, message in (
        ({"noise_schedule": "square"}, "unknown noise schedule 'square'"),
        ({"noise": "pink"}, "unknown noise 'pink'"),
        ({"episodes": 0}, "episodes must be from 1 to 100000, not 0"),
        ({"episodes": 100_001}, "episodes must be from 1 to 100000, not 100001"),
        ({"tasks": 800_001}, "tasks must be from 1 to 800000, not 800001"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**63}, "seed must be from 0"),
        ({"out": "data"}, "exists already"),
    ):
        with pytest.raises(UserError, match=message):
            collected(place, options.pop("out", "new"), **options)
    train(place / "tiny.toml", "random", folder=place / "random", options={"iterations": 1}, loggers=())
    with pytest.raises(UserError, match="noise other-tasks needs an oracle's policy"):
        collect_dataset(place / "tiny.toml", place / "random", place / "new", noise="other-tasks")
    with pytest.raises(UserError, match="dpt learns from a dataset"):
        train(place / "tiny.toml", "dpt", folder=place / "none")
    with pytest.raises(UserError, match="rl2 learns from its own trials"):
        train(place / "tiny.toml", "rl2", dataset=place / "data", folder=place / "none")
    with pytest.raises(UserError, match="shots must be at most 2"):
        trained(place, "ad", place / "none", shots=3)
    with pytest.raises(UserError, match="is of suite"):
        train("point-robot", "ad", dataset=place / "data", folder=place / "none")
    assert not (place / "none").exists()
    assert main(["verify", str(place / "data")]) == 0
    assert "shards are as they were written" in capsys.readouterr().out


def test_a_held_out_task_is_refused(place, monkeypatch):
    suite = suites.load(place / "tiny.toml")
    monkeypatch.setattr(type(suite), "drawn", lambda self, seed, index: self.test[0])
    with pytest.raises(UserError, match="held-out task"):
        collected(place, "leak")


def test_another_uneven_ground_is_another_task(place):
    suite = suites.load(place / "tiny.toml")
    held_out = replace(suite.test[0], ground=7)
    suite = replace(suite, test=(held_out,))
    _require_no_held_out(suite, [replace(held_out, ground=8)])
    with pytest.raises(UserError, match="held-out task"):
        _require_no_held_out(suite, [held_out])


def test_a_suite_that_has_no_other_tasks_is_collected(place):
    both = "goal = { values = [[1.0, 0.0], [0.0, 1.0]] }"
    text = (place / "tiny.toml").read_text(encoding="utf-8")
    head = text[: text.index("[train]")]
    (place / "two.toml").write_text(f"finite = true\n{head}\n[train]\n{both}\n[test]\n{both}\n", encoding="utf-8")
    train(place / "two.toml", "oracle", options=SMALL_OPTIONS["oracle"], folder=place / "two", loggers=())
    assert collect_dataset(place / "two.toml", place / "two" / "policy", place / "both", episodes=1).about.tasks == 2


def test_a_changed_shard_is_named(place, tmp_path, capsys):
    collected(place, "damaged")
    shard = place / "damaged" / "trials-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert main(["verify", str(place / "damaged")]) == 2
    assert "trials-00000.safetensors was changed" in capsys.readouterr().err
    about = place / "damaged" / "dataset.json"
    about.write_text(about.read_text().replace('"episodes": 3', '"episodes": 2'))
    assert main(["verify", str(place / "damaged")]) == 2
    assert "was altered or cut short" in capsys.readouterr().err


@pytest.mark.parametrize("name", OFFLINE)
def test_a_run_resumes_to_the_same_bytes_and_only_with_its_dataset(place, tmp_path, name):
    trained(place, name, tmp_path / "whole")
    resume(tmp_path / "whole", iterations=5, loggers=())
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3, 4]
    assert {"loss", "expert_error_0", "expert_error_3"} <= rows[0].keys()
    configuration = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert configuration["dataset_sha256"] == Dataset(place / "data").sha256
    configuration["dataset_sha256"] = "0" * 64
    (tmp_path / "whole" / "run.json").write_text(json.dumps(configuration))
    with pytest.raises(UserError, match="is no longer the dataset that the run began with"):
        resume(tmp_path / "whole", iterations=6, loggers=())


@pytest.mark.parametrize("name", OFFLINE)
def test_a_stopped_run_goes_on_to_the_same_bytes(place, tmp_path, name):
    trained(place, name, tmp_path / "whole")
    options = SMALL_OPTIONS[name]
    train(
        place / "tiny.toml", name, options=options, folder=tmp_path / "part", dataset=place / "data", loggers=(),
        callback=lambda iteration: iteration.iterations < 2,
    )  # fmt: skip
    resume(tmp_path / "part", loggers=())
    for file in ("metrics.jsonl", "policy/tensors.safetensors"):
        assert (tmp_path / "part" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_batch_s_episodes_are_spread_over_the_recorded_ones(place):
    suite = suites.load(place / "tiny.toml")
    learner = Dpt(Config(**SMALL_OPTIONS["dpt"]), Spaces(2, 2), seed=0)
    with closing(FromDataset(Dataset(place / "data"), suite, learner)) as collector:
        batch = Batch((0, 1, 2), 1, Noise(0, ("train", 0), 3, 2))
        trial, again = collector.collect(batch), collector.collect(batch)
    assert not torch.equal(trial.rollouts[0].action, trial.experts[0])
    assert torch.equal(trial.rollouts[1].action.clamp(-1, 1), trial.experts[1])  # the last episode has no noise
    assert torch.equal(trial.rollouts[0].obs, again.rollouts[0].obs)


@pytest.mark.parametrize("memory", ["transformer", "gru"])
def test_dpt_acts_on_what_its_training_reads(memory):
    """The context of an action has the transitions before it, and none at the first step."""
    learner = Dpt(Config(**SMALL_OPTIONS["dpt"] | {"memory": memory}), Spaces(2, 2), seed=0)
    noise = Noise(0, ("test",), 1, 2)
    obs, action, reward = noise.fork("o").normal(4, 2), noise.fork("a").normal(4, 2), noise.fork("r").normal(4)
    adaptation, acted = learner.begin(1, 2, noise), []
    rows = []
    for time in range(4):
        last = (action[:, :, time - 1], reward[:, :, time - 1]) if time else (0 * action[:, :, 0], 0 * reward[:, :, 0])
        step = Step(obs[:, :, time], *last, torch.zeros(1, 2, dtype=torch.bool))
        rows.append(learner._row(step).flatten(0, 1))
        mean, adaptation = learner.act(adaptation, step, torch.zeros(1, 2, 2))
        acted.append(mean.flatten(0, 1))
    whole = torch.stack(rows, dim=1)
    mean, _ = learner._outputs(torch.cat((whole[:, :-1, :2], whole[:, 1:]), dim=-1), whole[..., :2])
    assert torch.allclose(mean, torch.stack(acted, dim=1), atol=1e-5)


def trial_with_a_fall():
    """Two episodes of two worlds, one of which ends early."""
    parts = [fake_rollout(1, 2, 5, 2, 2, seed) for seed in (0, 1)]
    parts[0].terminated[0, 1, 2] = True
    return Trial(torch.zeros(1), tuple(parts), Noise(0, ("update",), 1, 2)).joined()


@pytest.mark.parametrize("options", [{"memory": "transformer", "context": 3}, {"memory": "gru"}])
def test_ad_acts_on_what_its_training_reads(options):
    learner, rollout = Ad(ad.Config(**SMALL_OPTIONS["ad"] | options), Spaces(2, 2), seed=0), trial_with_a_fall()
    learner.observations.include(3 * rollout.obs + 1)
    inputs, query, wanted, _, weight = learner._sequences(rollout, rollout.action, torch.Generator())
    adaptation, seen, acted = learner.begin(1, 2, None), rollout.seen(), []
    for time in range(10):
        step = Step(*(part[:, :, time] for part in (seen.obs, seen.last_action, seen.last_reward, seen.last_done)))
        mean, adaptation = learner.act(adaptation, step, torch.zeros(1, 2, 2))
        acted.append(mean.flatten(0, 1))
    assert torch.allclose(learner._outputs(inputs, query)[0], torch.stack(acted, dim=1), atol=1e-5)
    assert torch.equal(wanted, rollout.action.flatten(0, 1).clamp(-1, 1))
    assert bool(weight.all())


def test_dpt_learns_from_every_transition_of_the_trial_but_the_last():
    learner, rollout = Dpt(Config(**SMALL_OPTIONS["dpt"]), Spaces(2, 2), seed=0), trial_with_a_fall()
    experts = rollout.obs / 2  # an expert whose actions say where they were taken
    inputs, query, wanted, _, _ = learner._sequences(rollout, experts, torch.Generator().manual_seed(0))
    assert torch.equal(wanted, query / 2)
    last_done = rollout.done[:, :, :-1].flatten(0, 1).unsqueeze(-1).float()
    parts = (rollout.obs[:, :, :-1], rollout.obs[:, :, 1:], rollout.action[:, :, :-1].clamp(-1, 1))
    reward = rollout.reward[:, :, :-1].flatten(0, 1).unsqueeze(-1)
    expected = torch.cat((*(part.flatten(0, 1) for part in parts), reward, last_done), dim=-1)
    for one, other in zip(inputs.tolist(), expected.tolist(), strict=True):
        assert sorted(one) == sorted(other)
        assert one != other

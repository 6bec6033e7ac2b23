"""Datasets that somebody else made, sealed as they should be: each is refused in one line."""

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from robometa import suites
from robometa.errors import UserError
from robometa.trials.dataset import FLAGS, Dataset, Description

ABOUT = Description(
    suite="point-robot",
    suite_hash="",
    policy="oracle",
    policy_sha256="",
    seed=0,
    drawn=True,
    tasks=2,
    worlds=2,
    episodes=3,
    horizon=20,
    observation=2,
    action=2,
    schedule="linear",
    noise=(1.0, 0.5, 0.0),
)


def tensors():
    shape = (4, 3, 20)
    numbers = {name: torch.zeros(*shape, 2) for name in ("obs", "next_obs", "action", "expert")}
    numbers |= {name: torch.zeros(shape, dtype=torch.bool) for name in FLAGS}
    return numbers | {
        "reward": torch.zeros(shape),
        "task": torch.tensor([0, 0, 1, 1]),
        "episode": torch.arange(3).repeat(4, 1),
    }


def dataset(folder, about=ABOUT, **changes):
    """Writes a dataset, some of its tensors changed, and reads its description."""
    shard = save({name: tensor.contiguous() for name, tensor in (tensors() | changes).items()})
    (folder / "trials-00000.safetensors").write_bytes(shard)
    digest = hashlib.sha256(shard).hexdigest()
    (folder / "dataset.json").write_bytes(about.text({"trials-00000.safetensors": digest}))
    return Dataset(folder)


def test_a_dataset_that_fits_is_read(tmp_path):
    assert dataset(tmp_path).load()[2].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"obs": torch.zeros(4, 3, 20, 2).double()}, "obs must be torch.float32"),
        ({"reward": torch.zeros(4, 3, 20, dtype=torch.bfloat16)}, "reward must be torch.float32"),
        ({"terminated": torch.zeros(4, 3, 20)}, "terminated must be torch.bool"),
        ({"expert": torch.zeros(3, 3, 20, 2)}, "expert must be torch.float32 of shape"),
        ({"task": torch.zeros(())}, "task must be torch.int64 of shape"),
        ({"task": torch.tensor([0, 0, 1, 2])}, "task must be from 0 to 1"),
        ({"task": torch.tensor([0, 0, 1, -1])}, "task must be from 0 to 1"),
        ({"more": torch.zeros(1)}, "its tensors must be"),
        ({"reward": torch.full((4, 3, 20), float("nan"))}, "reward must hold finite numbers"),
        ({"action": torch.full((4, 3, 20, 2), 1e38)}, "action must hold finite numbers"),
        ({"expert": torch.full((4, 3, 20, 2), -1.5)}, "expert must be from -1 to 1"),
        ({name: tensor[:3] for name, tensor in tensors().items()}, "its shards have 3 trials, and must have 4"),
        ({name: tensor[:0] for name, tensor in tensors().items()}, "must be torch"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        dataset(tmp_path, **change).verify()


@pytest.mark.parametrize("noise", [(), (0.5,) * 50, (1.0, 0.5, 1e308)])
def test_noise_that_does_not_fit_the_episodes_is_refused(tmp_path, noise):
    with pytest.raises(UserError, match="noise must be a share"):
        dataset(tmp_path, replace(ABOUT, noise=noise))


@pytest.mark.parametrize(
    "change", [{"observation": 10**18}, {"action": 3}, {"horizon": 21}, {"tasks": 10**18, "drawn": False}]
)
def test_sizes_of_another_suite_are_refused(tmp_path, change):
    suite = suites.load("point-robot")
    with pytest.raises(UserError, match="are not those of suite point-robot"):
        dataset(tmp_path, replace(ABOUT, suite_hash=suite.content_hash, **change)).require_suite(suite)


def test_shards_that_do_not_fit_into_the_memory_are_refused(tmp_path, monkeypatch):
    made = dataset(tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: 50)
    with pytest.raises(UserError, match="bytes of memory"):
        made.verify()

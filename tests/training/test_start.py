"""Runs that start from a trained policy."""

import json
import shutil

import pytest
import torch
from conftest import SMALL_OPTIONS, TINY_SUITE
from safetensors.torch import load_file

from robometa import suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.nn.normalizer import Normalizer
from robometa.policies.policy_folder import load_policy
from robometa.reports import entries
from robometa.storage import sealed_folder
from robometa.training import start
from robometa.training.train import resume, train
from robometa.training.verify import verify
from robometa.trials import make

TOLD = {"bottleneck": 3, "encoder_hidden": (5,), "hidden": (7, 6)}
TENSORS = "policy/tensors.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A suite that hides numbers, an oracle of it with a bottleneck, and an RMA that starts from the oracle."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "tiny.toml").write_text(TINY_SUITE)
    begun(folder, "oracle", "oracle", **TOLD)
    begun(folder, "rma", "rma", start_from=folder / "oracle", **TOLD)
    return folder


def begun(place, name, folder, *, start_from=None, suite="tiny.toml", callback=None, seed=1, **options):
    return train(
        place / suite, name, options=SMALL_OPTIONS[name] | options, folder=place / folder, start_from=start_from,
        seed=seed, callback=callback, loggers=(),
    )  # fmt: skip


def test_rma_takes_the_oracles_policy_over_and_begins_with_phase_two(place):
    oracle, suite, _ = load_policy(place / "oracle" / "policy")
    rma, _, manifest = load_policy(place / "rma" / "policy")
    assert not rma.trains_policy
    rows = [json.loads(line) for line in (place / "rma" / "metrics.jsonl").read_text().splitlines()]
    assert all("estimate_error" in row and "policy_loss" not in row for row in rows)
    # The same mean action and value for the same observation and hidden numbers.
    numbers = torch.randn(4, 5, oracle.spaces.observation, generator=torch.Generator().manual_seed(0))
    own = oracle.network(oracle.observations(numbers))
    taken = rma.network(rma._told(numbers))
    for one, other in zip(own, taken, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert own.mean.abs().max() > 0
    told = manifest.training.started_from
    assert (told.learner, told.suite, told.policy) == ("oracle", suite.name, "oracle")
    assert told.sha256 == sealed_folder.read_manifest(place / "oracle" / "policy")["files"]["tensors.safetensors"]
    assert (
        told.environment_steps
        == json.loads((place / "oracle/policy/manifest.json").read_text())["training"]["environment_steps"]
    )
    card = (place / "rma" / "policy" / "README.md").read_text()
    assert "| started | from `oracle` (oracle on `tiny`, seed 1, " in card
    assert "--start-from oracle" in card


def test_it_goes_on_to_the_same_bytes_and_verifies(place):
    begun(place, "rma", "part", start_from=place / "oracle", callback=lambda done: done.iterations < 2, **TOLD)
    resume(place / "part", loggers=())
    assert (place / "part" / TENSORS).read_bytes() == (place / "rma" / TENSORS).read_bytes()
    found = verify(place / "rma", iterations=2)
    assert (found.parted, found.changed) == (None, ())


def test_a_run_without_a_checkpoint_starts_again_from_the_same_policy(place):
    shutil.copytree(place / "rma", place / "again")
    for name in ("checkpoints", "policy"):
        shutil.rmtree(place / "again" / name)
    for name in ("metrics.jsonl", "timings.jsonl"):
        (place / "again" / name).write_text("")
    run = json.loads((place / "again" / "run.json").read_text())
    resume(place / "again", loggers=())
    assert (place / "again" / TENSORS).read_bytes() == (place / "rma" / TENSORS).read_bytes()
    shutil.rmtree(place / "again" / "checkpoints")
    run["started_from"]["sha256"] = "0" * 64
    (place / "again" / "run.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match="is no longer the policy that the run began with"):
        resume(place / "again", loggers=())


def test_a_learner_goes_on_from_its_own_policy_on_another_suite(place):
    text = (place / "tiny.toml").read_text().replace("horizon = 5", "horizon = 7")
    (place / "wider.toml").write_text(text)
    begun(place, "rl2", "one")
    begun(
        place, "rl2", "two", suite="wider.toml", start_from=place / "one" / "policy", iterations=1, learning_rate=1e-12
    )
    one, two = load_file(place / "one" / TENSORS), load_file(place / "two" / TENSORS)
    weights = [name for name in one if name.startswith("network/")]
    assert weights
    assert all(torch.allclose(one[name], two[name], atol=1e-8) for name in weights)
    assert two["observations/count"] > one["observations/count"]


@pytest.mark.parametrize(("name", "parts"), [("pearl", "critics"), ("varibad", "decoders"), ("amago", "targets")])
def test_what_only_training_has_comes_from_the_run_and_a_policy_alone_is_refused(place, name, parts):
    begun(place, name, f"{name}-one")
    begun(place, name, f"{name}-two", start_from=place / f"{name}-one", iterations=1, seed=7)
    assert verify(place / f"{name}-two", iterations=1).parted is None
    with pytest.raises(UserError, match=rf"cannot start from .*: a policy has no {parts}.*; start from its run"):
        begun(place, name, f"{name}-three", start_from=place / f"{name}-one" / "policy")
    assert not (place / f"{name}-three").exists()
    suite = suites.load(place / "tiny.toml")
    first = start.opened(place / f"{name}-one", name, suite, "cpu")
    new = make.build(name, first.learner.config, suite, 7, "cpu")
    before = {key: value.clone() for key, value in new.state_dict().items()}
    start.start(new, name, first)
    for key, value in new.state_dict().items():
        taken = not key.startswith("training/replay") and "optimiser" not in key
        assert torch.equal(value, (first.state if taken else before)[key]), key
    assert any(key.startswith(f"training/{parts}/") for key in before)
    shutil.rmtree(place / f"{name}-one" / "checkpoints")
    with pytest.raises(UserError, match=r"is not a policy|no longer the policy that the run began with"):
        verify(place / f"{name}-two", iterations=1)


def test_a_run_does_not_replace_what_it_starts_from(place):
    begun(place, "rl2", "kept")
    for source in (place / "kept", place / "kept" / "policy"):
        with pytest.raises(UserError, match="holds the policy that the run is to start from"):
            train(
                place / "tiny.toml", "rl2", options=SMALL_OPTIONS["rl2"], folder=place / "kept", start_from=source,
                overwrite=True, loggers=(),
            )  # fmt: skip
    assert (place / "kept" / TENSORS).is_file()


def test_the_best_of_a_run_that_goes_on_is_its_checkpoint(place):
    begun(place, "rl2", "stopped", callback=lambda done: done.iterations < 2)
    shutil.rmtree(place / "stopped" / "policy")
    begun(place, "rl2", "next", start_from=place / "stopped", iterations=1)
    run = json.loads((place / "next" / "run.json").read_text())
    assert run["started_from"]["policy"] == str(place / "stopped")
    assert run["started_from"]["suite"] == "tiny"
    assert verify(place / "next", iterations=1).parted is None


def test_a_checkpoint_told_other_numbers_is_refused_as_a_policy_is(place):
    begun(place, "oracle", "told", callback=lambda done: done.iterations < 2)
    text = (place / "tiny.toml").read_text()
    for line in [line for line in text.splitlines() if line.startswith("goal")]:
        text = text.replace(line, "angle = { uniform = [0.0, 3.0] }")
    (place / "turned.toml").write_text(text.replace('"goal"', '"heading"'))
    for source in ("policy", ""):
        with pytest.raises(UserError, match=r"was trained with .* a task hides: goal.*, but suite turned has .*angle"):
            begun(place, "oracle", "refused", suite="turned.toml", start_from=place / "told" / source)
        shutil.rmtree(place / "told" / "policy", ignore_errors=True)


def test_a_policy_of_another_file_is_refused_without_running_it(place, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["learners", "--template", "mine.py"]) == 0
    asked = {"options": {"iterations": 1}, "loggers": ()}
    train(place / "tiny.toml", "./mine.py:MyLearner", folder=place / "mine", **asked)
    train(place / "tiny.toml", "./mine.py:MyLearner", folder=place / "mine2", start_from=place / "mine", **asked)
    assert json.loads((place / "mine2" / "run.json").read_text())["started_from"]["learner"] == "MyLearner"
    train(place / "tiny.toml", "./mine.py:MyLearner", folder=place / "mine3", start_from=place / "mine/policy", **asked)
    (place / "mine.py").write_text("raise SystemExit('run unasked')\n")
    for source in ("mine", "mine/policy"):
        with pytest.raises(UserError, match=r"rl2 cannot start from .*: it is of MyLearner; a run starts from its own"):
            begun(place, "rl2", "refused", start_from=place / source)


def test_rewards_of_a_history_are_measured_where_the_oracle_had_none(place):
    begun(place, "rma", "paid", start_from=place / "oracle", reward_input=True, **TOLD)
    assert load_policy(place / "paid" / "policy")[0].rewards.count > 0


def test_runs_of_other_starts_are_compared_apart(place):
    begun(place, "rl2", "plain-1", seed=1)
    begun(place, "rl2", "plain-2", seed=2)
    begun(place, "rl2", "warm", seed=3, start_from=place / "plain-1")
    found = [entries.read(place / name) for name in ("plain-1", "plain-2", "warm")]
    assert found[0].options == found[1].options
    assert found[2].options == found[0].options | {"start_from": found[2].options["start_from"]}
    assert found[2].options["start_from"].startswith("plain-1 (")


@pytest.mark.parametrize(
    ("name", "source", "options", "told"),
    [
        ("pearl", "oracle", {}, "pearl cannot start from .*: it is of oracle; a run starts from its own learner"),
        ("rma", "oracle", TOLD | {"hidden": (7, 5)}, r"have layers of \[4?.*, 5, 3\] and .*hidden make"),
        ("rma", "rma", TOLD | {"bottleneck": 2}, "rma cannot start from .* does not fit its learner"),
        ("oracle", "plain", TOLD, "oracle cannot start from .* does not fit its learner"),
        ("rma", "plain", TOLD, "an oracle with option bottleneck 0 has none to learn from"),
        ("rl2", "nowhere", {}, "nowhere is not a policy"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_and_nothing_written(place, name, source, options, told):
    if source == "plain" and not (place / "plain").exists():
        begun(place, "oracle", "plain", hidden=(7, 6))
    with pytest.raises(UserError, match=told):
        begun(place, name, "refused", start_from=place / source, **options)
    assert not (place / "refused").exists()


def test_the_command_has_it(place, capsys):
    words = [f"--{key.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
             for key, value in (SMALL_OPTIONS["rma"] | TOLD).items()]  # fmt: skip
    line = f"train {place / 'tiny.toml'} rma --start-from {place / 'oracle'} --folder {place / 'line'} --log none"
    assert main([*line.split(), *" ".join(words).split()]) == 0
    assert suites.load(place / "tiny.toml").name == "tiny"
    assert json.loads((place / "line" / "run.json").read_text())["started_from"]["learner"] == "oracle"


def test_a_part_of_a_normalizer_has_its_statistics():
    whole = Normalizer(4, blind=(2,))
    numbers = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1
    whole.include(numbers)
    assert torch.equal(whole.part(1, 4)(numbers[:, 1:]), whole(numbers)[:, 1:])

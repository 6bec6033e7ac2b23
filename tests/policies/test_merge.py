"""Merging: the mean of two policies' tensors, exactly one of them at the ends, and what does not fit."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import SMALL_OPTIONS, TINY_SUITE, same_tensors

import robometa
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.policies.merge import averaged, merge
from robometa.storage import sealed_folder
from robometa.training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of policies: two of maml-trpo, one of them wider, one of pearl."""
    folder = tmp_path_factory.mktemp("trained")
    suite = folder / "tiny.toml"
    suite.write_text(TINY_SUITE, encoding="utf-8")
    small = SMALL_OPTIONS["maml-trpo"] | {"iterations": 2}
    return {
        "first": train(suite, "maml-trpo", options=small, folder=folder / "first", seed=1),
        "second": train(suite, "maml-trpo", options=small | {"inner_step_size": 0.2}, folder=folder / "second", seed=2),
        "wider": train(suite, "maml-trpo", options=small | {"hidden": (9,)}, folder=folder / "wider"),
        "pearl": train(suite, "pearl", options=SMALL_OPTIONS["pearl"] | {"iterations": 1}, folder=folder / "pearl"),
    }


def tensors(policy):
    return sealed_folder.load(policy, "policy")[0]


def test_the_ends_are_the_policies_and_the_middle_is_the_mean(trained, tmp_path):
    first, second = tensors(trained["first"]), tensors(trained["second"])
    assert not same_tensors(first, second)
    for weight, expected in (
        (1.0, first),
        (0.0, second),
        (0.5, {name: (first[name] + second[name]) / 2 for name in first}),
        (0.25, {name: 0.25 * first[name] + 0.75 * second[name] for name in first}),
    ):
        policy = merge(trained["first"], trained["second"], weight, out=tmp_path / str(weight))
        assert same_tensors(tensors(policy), expected)


def test_the_ends_act_as_the_policies_do(trained, tmp_path):
    for weight, name in ((1, "first"), (0, "second")):
        merged = robometa.evaluate(
            merge(trained["first"], trained["second"], weight, out=tmp_path / name), shots=0, worlds=2
        )
        alone = robometa.evaluate(trained[name], shots=0, worlds=2)
        assert (merged.exploring.returns == alone.exploring.returns).all()
        assert (merged.mean_action.returns == alone.mean_action.returns).all()


def test_what_has_no_fractions_is_of_the_policy_that_weighs_more():
    first, second = torch.tensor([3, 4]), torch.tensor([7, 8])
    assert torch.equal(averaged(first, second, 0.6), first)
    assert torch.equal(averaged(first, second, 0.5), first)
    assert torch.equal(averaged(first, second, 0.4), second)
    broken = torch.tensor([float("nan")])
    assert torch.equal(averaged(torch.ones(1), broken, 1.0), torch.ones(1))
    mean = averaged(torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([2.0, 2.0], dtype=torch.float64), 0.75)
    assert torch.equal(mean, torch.tensor([1.25, -1.0], dtype=torch.float64))


def test_it_is_a_policy_with_a_card_like_any(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second = (str(trained[name]) for name in ("first", "second"))
    assert main(["merge", first, second]) == 0
    policy = Path("policies/first-second-0.5")
    assert f"robometa evaluate {policy}" in capsys.readouterr().out
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in (trained["first"], trained["second"])]
    manifest = json.loads((policy / "manifest.json").read_text())
    merged = manifest["training"]["merged"]
    assert [part["sha256"] for part in merged] == [one["files"]["tensors.safetensors"] for one in manifests]
    assert [part["weight"] for part in merged] == [0.5, 0.5]
    assert [part["seed"] for part in merged] == [1, 2]
    assert manifest["training"]["environment_steps"] == sum(one["training"]["environment_steps"] for one in manifests)
    assert manifest["config"] == manifests[0]["config"]
    assert not any(manifest["training"].get(of_one) for of_one in ("processors", "gpu", "piece", "torch_threads"))

    def card_says():
        text = (policy / "README.md").read_text()
        hashes = [one["files"]["tensors.safetensors"][:16] for one in manifests]
        for words in ("merge first second --weight 0.5", "`first`", "`second`", *hashes):
            assert words in text
        assert "in the second `inner_step_size` was 0.2" in text
        assert "Train it again" not in text
        assert re.search(r"^\| training \| together 4 iterations, .* minutes \|$", text, re.MULTILINE)
        return text

    assert "Nothing is known" in card_says()
    assert main(["evaluate", str(policy), "--shots", "1", "--worlds", "4"]) == 0
    assert "Measured on 3 held-out tasks" in card_says()
    # and it can be merged again
    assert main(["merge", str(policy), second, "--weight", "1", "--out", "again"]) == 0
    assert same_tensors(tensors(Path("again")), tensors(policy))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["first", "pearl"], "is of learner maml-trpo and .* of pearl"),
        (["first", "wider"], "of different sizes: .* is .* in one and .* in the other"),
        (["first", "second", "--weight", "1.5"], "--weight must be a number from 0 to 1, not 1.5"),
        (["first", "second", "--weight", "-0.1"], "--weight must be a number from 0 to 1, not -0.1"),
        (["first", "second", "--weight", "nan"], "--weight must be a number from 0 to 1, not nan"),
        (["first", "second", "--weight", "half"], "half"),
        (["first", "second", "--out", "taken"], "taken exists already"),
        (["first", "second", "--out", "file/policy"], "file"),
        (["first", "nowhere"], "nowhere is not a policy"),
        (["nowhere", "second"], "nowhere is not a policy"),
        (["first", "second", "--learner", "./mine.py:Mine"], "is of learner maml-trpo, not of"),
        (["first"], "B"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line_and_nothing_is_written(
    trained, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    Path("file").touch()
    Path("mine.py").write_text("class Mine:\n    pass\n")
    assert main(["merge", *(str(trained.get(word, word)) for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert re.search(message, line)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine.py", "taken"]


def test_policies_that_see_or_move_other_numbers_do_not_fit(trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained["second"], other)
    manifest = sealed_folder.read_manifest(other)
    manifest["spaces"]["observation"] = 3
    sealed_folder.write_manifest(other, manifest)
    with pytest.raises(UserError, match="only policies with the same can be averaged"):
        merge(trained["first"], other, out=tmp_path / "merged")


def test_suites_may_differ_and_the_first_s_is_kept(trained, tmp_path):
    options = SMALL_OPTIONS["maml-trpo"] | {"iterations": 1}
    other = train("sparse-point-robot", "maml-trpo", options=options, folder=tmp_path / "other")
    policy = merge(trained["first"], other, out=tmp_path / "merged")
    assert policy_folder.load_policy(policy)[1].name == "tiny"
    assert "suite `sparse-point-robot`" in (policy / "README.md").read_text()


@pytest.mark.parametrize("weight", [1.5, -0.1, float("nan")])
def test_a_weight_is_from_0_to_1(trained, weight):
    with pytest.raises(UserError, match=f"weight must be from 0 to 1, not {weight}"):
        merge(trained["first"], trained["second"], weight)

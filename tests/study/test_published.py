"""The policies that are published."""

from contextlib import closing
from pathlib import Path

import pytest

from robometa.deployment import read_export
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.places import ADAPT, CONTRACT, STEP, VECTORS
from robometa.deployment.same_inputs import largest_gap
from robometa.storage import sealed_folder

POLICIES = Path(__file__).parents[2] / "policies"


@pytest.mark.parametrize("name", sorted(path.name for path in POLICIES.iterdir()))
def test_every_file_of_a_published_policy_is_the_one_in_its_manifest(name):
    folder = POLICIES / name
    for file, digest in sealed_folder.read_manifest(folder)["files"].items():
        assert sealed_folder.sha256(folder / file) == digest, file


@pytest.mark.parametrize("folder", sorted(POLICIES.glob("*/exported")))
def test_published_exports_act_as_their_policies(folder):
    pytest.importorskip("onnxruntime")
    files = read_export.files(folder)
    contract = read_export.contract(folder, files.pop(CONTRACT))
    assert {name: sealed_folder.sha256(folder / name) for name in files} == contract.texts("sha256")
    published = sealed_folder.read_manifest(folder.parent)["files"]
    assert contract.content["policy_sha256"] == published[sealed_folder.TENSORS]
    vectors = read_export.vectors(folder, files[VECTORS], contract, adapts=ADAPT in files)
    with closing(ExportedLearner(contract.content, files[STEP], files.get(ADAPT))) as exported:
        assert largest_gap(exported, vectors) <= read_export.tolerance(contract)

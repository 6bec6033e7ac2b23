"""The policies that are published."""

from pathlib import Path

import pytest

from robometa.storage import sealed_folder

POLICIES = Path(__file__).parents[2] / "policies"


@pytest.mark.parametrize("name", sorted(path.name for path in POLICIES.iterdir()))
def test_every_file_of_a_published_policy_is_the_one_in_its_manifest(name):
    folder = POLICIES / name
    for file, digest in sealed_folder.read_manifest(folder)["files"].items():
        assert sealed_folder.sha256(folder / file) == digest, file

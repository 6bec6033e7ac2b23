"""A backend in MUJOCO_GL that this machine lacks stops nothing that draws nothing, and is left to other programs."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
import robometa
import mujoco
assert mujoco.MjModel.from_xml_string("<mujoco/>").nbody == 1
print(os.environ["MUJOCO_GL"])
"""


@pytest.mark.parametrize("backend", ["bogus", "osmesa"])
def test_mujoco_is_imported_whatever_the_variable_names(backend):
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM],
        env=os.environ | {"MUJOCO_GL": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend


def test_nothing_is_changed_where_the_variable_is_not_set(monkeypatch):
    from robometa.compute.mujoco_gl import tolerate_missing_backend

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    before = list(sys.meta_path)
    tolerate_missing_backend()
    assert sys.meta_path == before

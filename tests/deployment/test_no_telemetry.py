"""onnxruntime reports nothing, and leaves nothing on the disk, where the package or the robot's runtime imports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("imports", ["robometa, onnxruntime", "robometa_runtime"])
def test_importing_onnxruntime_leaves_nothing(imports, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), str(tmp_path))
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'runtime'}"
    subprocess.run([sys.executable, "-P", "-c", f"import {imports}"], env=environment, check=True, cwd=tmp_path)
    assert not [*tmp_path.iterdir()]

"""The example in C++: it compiles against onnxruntime's C API, and acts as the policy did."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors import numpy as safetensors
from test_export import made

from robometa.deployment.export import export

ROOT = Path(__file__).parents[2]
HEADER = "onnxruntime_c_api.h"
PLACES = ("/usr/include/onnxruntime", "/usr/local/include/onnxruntime", "/usr/include", "/usr/local/include")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def include():
    """Folder of the header: the Python package has none."""
    folders = [os.environ["ONNXRUNTIME_INCLUDE"]] if "ONNXRUNTIME_INCLUDE" in os.environ else PLACES
    found = next((folder for folder in folders if (Path(folder) / HEADER).is_file()), None)
    if found is None:
        pytest.skip(
            f"no {HEADER} here: no package of PyPI has it, Debian 13's libonnxruntime-dev and onnxruntime's release "
            "archive do; ONNXRUNTIME_INCLUDE names its folder"
        )
    return found


def library():
    """The library of the Python package."""
    capi = Path(pytest.importorskip("onnxruntime").__file__).parent / "capi"
    found = sorted(capi.glob("libonnxruntime.so.*"))
    if not found:
        pytest.skip(f"the package has no libonnxruntime in {capi}")
    return found[0]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled example."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    folder = tmp_path_factory.mktemp("cpp")
    out, shared = folder / "act", folder / "libonnxruntime.so"
    for name in (shared, folder / "libonnxruntime.so.1"):  # the name that programs look for, which the package lacks
        name.symlink_to(library())
    source = ROOT / "examples" / "act.cpp"
    words = [compiler, "-std=c++17", *WARNINGS, "-isystem", include(), source, shared, f"-Wl,-rpath,{folder}"]
    done = subprocess.run([*words, "-o", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_it_acts_as_recorded(program, tiny_suite, tmp_path):
    folder = export(made("rl2", tiny_suite), tmp_path / "rl2").folder
    vectors = safetensors.load_file(folder / "vectors.safetensors")
    rows = np.concatenate([vectors[f"step/{name}"] for name in ("obs", "last_reward", "last_done")], axis=1)
    given = "\n".join(" ".join(f"{number:.9g}" for number in row) for row in rows)
    command = [program, folder / "step.onnx"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runtime = pytest.importorskip("robometa_runtime", exc_type=ImportError)
    robot, wanted = runtime.Policy(folder), []
    for place, row in enumerate(rows):
        outcome = (float(row[-2]), bool(row[-1])) if place else ()
        wanted.append(robot.act(row[:-2], *outcome))
    for wrong in ("nan", "inf", "1e99", "1,5"):
        refused = subprocess.run(command, input=f"{wrong} 0 0 0", capture_output=True, text=True, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"error: {wrong} is not finite, or no number" in refused.stderr
    found = np.array([line.split() for line in done.stdout.splitlines()], float)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_it_refuses_what_is_no_export_in_a_line(program, tmp_path):
    done = subprocess.run([program, tmp_path / "none.onnx"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")

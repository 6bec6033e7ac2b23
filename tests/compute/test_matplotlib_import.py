"""Matplotlib is imported without the settings of the current folder, which may be damaged or endless."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from robometa.compute.matplotlib_import import import_matplotlib
import_matplotlib()
import matplotlib
print(os.getcwd(), matplotlib.rcParams["text.usetex"])
"""


@pytest.mark.parametrize("kind", ["damaged", "valid", "pipe"])
def test_settings_of_the_current_folder_are_not_read(tmp_path, kind):
    if kind == "pipe":
        os.mkfifo(tmp_path / "matplotlibrc")
    else:
        (tmp_path / "matplotlibrc").write_bytes(b"\xff\xfe" if kind == "damaged" else b"text.usetex: True\n")
    command = [sys.executable, "-P", "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{tmp_path} False\n", done.stderr

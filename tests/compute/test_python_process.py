"""Environment of the processes of Python that the package starts."""

import os
import sys
from pathlib import Path

import pytest

import robometa
from robometa.compute import python_process

FOLDER = Path(robometa.__file__).parents[1]


@pytest.mark.parametrize("own", ["", "/mine"])
def test_the_package_is_found_before_what_the_user_names(monkeypatch, own):
    monkeypatch.setattr(python_process, "_installed", set)
    monkeypatch.setenv("PYTHONPATH", own)
    assert python_process.python_path() == os.pathsep.join([str(FOLDER), own] if own else [str(FOLDER)])


def test_installed_packages_hide_no_module_of_the_standard_library(monkeypatch):
    monkeypatch.setattr(python_process.site, "getsitepackages", lambda: [str(FOLDER)])
    monkeypatch.setattr(sys, "path", [*sys.path, str(FOLDER)])
    monkeypatch.setenv("PYTHONPATH", "/mine")
    assert python_process.python_path() == "/mine"

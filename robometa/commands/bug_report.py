"""A bundle for a bug report: what broke and where, and nothing that is nobody's business."""

from __future__ import annotations

import json
import platform
import tempfile
import time
import traceback
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("robometa", "torch", "mujoco", "gymnasium", "numpy", "safetensors", "scipy")
LARGEST = 1 << 20
"""Bytes of a run's description that are taken along."""


def write_bundle(error: BaseException, words: Sequence[str], run: Path | None = None) -> Path:
    """Writes what a bug report needs into a zip file in the working directory and returns its path.

    That is the traceback without values of variables, the command line, versions, and the description of the run that
    it was about. Of the environment nothing is taken along, and the home folder is written as `~`.

    Args:
        error: What was raised.
        words: Of the command line.
        run: The folder of the run that it was about.
    """
    described = {"command": ["robometa", *words], "versions": _versions()}
    texts = {
        "traceback.txt": "".join(traceback.format_exception(error)),
        "report.json": json.dumps(described, indent=2) + "\n",
    }
    try:
        told = None if run is None else run / "run.json"
        if told is not None and told.stat().st_size <= LARGEST:
            texts["run.json"] = told.read_text(encoding="utf-8", errors="replace")
    except OSError:
        pass
    name = f"robometa-bug-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as bundle:
                for file, text in texts.items():
                    bundle.writestr(file, _without_home(text))
        except OSError:
            continue
        return folder / name
    raise OSError("neither the working directory nor the folder of temporary files can be written")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _without_home(text: str) -> str:
    home = str(Path.home())
    return text if home in ("", "/") else text.replace(home, "~")

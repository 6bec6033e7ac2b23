"""A bundle for a bug report: traceback, command line and versions, and nothing private."""

from __future__ import annotations

import io
import json
import platform
import tempfile
import time
import traceback
import zipfile
from collections.abc import Sequence
from pathlib import Path

from robometa.storage import atomic
from robometa.storage.versions import installed

PACKAGES = ("robometa", "torch", "mujoco", "gymnasium", "numpy", "safetensors", "scipy")
LARGEST = 1 << 20
"""Largest size of a run's description in a bundle, bytes."""


def write_bundle(error: BaseException, words: Sequence[str], run: Path | None = None) -> Path:
    """Writes a zip file for a bug report into the working directory and returns its path.

    The file holds the traceback without values of variables, the command line, versions, and the run's description. It
    holds nothing of the environment, and the home folder is written as `~`.

    Args:
        error: The exception that ended the command.
        words: Words of the command line.
        run: Folder of the run that the command was about.

    Returns:
        The path of the zip file.

    Raises:
        OSError: If neither the working directory nor the folder of temporary files can be written.
    """
    described = {"command": ["robometa", *words], "versions": _versions()}
    texts = {
        "traceback.txt": "".join(traceback.format_exception(error)),
        "report.json": json.dumps(described, indent=2) + "\n",
    }
    try:
        description = None if run is None else run / "run.json"
        if description is not None and description.stat().st_size <= LARGEST:
            texts["run.json"] = description.read_text(encoding="utf-8", errors="replace")
    except OSError:
        pass
    name = f"robometa-bug-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            atomic.replace_file(folder / name, _zipped(texts))
        except OSError:
            continue
        return folder / name
    raise OSError("neither the working directory nor the folder of temporary files can be written")


def _zipped(texts: dict[str, str]) -> bytes:
    """Zip file of texts, without the home folder's name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file, text in texts.items():
            bundle.writestr(file, _without_home(text))
    return content.getvalue()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for name in PACKAGES:
        versions[name] = installed(name)
    return versions


def _without_home(text: str) -> str:
    home = str(Path.home())
    return text if home in ("", "/") else text.replace(home, "~")

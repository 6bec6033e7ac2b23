"""One loader, fuzzed by atheris: `python -m torture.guided LOADER RUN FOLDER [libFuzzer's options]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import atheris


def main() -> None:
    """Fuzzes until the time is over or something but a typed error comes out."""
    with atheris.instrument_imports(include=["robometa", "tomllib"]):
        from torture.loaders import LOADERS
    name, run, folder, *options = sys.argv[1:]
    shutil.copytree(run, Path(folder) / "run")
    shutil.copy(Path(run).parent / "tiny.toml", folder)
    loader = LOADERS[name](Path(folder) / "run")
    inputs = Path(folder) / "inputs"
    inputs.mkdir()
    for index, content in enumerate(loader.seeds()):
        (inputs / str(index)).write_bytes(content)
    words = [sys.argv[0], *options, "-timeout=60", "-rss_limit_mb=6000", f"-artifact_prefix={folder}/", str(inputs)]
    atheris.Setup(words, loader.load)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

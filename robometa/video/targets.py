"""Files that a recording writes; looked at before torch is loaded."""

from __future__ import annotations

from pathlib import Path

from robometa.errors import UserError
from robometa.storage.paths import require_replaceable


def targets(policy: Path, task: int, out: Path | None, gif: bool) -> tuple[Path, ...]:
    """Returns the files to write.

    Raises:
        UserError: If `out` is of another kind, a folder, a device or a pipe, or its folder is missing.
    """
    if out is None:
        place = policy.resolve()
        name = place.parent.name if place.name == "policy" else place.name  # a run's policy goes by the run's name
        out = Path("videos") / f"{name}-task{task}.mp4"
    elif not out.parent.is_dir():
        raise UserError(f"no folder {str(out.parent)!r} to write {out.name} to")
    if out.suffix not in (".mp4", ".gif"):
        raise UserError(f"a video is a .mp4 or a .gif file, not {str(out)!r}")
    if out.is_dir():
        raise UserError(f"{str(out)!r} is a folder, not a file to write")
    files = (out, out.with_suffix(".gif")) if gif and out.suffix == ".mp4" else (out,)
    for file in files:
        require_replaceable(file)
    return files

"""Files that a recording writes; looked at before torch is loaded."""

from __future__ import annotations

from pathlib import Path

from robometa.errors import UserError
from robometa.storage.paths import require_replaceable


def targets(policy: Path, task: int, out: Path | None, gif: bool) -> tuple[Path, ...]:
    """Returns the files to write.

    Raises:
        UserError: If `out` is of another kind, or a file cannot be written.
    """
    makes_folder = out is None
    if out is None:
        place = policy.resolve()
        name = place.parent.name if place.name == "policy" else place.name  # a run's policy goes by the run's name
        out = Path("videos") / f"{name}-task{task}.mp4"
    if out.suffix not in (".mp4", ".gif"):
        raise UserError(f"a video is a .mp4 or a .gif file, not {str(out)!r}")
    files = (out, out.with_suffix(".gif")) if gif and out.suffix == ".mp4" else (out,)
    for file in files:
        require_replaceable(file, makes_folder=makes_folder)
    return files

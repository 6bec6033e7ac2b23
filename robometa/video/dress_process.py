"""Compiles a user's own model for the camera: `python -P -m robometa.video.dress_process FOLDER`, a separate process.

Input and output are those of `robometa.suites.model_process`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from robometa.suites import model_process
from robometa.video.scene import furnish

if __name__ == "__main__":
    model_process.main(Path(sys.argv[1]), furnish)

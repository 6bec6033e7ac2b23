"""Draws the committed pictures of the documentation from committed records: `make pictures`.

`docs/curves.png` has the learning curves of the published policies, `docs/pearl-steps.png` PEARL's beside public ones,
`docs/comparing.png` a page of a comparison as Chromium shows it, and `results/half-cheetah-velocity-first-episode.png`
the reward along the first episode. The last one's numbers are in a record, which `python -m study.pictures --measure`
makes anew. The figures of the results come with their table: `python -m study --table`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from robometa import compare, evaluate
from robometa.reports.curve_figures import learning_curves
from study import figure, plan, public_curves

DOCS, POLICIES = Path("docs"), Path("policies")
COMPARED = ("half-cheetah-velocity-rl2", "half-cheetah-velocity-pearl", "half-cheetah-velocity-maml-trpo")
"""Policies on the page that docs/comparing.md shows."""
WITHIN = ("rl2", "varibad", "hypernetwork", "no-adaptation")
"""Learners whose first episode is shown: those that adapt within it, and the one that does not adapt."""
SUITE = "half-cheetah-velocity"
RECORD = plan.RESULTS / f"{SUITE}-first-episode.json"
"""Rewards along the first episode."""
MEASURED_WORLDS = 5
"""Episodes of each held-out task in that record."""
WINDOW = "1100,1330"
"""Size of the picture of a page, pixels."""


def main(words: Sequence[str] | None = None) -> int:
    """Draws all pictures; with `--measure`, measures the first episode anew before."""
    if "--measure" in (sys.argv[1:] if words is None else words):
        measure()
    draw_curves()
    draw_first_episode()
    figure.save(public_curves.figure(), DOCS / "pearl-steps.png")
    return 0 if draw_page() else 1


def measure() -> None:
    """Writes the rewards along the first episode of the published policies."""
    measured = {}
    for learner in WITHIN:
        report = evaluate(POLICIES / f"{SUITE}-{learner}", shots=0, worlds=MEASURED_WORLDS)
        first = report.pace()
        assert first is not None  # every evaluation by shots measures it
        measured[learner] = {"steps": first[0], "rewards": first[1], "tasks": len(report.tasks)}
    text = {"suite": SUITE, "worlds": MEASURED_WORLDS, "acting": "mean action", "learners": measured}
    RECORD.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def draw_curves() -> None:
    """Draws the learning curves of the published policies on half-cheetah at a hidden speed."""
    policies = [path for path in sorted(POLICIES.glob(f"{SUITE}-*")) if (path / "training").is_dir()]
    (section,) = compare(*policies).sections
    drawn = learning_curves(section.groups)
    assert drawn is not None  # published policies have their training's table
    figure.save(drawn, DOCS / "curves.png")


def draw_first_episode() -> None:
    """Draws the rewards along the first episode, from their record."""
    learners = json.loads(RECORD.read_text(encoding="utf-8"))["learners"]
    paces = {name: list(zip(one["steps"], one["rewards"], strict=True)) for name, one in learners.items()}
    figure.first_episode(paces, RECORD.with_suffix(".png"))


def draw_page() -> bool:
    """Draws the page of a comparison; False without Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        print("docs/comparing.png stays as it is: it needs chromium", file=sys.stderr)
        return False
    with tempfile.TemporaryDirectory() as place:
        page = compare(*(POLICIES / name for name in COMPARED)).save(Path(place) / "page.html")
        picture = Path(place) / "page.png"
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WINDOW}"]
        words += ["--blink-settings=preferredColorScheme=1", f"--user-data-dir={place}/browser"]
        subprocess.run([browser, *words, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)
        shutil.copyfile(picture, DOCS / "comparing.png")
    return True


if __name__ == "__main__":
    sys.exit(main())

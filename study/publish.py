"""Puts each learner's best policy of the table into `policies/`, its video into `videos/`: `python -m study.publish`.

The best is the one whose training ended with the highest return, exploring, after adaptation: held-out scores choose
nothing. A long run is no seed of the table: its policy is called `-long`. A policy that stands there already is
replaced only with `--replace`, and never by a worse one because the best was trained on another machine.
`--run FOLDER` publishes one run that is no cell of the table, once `robometa evaluate` has measured its policy.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robometa import record
from robometa.errors import UserError
from robometa.policies.policy_folder import load_policy
from robometa.storage import sealed_folder
from robometa.training.run_folder import CONFIGURATION, METRICS, TIMINGS
from study import cards, plan

POLICIES, VIDEOS = Path("policies"), Path("videos")
FOLDER = re.compile(r" --folder ('[^']*'|[^ '\"]+)")
"""Folder in a run's command: it means nothing elsewhere."""
START = re.compile(FOLDER.pattern.replace("--folder", "--start-from"))
"""Policy that a run started from, in its command."""
LAST = 5
"""Points of a learning curve whose mean says how a training ended."""


def main(words: Sequence[str] | None = None) -> None:
    """Publishes what there is."""
    parser = argparse.ArgumentParser(prog="python -m study.publish", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="half-cheetah-velocity", help="of this suite (half-cheetah-velocity)")
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="of these learners only")
    parser.add_argument("--replace", action="store_true", help="replace policies that stand there already")
    parser.add_argument("--run", type=Path, help="publish this run instead, under its suite's and learner's names")
    parser.add_argument("--task", type=int, default=0, help="held-out task that the videos show (0)")
    asked = parser.parse_args(words)
    if asked.run is not None:
        one_run(asked.run, asked.task)
        return
    try:
        cells = plan.read().of(asked.suite, asked.only)
    except UserError as error:
        parser.error(str(error))
    kinds: dict[str, list[plan.Cell]] = defaultdict(list)
    for cell in cells:
        if cell.learner not in plan.UNTRAINED and cell.done():
            kinds[f"{asked.suite}-{cell.learner}{'-long' if cell.long else ''}"].append(cell)
    for name, alike in kinds.items():
        best = max(alike, key=ended)
        if (POLICIES / name).exists() and not asked.replace:
            print(f"{name} stands there already")
            continue
        if not (best.run / "policy").is_dir():
            print(f"{name}: the best is {best.name}, whose run folder is not here")
            continue
        publish(best.run, POLICIES / name, len(alike))
        record(POLICIES / name, task=asked.task, shots=2, out=VIDEOS / f"{name}.mp4", gif=False)
        print(f"{name}: {best.name}")


def one_run(run: Path, task: int) -> None:
    """Publishes a run that was compared with no other, and its video."""
    _, suite, manifest = load_policy(run / "policy")
    name = f"{suite.name}-{manifest.learner}"
    if not (run / "policy" / "report.json").is_file():
        raise SystemExit(f"{run / 'policy'} has no report: robometa evaluate {run / 'policy'}")
    if (POLICIES / name).exists():
        raise SystemExit(f"{POLICIES / name} stands there already")
    publish(run, POLICIES / name, 0)
    record(POLICIES / name, task=task, shots=2, out=VIDEOS / f"{name}.mp4", gif=False)
    print(name)


def ended(cell: plan.Cell) -> float:
    """The mean return at the end of a cell's training, exploring, after adaptation."""
    values = cell.curve()[1][-LAST:]
    return sum(values) / len(values)


def publish(run: Path, folder: Path, seeds: int) -> None:
    """Copies a run's policy and the log of its training, and says in its card how many seeds it was chosen from."""
    aside = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(run / "policy", aside)
    (aside / "training").mkdir()
    logs = (CONFIGURATION, METRICS, TIMINGS)
    texts = {f"training/{name}": (run / name).read_text(encoding="utf-8") for name in logs}
    log = f"training/{CONFIGURATION}"
    texts[log] = FOLDER.sub("", texts[log])
    manifest = sealed_folder.read_manifest(aside)
    begun = manifest["training"].get("started_from")
    if begun is not None:
        begun["policy"] = _published(begun)
        sealed_folder.write_manifest(aside, manifest)
        described = json.loads(texts[log]) | {"started_from": begun}
        described["command"] = START.sub(lambda _: f" --start-from {begun['policy']}", described["command"])
        texts[log] = json.dumps(described, indent=2) + "\n"
    sealed_folder.put(aside, texts)
    cards.rewrite(aside, seeds)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def _published(begun: Mapping[str, Any]) -> str:
    """Folder of the published policy that a run started from."""
    for path in sorted(POLICIES.glob("*/manifest.json")):
        if sealed_folder.read_manifest(path.parent)["files"].get(sealed_folder.TENSORS) == begun["sha256"]:
            return str(path.parent)
    raise SystemExit(f"it started from {begun['policy']}, which is not published: publish that first")


if __name__ == "__main__":
    main()

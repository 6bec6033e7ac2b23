"""Measures simulation and learning on a GPU: the engine on MuJoCo Warp, whole trials, updates, and time to a return.

One command, no network: `python -m bench.gpu FOLDER` writes FOLDER/gpu.json, anew with every figure, so that whatever
ends it leaves what was measured. A part that fails is written with its error, and the others go on; parts for which no
time is left are written as left out, and one that is running when the time is over is cut off there, with what it had
found. It needs no installed robometa: a checkout on PYTHONPATH and the packages that the engine and the learners load.
With --rehearse it runs end to end on the processors, in sizes that measure nothing.

An engine's figure is control steps of all worlds per second, over many steps with actions drawn beforehand, with a wait
for the device after every sixteen; compiling and capturing are told apart. The floor beside it is how fast the robot
could be stepped if all that a step does were to touch every number that the simulator keeps of a world once in each
evaluation of the dynamics, at the bandwidth that copying a large tensor reaches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.gpu_parts import engine_part, pearl_part, race_part, trials_part
from robometa.graphs import captures
from robometa.parallel import processors

TARGETS = {
    "half-cheetah engine, env-steps/s": 1.5e6,
    "ant engine, env-steps/s": 2e5,
    "pearl gradient step, ms": 1.5,
    "maml-trpo iteration of 160k steps, s": 0.4,
    "rl2 to the return of the CPU's training, s": 300.0,
}
"""What a GPU of 2024 is to reach; bounds from below for speeds, from above for times."""
RACES = (("half-cheetah-direction", "maml-trpo"), ("half-cheetah-velocity", "rl2"))
"""Suite and learner of policies that were published with the log of their training on the CPU."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    worlds: tuple[int, ...] = (1024, 4096, 8192, 16384)
    """Worlds of the engine."""
    cpu_worlds: int = 1024
    seconds: float = 1.5
    """Of a measurement of an engine."""
    meta_batch: tuple[int, int, int] = (40, 20, 100)
    """Tasks, worlds and control steps of MAML-TRPO: 160k steps an iteration, with both rollouts."""
    horizon: int = 200
    gradient_steps: int = 400
    race_seconds: float = 330.0
    """After which a race is given up."""
    options: tuple[tuple[str, Any], ...] = ()
    """Of every learner, on top of its own."""


FULL = Scale()
SMALL = Scale((4, 8), 8, 0.05, (2, 2, 5), 5, 2, 4.0, (("tasks", 2), ("worlds", 2)))


class Bench:
    """Runs parts one after the other while there is time, and writes what they find."""

    def __init__(self, folder: Path, scale: Scale, device: str, minutes: float) -> None:
        """Begins the clock."""
        self.folder, self.scale, self.device = folder, scale, device
        self._started, self._minutes = time.perf_counter(), minutes
        self._writing = threading.RLock()
        self.graphs = True
        """Whether the part that is running captures what it does."""
        self.policy_graphs: set[str] = set()
        """Learners whose iterations have been seen to be faster with the policy in a graph."""
        self.row: Row = {}
        """What the part that is running has found so far."""
        self.found: Row = {"machine": machine(device), "targets": TARGETS, "parts": {}}

    def left(self) -> float:
        """Seconds that are left."""
        return 60 * self._minutes - (time.perf_counter() - self._started)

    def run(self, name: str, part: Callable[[Bench], Row], needs: float) -> None:
        """Runs a part if so many seconds are left, and writes everything found so far.

        Args:
            name: The part's.
            part: Measures.
            needs: Seconds that it nearly always takes, compiling included.
        """
        started = time.perf_counter()
        with self._writing:
            self.row = self.found["parts"][name] = {}
        if self.left() < needs:
            self.note(left_out=f"{self.left():.0f} s left of the {needs:.0f} s that it takes")
        else:
            self.note(running=True)
            try:
                self.note(**self.captured_or_not(part))
            except Exception:
                self.note(error=traceback.format_exc(limit=-8))
        with self._writing:
            self.row.pop("running", None)
        self.note(part_seconds=round(time.perf_counter() - started, 1))
        print(f"{name}: {json.dumps(self.row)}", flush=True)

    def note(self, **found: Any) -> None:
        """Adds to what the running part has found, and writes everything."""
        with self._writing:
            self.row |= found
            self.write()

    def write(self) -> None:
        """Writes everything found so far, over what was written before."""
        with self._writing:
            self.found["seconds"] = round(60 * self._minutes - self.left(), 1)
            self.folder.mkdir(parents=True, exist_ok=True)
            aside = self.folder / ".gpu.json"
            aside.write_text(json.dumps(self.found, indent=2) + "\n", encoding="utf-8")
            aside.replace(self.folder / "gpu.json")

    def end_in_time(self) -> None:
        """Lets the process end when the time is over, whatever it is waiting for then."""

        def end() -> None:
            self.found["cut_off"] = f"when {self._minutes:g} minutes were over"
            try:
                self.write()
            finally:
                print(self.found["cut_off"], flush=True)
                os._exit(0)

        timer = threading.Timer(max(self.left(), 0.0), end)
        timer.daemon = True
        timer.start()

    def captured_or_not(self, part: Callable[[Bench], Row]) -> Row:
        """What a part finds; if it fails as a capture does, what it finds without graphs."""
        try:
            return part(self)
        except RuntimeError:
            if not captures(torch.device(self.device)):
                raise
            self.uncaptured("without_graphs")
            self.graphs = False
        try:
            return part(self)
        finally:
            self.graphs = True

    def uncaptured(self, what: str) -> None:
        """Notes why something could not be captured, while that is handled."""
        with self._writing:
            self.found.setdefault("measure again with --only what came after", []).append(what)
        self.note(**{what: traceback.format_exc()})

    def wait(self) -> None:
        """Waits for the device."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def options(self, learner: str, **wanted: Any) -> Row:
        """Options of a learner: the ones wanted, and in a rehearsal small ones."""
        return wanted | dict(self.scale.options) | ({"worlds": 1} if learner == "pearl" and self.scale.options else {})


def machine(device: str) -> Row:
    """What it ran on, and when."""
    import mujoco
    import mujoco_warp
    import warp

    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "the processors",
        "processors": processors(),
        "platform": platform.platform(),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "torch": torch.__version__,
        "warp": warp.__version__,
        "mujoco": mujoco.__version__,
        "mujoco_warp": mujoco_warp.__version__,
    }


def parts(names: Sequence[str]) -> dict[str, tuple[Callable[[Bench], Row], float]]:
    """What can be measured, in its order, and the seconds that each takes at least."""
    known: dict[str, tuple[Callable[[Bench], Row], float]] = {
        "engine half-cheetah": (partial(engine_part, robot="half-cheetah"), 60.0),
        "trials maml-trpo": (partial(trials_part, name="maml-trpo", on="warp"), 15.0),
        "trials rl2": (partial(trials_part, name="rl2", on="warp"), 15.0),
        "pearl": (partial(pearl_part, on="warp"), 20.0),
        "engine ant": (partial(engine_part, robot="ant"), 40.0),
    }
    for suite, learner in RACES:
        race = partial(race_part, suite_name=suite, name=learner, on="warp")
        known[f"race {learner} {suite}"] = (race, 30.0)
    for robot in ("humanoid", "walker2d", "hopper"):
        known[f"engine {robot}"] = (partial(engine_part, robot=robot), 40.0)
    for name in ("maml-trpo", "rl2"):
        known[f"trials {name} on the CPU"] = (partial(trials_part, name=name, on="cpu"), 20.0)
    known["pearl on the CPU"] = (partial(pearl_part, on="cpu"), 20.0)
    return {name: part for name, part in known.items() if not names or any(word in name for word in names)}


def main(words: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where gpu.json is written")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, on the processors: measures nothing")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="parts whose names hold one of these")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it ends (default: 8)")
    parser.add_argument("--device", default="cuda", help="the GPU (default: cuda)")
    asked = parser.parse_args(words)
    if not asked.rehearse and not torch.cuda.is_available():
        parser.error("there is no GPU here; --rehearse runs it on the processors")
    scale, device = (SMALL, "cpu") if asked.rehearse else (FULL, asked.device)
    bench = Bench(asked.folder, scale, device, asked.minutes)
    bench.end_in_time()
    for name, (part, needs) in parts(asked.only).items():
        bench.run(name, part, 0.0 if asked.rehearse else needs)


if __name__ == "__main__":
    main()

"""Trainings that take a second or two, and processes of their own to run things in that a signal may end anywhere."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from robometa import registry
from robometa.training import train as training
from robometa.training.run_folder import METRICS, RunFolder

TRAINED = tuple(name for name in registry.LEARNERS if name != "random")
"""Every learner that learns something."""

SUITE = """\
about     = "A point asked to go to a hidden place, with hardly any time for it."
robot     = "point"
objective = "goal"
horizon   = 5

[train]
tasks = 6
seed  = 0
goal  = { arc = [1.0, 0.0, 3.141592653589793] }

[test]
tasks = 3
seed  = 1
goal  = { arc = [1.0, 0.0, 3.141592653589793] }
"""

SMALL: dict[str, Any] = {
    "tasks": 3,
    "worlds": 2,
    "hidden": (8,),
    "encoder_hidden": (8,),
    "decoder_hidden": (4,),
    "memory_size": 6,
    "latent": 2,
    "context": 6,
    "meta_batch": 2,
    "batch": 4,
    "beliefs": 2,
    "decodes": 4,
    "capacity": 40,
    "gradient_steps": 2,
    "tuning_steps": 2,
    "minibatches": 2,
    "epochs": 2,
    "past": 2,
    "future": 2,
    "candidates": 6,
    "plan_horizon": 2,
    "elites": 2,
    "windows": 4,
}
"""Options by name, for every learner that has them."""


def small(learner: str, iterations: int) -> dict[str, Any]:
    """Options with which a learner trains in about a second."""
    known = {field.name for field in fields(registry.find(learner).load().configuration)}
    options = {name: value for name, value in SMALL.items() if name in known}
    options |= {"decay_end": iterations} if "decay_end" in known else {}
    return options | {"iterations": iterations}


def suite_file(folder: Path) -> Path:
    """The file of the tiny suite, written once."""
    path = folder / "tiny.toml"
    if not path.exists():
        path.write_text(SUITE, encoding="utf-8")
    return path


def train(folder: Path, learner: str, iterations: int, checkpoint_minutes: float = 0.0) -> Path:
    """A training in this folder, with a checkpoint after every iteration unless asked otherwise."""
    return training.train(
        suite_file(folder.parent),
        learner,
        options=small(learner, iterations),
        folder=folder,
        threads=1,
        torch_threads=1,
        checkpoint_minutes=checkpoint_minutes,
    )


def written(folder: Path) -> dict[str, bytes]:
    """Every byte that must not depend on what happened on the way: table, policy, and the newest checkpoint's tensors.

    These are parameters, optimiser, normalisers and replay buffers alike.
    """
    newest = RunFolder(folder).newest_checkpoint()
    assert newest is not None, f"{folder} has no checkpoint"
    tensors = {f"checkpoint {name}": _bytes(tensor) for name, tensor in newest.state.items()}
    return tensors | {
        "iterations": str(newest.progress).encode(),
        METRICS: (folder / METRICS).read_bytes(),
        "policy": (folder / "policy" / "tensors.safetensors").read_bytes(),
    }


def _bytes(tensor: torch.Tensor) -> bytes:
    return f"{tensor.dtype} {list(tensor.shape)} ".encode() + tensor.contiguous().numpy().tobytes()


def differences(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    """Names of what is not the same in both."""
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def warm() -> None:
    """Loads everything that a training needs, so that a process forked from this one need not. No thread is started."""
    import torch._dynamo  # noqa: F401 # the first optimizer of a process loads it, which takes seconds

    import robometa.commands.main
    import robometa.evaluation.evaluate
    import robometa.evaluation.stable_baselines3
    import robometa.policies.merge
    import robometa.video.record  # noqa: F401

    for entry in registry.LEARNERS.values():
        entry.load()
    # What is loaded stays: no collection before a fork looks at it again, which would take most of a second each time.
    gc.collect()
    gc.freeze()


LIBRARY = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
"""Linux's number for the signal that a process gets when its parent ends."""


def _end_with(parent: int) -> None:
    """Lets the kernel end this process by SIGKILL when the process that made it has ended, whatever ended it."""
    LIBRARY.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # before the kernel was asked
        os._exit(70)


class Child:
    """A copy of this process that does one thing, in a session and process group of its own."""

    def __init__(self, act: Callable[[], object], log: Path) -> None:
        """Starts it; what it prints goes into `log`."""
        self.log = log
        sys.stdout.flush()
        sys.stderr.flush()
        self.started = time.monotonic()
        self.status: int | None = None
        self.peak = 0
        """Most memory it ever held, kilobytes; known when it has ended."""
        # Garbage may own a pool of threads, which a copy must not close: its threads are gone, it would wait forever.
        gc.collect()
        parent = os.getpid()
        self.process = os.fork()
        if self.process == 0:
            gc.freeze()
            code = 70
            try:
                os.setsid()
                _end_with(parent)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                where = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
                os.dup2(where, 1)
                os.dup2(where, 2)
                result = act()
                code = result if isinstance(result, int) else 0
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 1
            except BaseException:  # whatever it is, it must not go on as a second copy of the caller
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def running(self) -> bool:
        """True if it has not ended yet."""
        if self.status is None:
            process, status, usage = os.wait4(self.process, os.WNOHANG)
            if process:
                self._ended(status, usage.ru_maxrss)
        return self.status is None

    def wait(self, seconds: float = 300.0) -> int:
        """Its exit code, minus a signal's number if one ended it; it is killed after so long."""
        while self.running():
            if time.monotonic() - self.started > seconds:
                self.kill()
            time.sleep(0.002)
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        """Ends its whole process group by SIGKILL, and waits until it is gone."""
        if self.running():
            for kill, whom in ((os.killpg, self.process), (os.kill, self.process)):
                try:
                    kill(whom, signal.SIGKILL)
                except ProcessLookupError:  # so young that it has no group of its own yet
                    continue
            _, status, usage = os.wait4(self.process, 0)
            self._ended(status, usage.ru_maxrss)

    def _ended(self, status: int, peak: int) -> None:
        self.status, self.peak = os.waitstatus_to_exitcode(status), peak
        self.seconds = time.monotonic() - self.started

    def said(self) -> str:
        """Output of the process."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

"""Hints for unknown words on the command line: nearest names, common words, swapped arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from robometa import registry, suites
from robometa.errors import UserError, unknown
from robometa.registry import user_file
from robometa.storage.paths import folder_named
from robometa.suites.shipped import benchmark_names

FROM_SCRATCH = ("sb3-ppo", "sb3-sac", "sb3-td3")
"""Stable-Baselines3's algorithms, by their names on the command line."""
BASELINES = (*FROM_SCRATCH, "scripted")

COMMANDS = {
    **dict.fromkeys(("list", "ls", "info", "show"), ("suites", "learners")),
    **dict.fromkeys(("eval", "test", "measure", "score"), ("evaluate",)),
    **dict.fromkeys(("run", "learn", "fit", "start"), ("train",)),
    **dict.fromkeys(("continue", "restart"), ("resume",)),
    **dict.fromkeys(("video", "film", "render"), ("record",)),
    **dict.fromkeys(("watch", "enjoy", "view", "viewer", "live"), ("play", "record")),
    **dict.fromkeys(("suite", "tasks", "envs"), ("suites",)),
    **dict.fromkeys(("learner", "algorithms", "methods"), ("learners",)),
    **dict.fromkeys(("sb3", "bench", "benchmark"), ("baseline",)),
    **{name: (f"baseline {name}",) for name in BASELINES},
    **dict.fromkeys(("plot", "diff", "curves"), ("compare",)),
    **dict.fromkeys(("export", "table", "latex"), ("export-table",)),
    "average": ("merge",),
    "check": ("doctor",),
    "help": ("--help",),
    "version": ("--version",),
}
"""Commands that are meant by a common word."""

OPTIONS = {
    **dict.fromkeys(("--lr", "--alpha", "--step-size"), ("--learning-rate", "--inner-step-size")),
    **dict.fromkeys(("--envs", "--n-envs", "--num-envs", "--episodes"), ("--worlds",)),
    **dict.fromkeys(("--layers", "--hidden-sizes", "--net-arch"), ("--hidden",)),
    **dict.fromkeys(("--gpu", "--cuda"), ("--device",)),
    **dict.fromkeys(("--output", "--dir", "--logdir"), ("--folder", "--out")),
    "--gamma": ("--discount",),
    "--entropy": ("--entropy-weight", "--temperature"),
    "--updates": ("--iterations",),
}
"""Options that are meant by a common word; a command or a learner has some of them."""


def unknown_command(kind: str, word: str, known: Iterable[str]) -> str:
    """The message for a word that is not among the known ones of its kind, a command or a baseline."""
    if kind == "baseline" and is_suite(word):
        return f"{word} is a suite: robometa baseline {FROM_SCRATCH[0]} {word}"
    return unknown(kind, word, known, meant=COMMANDS.get(word, ()) if kind == "command" else ())


def unknown_option(option: str, known: Iterable[str], where: str) -> str:
    """The message for an unknown option of a command or a learner."""
    known = list(known)
    return unknown("option", option, known, where, meant=[name for name in OPTIONS.get(option, ()) if name in known])


def numbers_apart(option: str, given: str) -> str | None:
    """The message for a list of numbers that is not separated by spaces; None if `given` is something else."""
    numbers = re.findall(r"[-+.\w]+", given)
    if "," not in given or not all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", number) for number in numbers):
        return None
    return f"option {option} takes numbers with spaces between them, as in {option} {' '.join(numbers)}, not {given}"


def is_suite(name: str) -> bool:
    """True for the name of a shipped suite."""
    return name in suites.names() or name.partition("/")[0] in benchmark_names()


def policy(text: str) -> Path:
    """The folder of a policy or a run, as an argument; a run's name will do for one in `runs`.

    Raises:
        UserError: If it is the name of a baseline, a learner or a suite instead.
    """
    folder = folder_named(text)
    if not folder.exists():
        if text in BASELINES:
            raise UserError(f"{text} is a baseline: robometa baseline {text} SUITE")
        if text in registry.LEARNERS:
            raise UserError(f"{text} is a learner, not the folder of a policy: robometa train SUITE {text} writes one")
        if is_suite(text):
            raise UserError(f"{text} is a suite, not the folder of a policy: robometa evaluate POLICY --suite {text}")
    return folder


def own_learner(text: str) -> str:
    """The file and class of a learner of the user's own, as an argument; the file is read, and not run.

    Raises:
        UserError: If there is no such file or class.
    """
    if user_file.is_reference(text):
        registry.find(text)
    return text


def require_policy(folder: Path) -> None:
    """Checks that there is a policy or a run, before torch is loaded.

    Raises:
        UserError: If the folder is not there, or is neither.
    """
    if not folder.exists():
        if not _being_replaced(folder):
            raise UserError(f"{folder} is not a policy: there is no such folder{_in_runs(folder)}")
    elif not folder.is_dir():
        unpack = ": unpack it first" if folder.suffix in (".zip", ".gz", ".tar") else ""
        raise UserError(f"{folder} is not a policy: it is a file, not a folder{unpack}")
    elif not any((folder / name).exists() for name in ("manifest.json", "policy/manifest.json", "run.json")):
        raise UserError(f"{folder} is not a policy: it needs manifest.json and tensors.safetensors")


def require_run(folder: Path) -> None:
    """Checks that there is a run, before torch is loaded.

    Raises:
        UserError: If the folder is not there, or has no run.json.
    """
    if not os.path.lexists(folder / "run.json") and not _being_replaced(folder):
        raise UserError(f"no run here: {folder} has no run.json{_in_runs(folder)}")


def _being_replaced(folder: Path) -> bool:
    """True if another process replaces the folder just now, or one was interrupted in it."""
    return not os.path.lexists(folder) and os.path.lexists(folder.with_name(f".{folder.name}.old"))


def _in_runs(folder: Path) -> str:
    """A question that names the run that was probably meant; an empty string if there is none."""
    meant = Path("runs") / folder
    return f"; did you mean {meant}?" if (meant / "run.json").is_file() else ""


def policy_or_scripted(text: str) -> Path:
    """The folder of a policy, or `scripted`, as an argument.

    Raises:
        UserError: If it is the name of something else.
    """
    return Path(text) if text == "scripted" else policy(text)

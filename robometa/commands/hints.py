"""Hints for unknown words on the command line: nearest names, common words, swapped arguments."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from robometa import registry
from robometa.errors import UserError, unknown
from robometa.registry import user_file
from robometa.storage.paths import folder_named
from robometa.suites.shipped import is_shipped

FROM_SCRATCH = ("sb3-ppo", "sb3-sac", "sb3-td3")
"""Stable-Baselines3's algorithms, by their names on the command line."""
BASELINES = (*FROM_SCRATCH, "scripted")


def _by_word(table: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Meanings of each word; the table has several words of one meaning in each key."""
    return {word: tuple(meanings) for words, meanings in table.items() for word in words.split()}


COMMANDS = _by_word(
    {
        "list ls info show": ("suites", "learners"),
        "eval test measure score": ("evaluate",),
        "run learn fit start": ("train",),
        "continue restart": ("resume",),
        "video film render": ("record",),
        "watch enjoy view viewer live": ("play", "record"),
        "suite tasks envs": ("suites",),
        "learner algorithms methods": ("learners",),
        "sb3 bench benchmark": ("baseline",),
        "plot diff curves": ("compare",),
        "table latex": ("export-table",),
        "distill compress shrink": ("distil",),
        "quantize quantise onnx": ("export",),
        "average": ("merge",),
        "check": ("doctor",),
        "help": ("--help",),
        "version": ("--version",),
    }
    | {name: (f"baseline {name}",) for name in BASELINES}
)
"""Commands that are meant by a common word."""

OPTIONS = _by_word(
    {
        "--lr --alpha --step-size --inner-lr --fast-lr --meta-lr --outer-lr": ("--learning-rate", "--inner-step-size"),
        "--envs --n-envs --num-envs --episodes --n-episodes --nenvs": ("--worlds",),
        "--total-timesteps --timesteps --num-timesteps --total-steps --max-steps --num-steps": ("--steps",),
        "--updates --n-iterations --num-iterations --max-iterations --n-itr": ("--iterations",),
        "--meta-batch-size --num-tasks --n-tasks --tasks-per-batch": ("--tasks", "--meta-batch"),
        "--layers --hidden-sizes --hidden-size --net-arch --policy-kwargs": ("--hidden",),
        "--gpu --cuda --cpu --accelerator": ("--device",),
        "--output --dir --logdir --log-dir --name --run-name --exp-name --experiment --save": ("--folder", "--out"),
        "--force --exist-ok": ("--overwrite",),
        "--gamma --discount-factor": ("--discount",),
        "--lam --lambda --gae": ("--gae-lambda",),
        "--entropy --ent-coef --entropy-coef --entcoeff": ("--entropy-weight", "--temperature"),
        "--vf-coef --value-coef --value-loss-coef": ("--value-weight",),
        "--clip-range --clip-coef --clip-eps --clip-ratio --clip-param": ("--clip",),
        "--max-grad-norm --grad-norm --grad-clip --gradient-clip": ("--gradient-norm",),
        "--target-kl --max-kl --delta": ("--kl-bound",),
        "--kl-coef --kl-lambda": ("--kl-weight",),
        "--n-epochs --num-epochs --update-epochs": ("--epochs",),
        "--n-minibatches --num-minibatches --mini-batches": ("--minibatches", "--batch"),
        "--batch-size --minibatch-size": ("--batch", "--minibatches"),
        "--buffer-size --replay-size --memory-capacity": ("--capacity",),
        "--tau --polyak": ("--target-rate",),
        "--utd --train-freq --num-updates --gradient-updates": ("--gradient-steps",),
        "--num-seeds --n-seeds": ("--seeds",),
        "--workers --num-workers --n-jobs --n-cpu --parallel": ("--jobs", "--collect"),
        "--eval-freq --eval-every --eval-interval --eval": ("--evaluate-every",),
        "--save-freq --save-interval --checkpoint-every --checkpoint-freq": ("--checkpoint-minutes",),
        "--track --wandb --tensorboard --logger --tensorboard-log": ("--log",),
        "--config --hyperparams --cfg": ("--preset",),
        "--adapt-steps --adaptation-steps --inner-steps --num-shots --k-shot": ("--shots",),
        "--n-eval-episodes --num-eval-episodes --num-episodes": ("--worlds",),
    }
)
"""Options that are meant by a common word; a command or a learner has some of them."""

LIVE = ("--live", "--view", "--viewer", "--watch", "--window", "--gui", "--show")
"""Options of other programs for what is a command here."""

ARGUMENTS = _by_word(
    {
        "--env --env-id --env-name --environment --task-name": ("the suite first",),
        "--algo --algorithm --agent --method": ("the learner second",),
    }
)
"""Options of other programs for what has no option here, and its place."""


def unknown_command(kind: str, word: str, known: Iterable[str]) -> str:
    """The message for a word that is not among the known ones of its kind, a command or a baseline."""
    if kind == "baseline" and is_shipped(word):
        return f"{word} is a suite: robometa baseline {FROM_SCRATCH[0]} {word}"
    return unknown(kind, word, known, meant=COMMANDS.get(word, ()) if kind == "command" else ())


def unknown_option(option: str, known: Iterable[str], where: str) -> str:
    """The message for an unknown option of a command or a learner."""
    if option in LIVE:
        return f"unknown option {option!r} in {where}: robometa play POLICY shows a policy live"
    known = list(known)
    return unknown("option", option, known, where, meant=[name for name in OPTIONS.get(option, ()) if name in known])


def too_many(word: str, command: str) -> str:
    """The message for an argument beyond those that a command has."""
    several = "; robometa compare A B shows several side by side" if command in ("evaluate", "report") else ""
    if command == "train" and word.isdecimal():
        several = "; several seeds go after --seeds, as in --seeds 0 1 2"
    return f"one argument too many: {word!r} (see `robometa {command} --help`){several}"


def stray(words: Sequence[str], rest: Sequence[str]) -> str | None:
    """The first of a learner's options and values that follows none of them on the command line; None if all do.

    Args:
        words: The command line.
        rest: Those of its words that are no arguments or options of the command.
    """
    place = -1
    for word in rest:
        before, place = place, words.index(word, place + 1)
        is_value = not word.startswith("-") or re.match(r"-[\d.]", word) is not None
        if is_value and (before < 0 or place != before + 1):
            return word
    return None


def refuse_named_arguments(words: Iterable[str]) -> None:
    """Checks that neither suite nor learner is given by another program's option.

    Raises:
        UserError: With the form of the command.
    """
    for option in (word.partition("=")[0].replace("_", "-") for word in words):
        if option in ARGUMENTS:
            raise UserError(
                f"unknown option {option!r}: suite and learner go without one, {ARGUMENTS[option][0]}, "
                "as in `robometa train half-cheetah-velocity pearl`"
            )


def numbers_apart(option: str, given: str) -> str | None:
    """The message for a list of numbers that is not separated by spaces; None if `given` is something else."""
    numbers = re.findall(r"[-+.\w]+", given)
    if "," not in given or not all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", number) for number in numbers):
        return None
    return f"option {option} takes numbers with spaces between them, as in {option} {' '.join(numbers)}, not {given}"


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
        if is_shipped(text):
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
        raise UserError(f"{folder} is not a policy: it needs manifest.json and tensors.safetensors{_inside(folder)}")


def require_dataset(folder: Path) -> None:
    """Checks that there is a dataset, before torch is loaded.

    Raises:
        UserError: If the folder is not there, or has no dataset.json.
    """
    if not os.path.lexists(folder / "dataset.json"):
        raise UserError(f"{folder} is no dataset: it has no dataset.json; `robometa collect` makes one")


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
    meant = (Path("runs") / folder, folder.parent)  # the second for the folder of a run's policy
    return next((f"; did you mean {run}?" for run in meant if (run / "run.json").is_file()), "")


def _inside(folder: Path) -> str:
    """A question that names runs or policies that a folder holds; an empty string if there is none."""
    try:
        found = sorted(one for one in folder.iterdir() if not one.name.startswith(".") and _is_run_or_policy(one))
    except OSError:  # it may not be listed
        return ""
    others = f" or another of {len(found)} there" if len(found) > 1 else ""
    return f"; did you mean {found[0]}{others}?" if found else ""


def _is_run_or_policy(folder: Path) -> bool:
    """True if a folder that may be read holds a run or a policy."""
    return any(os.path.lexists(folder / mark) for mark in ("run.json", "manifest.json"))


def policy_or_scripted(text: str) -> Path:
    """The folder of a policy, or `scripted`, as an argument.

    Raises:
        UserError: If it is the name of something else.
    """
    return Path(text) if text == "scripted" else policy(text)

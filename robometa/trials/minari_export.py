"""A dataset in Minari's format, which other offline libraries read: https://minari.farama.org.

`python -P -m robometa.trials.minari_export`, a process of its own, writes the files: HDF5 is C, and where it cannot
write it may crash. It reads what to write as JSON on stdin, and writes the kind and the words of an error, if there is
one, as JSON to stdout.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from torch import Tensor

from robometa.compute.python_process import environment, python
from robometa.errors import UserError
from robometa.registry import user_objective
from robometa.storage import atomic
from robometa.storage.open_folder import opened
from robometa.storage.paths import failed_write, unwritable
from robometa.suites.load import load, suite_reference
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials.dataset import Dataset

NAME = re.compile(r"(?:([\w-]{2,})/)?([\w-]+-v\d+)", re.ASCII)
"""Names of datasets: at most one namespace, a name and a version."""
MISTAKE, DISK = "mistake", "disk"
"""Kinds of an error of the process that writes."""


def export(dataset: Dataset, suite: Suite, name: str) -> Path:
    """Writes a dataset among Minari's local ones, whole or not at all.

    Args:
        dataset: The dataset, which is verified.
        suite: Its suite, which knows the hidden parameters of its tasks.
        name: Name there, such as `point-robot/oracle-v0`.

    Returns:
        The folder that it wrote.

    Raises:
        UserError: If Minari is not installed, the name is none or is taken, or the dataset is damaged.
        OSError: If the disk is full.
    """
    found = NAME.fullmatch(name)
    if found is None:
        raise UserError(f"--minari must be a name with a version, such as point-robot/oracle-v0, not {name!r}")
    dataset.require_suite(suite)
    try:
        import h5py  # noqa: F401 - Minari itself does not require it
        import minari  # noqa: F401
        from minari.namespace import NAMESPACE_METADATA_FILENAME
        from minari.storage import get_dataset_path
    except ImportError:
        raise UserError("export-dataset needs Minari: pip install 'robometa[minari]'") from None
    try:
        folder = get_dataset_path(name)
        if os.path.lexists(folder):
            raise UserError(f"{folder} exists already: choose another name or version")
        with opened(folder.parent, create=True) as parent, atomic.aside(parent, folder.name) as aside:
            _write_apart(aside.path / "data", dataset, suite, name)
            if found[1] and not parent.has_file(NAMESPACE_METADATA_FILENAME):
                atomic.replace(parent, NAMESPACE_METADATA_FILENAME, b"{}")
            atomic.publish(parent, aside, folder.name)
    except OSError as error:
        raise unwritable(Path(error.filename or name), error) from None
    return folder


def _write_apart(folder: Path, dataset: Dataset, suite: Suite, name: str) -> None:
    """Writes the files in a process of its own.

    Raises:
        UserError: If the dataset is damaged.
        OSError: If HDF5 cannot write them.
    """
    done = subprocess.run(
        python("-m", "robometa.trials.minari_export"),
        input=json.dumps([str(folder), str(dataset.folder), suite_reference(suite), name]),
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    if done.stdout:
        kind, words = json.loads(done.stdout)
        if kind == DISK:
            raise failed_write("HDF5", words, folder.parent)
        raise UserError(words) if kind == MISTAKE else RuntimeError(words)
    if done.returncode:
        how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
        raise failed_write("HDF5", how, folder.parent)


def _main() -> None:
    """Writes the files that stdin describes."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's words are no error
    user_objective.inherit()
    folder, dataset, suite, name = json.load(sys.stdin)
    try:
        _write(Path(folder), Dataset(Path(dataset)), load(suite), name)
    except UserError as error:
        json.dump((MISTAKE, str(error)), output)
    except (OSError, RuntimeError) as error:  # h5py's
        json.dump((DISK, str(error)), output)
    except Exception:
        json.dump(("bug", traceback.format_exc()), output)
    output.close()


def _write(folder: Path, dataset: Dataset, suite: Suite, name: str) -> None:
    """Writes the files of a dataset in Minari's format."""
    import minari
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    about, unlimited = dataset.about, float("inf")
    storage = MinariStorage.new(
        folder,
        observation_space=Box(-unlimited, unlimited, (about.observation,), np.float32),
        action_space=Box(-1.0, 1.0, (about.action,), np.float32),
    )
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": minari.__version__,
            "algorithm_name": about.policy,
            "description": f"Trials on training tasks of {suite.name}, {about.episodes} rollouts each, by robometa",
            "robometa_sha256": dataset.sha256,
            "suite": about.suite,
            "suite_hash": about.suite_hash,
            "noise_schedule": about.schedule,
            "seed": about.seed,
        }
    )
    trials, written = 0, 0
    for shard in dataset.read():
        arrays, metadata = zip(*_episodes(shard, about.noise, partial(about.task_of, suite), trials), strict=True)
        storage.update_episodes(EpisodeBuffer(**some) for some in arrays)
        storage.update_episode_metadata(metadata, range(written, written + len(arrays)))
        trials, written = trials + len(shard["task"]), written + len(arrays)


def _episodes(
    shard: dict[str, Tensor], noise: tuple[float, ...], task_of: Callable[[int], Task], first: int
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yields the arrays and the metadata of each episode; a rollout has more than one if they end early.

    Args:
        shard: Tensors of a shard.
        noise: Share of random actions in each rollout.
        task_of: Returns the task of a number.
        first: Number of the shard's first trial.
    """
    for trial, number in enumerate(shard["task"].tolist()):
        described = _described(task_of(number), number)
        for rollout, share in enumerate(noise):
            row = {key: value[trial, rollout].numpy() for key, value in shard.items() if value.dim() > 2}
            time = len(row["reward"])
            ends = np.flatnonzero(row["terminated"] | row["truncated"]) + 1
            bounds = sorted({0, *ends.tolist(), time})
            for start, end in zip(bounds[:-1], bounds[1:], strict=True):
                context = {"trial": first + trial, "rollout": rollout, "first_step": start, "noise": share}
                yield _arrays({key: value[start:end] for key, value in row.items()}), context | described


def _arrays(row: dict[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of an episode by Minari's names; an observation more than actions, and an entry of `infos` each step."""
    return {
        "observations": np.concatenate((row["obs"], row["next_obs"][-1:])),
        "actions": row["action"].clip(-1.0, 1.0),
        "rewards": row["reward"],
        "terminations": row["terminated"],
        "truncations": row["truncated"],
        "infos": {"expert_action": row["expert"], "success": row["success"], "diverged": row["diverged"]},
    }


def _described(task: Task, number: int) -> dict[str, Any]:
    """Number, objective and hidden parameters of a task, as metadata of an episode."""
    parameters = {f"task/parameters/{name}": np.asarray(value) for name, value in task.parameters}
    return {"task/number": number, "task/objective": task.objective, **parameters}


if __name__ == "__main__":
    _main()

"""Begins, resumes and reads searches: the functions behind `robometa search` and `robometa.search`."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from robometa import registry, suites
from robometa.compute.parallel import processors
from robometa.errors import FolderGoneError, Stopped, TrainingError, UserError
from robometa.escape import printable
from robometa.registry import user_file
from robometa.search import page
from robometa.search.budget import Budget, read_budget
from robometa.search.driver import Search, learner_hashes, locked, read_settings, spaces_of
from robometa.search.objectives import require_objectives
from robometa.search.places import SETTINGS, require_free, resume_command
from robometa.search.record_file import RECORD, read_state
from robometa.search.result import Result
from robometa.search.screen import Screen
from robometa.search.settings import TRAININGS, Settings
from robometa.search.space import Space
from robometa.search.split import validation_indices, write_validation_suite
from robometa.search.suggest import require_optuna
from robometa.storage import atomic
from robometa.storage.open_folder import opened
from robometa.storage.paths import checked, unwritable
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.suites.toml_file import read_toml
from robometa.training.stop_signals import STOP_SIGNALS
from robometa.trials.collectors.choose import address_of

LEARNERS = ("maml-trpo", "promp", "pearl", "rl2")
"""Learners that are searched if none is named."""


def planned(
    suite: str | Path | Suite,
    learners: Sequence[str] = (),
    *,
    budget: str = "8h",
    training: str | None = None,
    objective: Sequence[str] | str = ("return",),
    preset: str | None = None,
    space: str | Path | Mapping[str, Any] | None = None,
    **settings: Any,
) -> tuple[Suite, Settings, dict[str, Space]]:
    """Settings and spaces of a search that has not begun; the arguments are those of `search`.

    Raises:
        UserError: Naming every mistake.
    """
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    names = tuple(registry.absolute(name) for name in (learners or LEARNERS))
    if preset is not None and len(names) > 1:
        raise UserError("a preset is one learner's: name one learner, or leave it out")
    whole = read_budget(budget)
    one = Budget(whole.amount / TRAININGS, whole.unit) if training is None else read_budget(training, "training")
    if one.unit != whole.unit:
        raise UserError("budget and training must both be processor times, or both environment steps")
    objectives = (objective,) if isinstance(objective, str) else tuple(objective)
    require_objectives(objectives, suite)
    made = Settings(
        suite=suite_reference(suite),
        suite_hash=suite.content_hash,
        learners=names,
        budget=whole,
        training=one.amount,
        objectives=objectives,
        preset=preset,
        table=_table(space),
        learner_sha256=dict(learner_hashes(names)),
        **settings,
    )
    indices = validation_indices(suite, made.validation, made.seed)
    made = replace(made, validation_tasks=tuple(indices))
    where = f"[search] of {printable(space)}" if isinstance(space, str | Path) else "[search]"
    return suite, made, spaces_of(suite, made, where)


def begin(
    suite: Suite, settings: Settings, folder: str | Path, jobs: int | str | None = None, silent: bool = False
) -> Result:
    """Begins a search, and returns it once it is finished.

    Raises:
        UserError: If the folder is there already, or cannot be written.
        Stopped: If a stop signal came; `resume` goes on.
    """
    require_optuna()
    _require_cluster(jobs)
    path = require_free(folder)
    try:
        with opened(path.parent, create=True) as parent, atomic.aside(parent, path.name) as aside:
            cut = write_validation_suite(suite, aside.path, [*settings.validation_tasks])
            settings = replace(settings, validation_hash=suites.load(cut).content_hash)
            text = json.dumps(settings.to_json(), indent=2, sort_keys=True) + "\n"
            atomic.write(aside, SETTINGS, text.encode())
            atomic.publish(parent, aside, path.name)
    except FileExistsError:
        raise UserError(f"{folder} exists already: choose another --folder") from None
    except OSError as error:
        raise unwritable(Path(folder), error) from None
    return resume(path, jobs, settings.learners, silent)


def resume(
    folder: str | Path, jobs: int | str | None = None, learners: Sequence[str] = (), silent: bool = False
) -> Result:
    """Resumes a search from its record, and returns it once it is finished.

    Args:
        folder: Its folder.
        jobs: Trials that are trained at a time, one for each processor if None; or the Ray cluster that trains them:
            `ray` for one of this machine, `ray:HOST:PORT` or `ray://HOST:PORT`. The results do not depend on it.
        learners: Files and classes of learners of your own, `./mine.py:MyLearner`, which no record runs unasked.
        silent: Print nothing.

    Raises:
        UserError: If there is no search, something has changed since, or another process searches in it.
        Stopped: If a stop signal came.
        TrainingError: If a file cannot be read or written, or a process is lost again and again.
    """
    path = checked(folder).absolute()
    _require_cluster(jobs)
    with ExitStack() as stack:
        search_folder = stack.enter_context(locked(path))
        settings = _with_learners(read_settings(path), learners, path)
        screen = stack.enter_context(Screen(settings, silent))
        stack.enter_context(_stopping(resume_command(path, settings.learners)))
        search = Search(search_folder, settings, jobs or processors(), screen)
        search.run()
        atomic.replace(search_folder, page.PAGE, page.page(path, settings, search.state).encode())
    return Result(path, settings, search.state)


def read(folder: str | Path) -> Result:
    """Reads a search, which may be under way; runs no file of a learner.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    path = checked(folder).absolute()
    settings = read_settings(path)
    return Result(path, settings, read_state(path / RECORD, settings))


def _require_cluster(jobs: int | str | None) -> None:
    """Checks a cluster's address before anything is written.

    Raises:
        UserError: If it is none.
    """
    if isinstance(jobs, str):
        address_of(jobs, "jobs", "a number, ")


def _with_learners(settings: Settings, given: Sequence[str], folder: Path) -> Settings:
    """Settings with the files that the user gives for learners of their own.

    Raises:
        UserError: If one is not given.
    """
    by_label = {registry.label(name): name for name in given if user_file.is_reference(name)}
    names, hashes = list[str](), dict[str, str]()
    for name in settings.learners:
        own = by_label.get(registry.label(name)) if user_file.is_reference(name) else None
        sha256 = settings.learner_sha256.get(name)
        reference = user_file.of_run(name, sha256, own, folder, "search --resume")
        reference = registry.absolute(reference) if user_file.is_reference(reference) else reference
        names.append(reference)
        hashes |= {} if sha256 is None else {reference: sha256}
    return replace(settings, learners=tuple(names), learner_sha256=hashes)


@contextmanager
def _stopping(go_on: str) -> Iterator[None]:
    """Names the command that goes on wherever the search stops; turns the first stop signal into `Stopped`.

    The search's record is always whole.

    Raises:
        Stopped: If a stop signal comes.
        TrainingError: If a file cannot be read or written, or a process is lost again and again.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for kind in STOP_SIGNALS:
            signal.signal(kind, signal.SIG_IGN)  # what follows takes a moment
        name = signal.Signals(number).name
        raise Stopped(f"stopped by {name}; go on with: {go_on}")

    with ExitStack() as stack:
        with suppress(ValueError):  # not in the main thread: whoever called handles signals
            for kind in STOP_SIGNALS:
                stack.callback(signal.signal, kind, signal.signal(kind, stop))
        try:
            yield
        except (FolderGoneError, Stopped):
            raise
        except (OSError, TrainingError) as error:
            if user_file.blame(error):
                raise
            raise TrainingError(f"{error}; go on with: {go_on}") from error


def _table(space: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """The [search] table of a file, or a table that is given.

    Raises:
        UserError: If the file has none.
    """
    if space is None:
        return {}
    if isinstance(space, Mapping):
        return json.loads(json.dumps(space))
    table = read_toml(Path(space), Path(space)).get("search")
    if not isinstance(table, dict):
        raise UserError(f"{space} has no table [search]")
    return table

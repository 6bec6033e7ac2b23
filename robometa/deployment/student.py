"""A distilled policy on disk, and beside its teacher in a table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import torch as safetensors

from robometa import registry
from robometa.deployment.distil import STUDENT, Distilled, Settings, distilled, require_memory
from robometa.deployment.forms import Form, acting_parameters, table
from robometa.deployment.kept import Exam, Kept
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.policies import card, policy_folder
from robometa.policies.latency import latency
from robometa.policies.manifest import PolicyManifest, Teacher, TrainingRecord
from robometa.policies.policy import Policy
from robometa.storage.paths import path_without_machine, require_writable, unwritable
from robometa.storage.versions import versions
from robometa.training.load import newest

Say = Callable[[str], None]


@dataclass(frozen=True)
class Student:
    """A student that was written."""

    folder: Path
    result: Distilled
    kept: Kept
    forms: tuple[str, ...]
    """Lines that compare it with its teacher."""


def distil(
    policy: Path, settings: Settings, *, out: Path, learner: str | None = None, say: Say = lambda text: None
) -> Student:
    """Distils a policy into a smaller memory, measures both on held-out tasks, and writes the student's folder.

    Args:
        policy: Folder of the teacher, or of a run.
        settings: Sizes and limits.
        out: Folder of the student, which must not be there.
        learner: `FILE.py:CLASS`, for a teacher whose learner is one of the user's own.
        say: Takes a line after each round.

    Raises:
        UserError: If the teacher does not remember its trial, or the folder is there.
    """
    _require_free(out)
    source = newest(policy)
    loaded, suite, manifest = source.load(None, learner=learner)
    teacher = require_memory(loaded, registry.label(manifest.learner))
    began, code = time.perf_counter(), versions()
    result = distilled(teacher, suite, settings, say)
    about = replace(
        _record(source.folder, manifest, settings, result),
        wall_time_seconds=round(time.perf_counter() - began, 1),
        versions=code,
    )
    text = card.text(STUDENT, result.student, suite, about)
    try:
        policy_folder.save_policy(out, result.student, STUDENT, suite, about, text, replacing=False)
    except FileExistsError:  # another process has made it meanwhile
        _require_free(out)
        raise
    except OSError as error:
        raise unwritable(out, error) from None
    exam = Exam(teacher, suite)
    own, small = exam.returns_of(teacher), exam.returns_of(result.student)
    kept = exam.kept(small, own)
    forms = (
        Form("teacher", *_sizes(teacher), latency(Policy(teacher, suite, "teacher")), own, None),
        Form("student", *_sizes(result.student), latency(Policy(result.student, suite, STUDENT)), small, kept),
    )
    return Student(out, result, kept, tuple(table(exam, forms)))


def _require_free(out: Path) -> None:
    if os.path.lexists(out):
        raise UserError(f"{out} exists already: choose another --out")
    require_writable(out)


def _sizes(learner: Learner) -> tuple[int, int]:
    """Bytes of a policy's tensors, and number of its acting weights."""
    state = policy_folder.state_of(learner)
    content = safetensors.save({name: value.detach().contiguous().clone() for name, value in state.items()})
    return len(content), acting_parameters(learner)


def _record(teacher: Path, manifest: PolicyManifest, settings: Settings, result: Distilled) -> TrainingRecord:
    """Training entry of the student's manifest, but for the time and the versions."""
    return TrainingRecord(
        seed=settings.seed,
        preset="gru",
        iterations=result.best,
        environment_steps=result.environment_steps,
        wall_time_seconds=0.0,
        versions={},
        processors=1,
        last_returns={},
        torch_threads=1,
        teacher=Teacher(
            policy=path_without_machine(teacher),
            sha256=manifest.tensors_sha256,
            learner=registry.label(manifest.learner),
            seed=manifest.training.seed,
            size=settings.size,
            rounds=settings.rounds,
            steps=settings.steps,
        ),
    )

"""Exports a trained policy to files that run without torch, and verifies them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import torch as safetensors
from torch import Tensor

from robometa.deployment import contract as contracts
from robometa.deployment.adapt_graph import AdaptGraph, adapt_graph
from robometa.deployment.baked import baked
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.forms import Form, acting_parameters, require_enough, step_time, table
from robometa.deployment.int8 import quantized
from robometa.deployment.kept import Exam, Kept
from robometa.deployment.places import ADAPT, CONTRACT, STEP, VECTORS, require_place
from robometa.deployment.same_inputs import MAX_TOLERANCE, TOLERANCE, largest_gap, recorded, require_equal
from robometa.deployment.same_returns import TASKS, WORLDS, Returns, require_within, returns_of
from robometa.deployment.step_graph import NEXT, StepGraph
from robometa.deployment.tensors import Layout, layout_of
from robometa.deployment.to_onnx import onnx_bytes, require_onnx
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.policies.policy import Policy
from robometa.policies.policy_folder import state_of
from robometa.progress import phases
from robometa.rl.planning_learner import PlanningLearner
from robometa.sim.oracle import HiddenNumbers
from robometa.storage import atomic
from robometa.storage.open_folder import opened
from robometa.storage.paths import unwritable


@dataclass(frozen=True)
class Export:
    """An export that was verified."""

    folder: Path
    files: dict[str, int]
    """Sizes by name, bytes."""
    gap: float
    """Largest gap on equal inputs."""
    policy_returns: Returns
    returns: Returns
    forms: tuple[str, ...] = ()
    """Lines that compare int8 with float32; none for float32."""


@dataclass(frozen=True)
class Converted:
    """A policy as files that are not written yet."""

    contract: dict[str, Any]
    step: bytes
    """Content of `step.onnx`, with float32 weights."""
    adapt: bytes | None
    """Content of `adapt.onnx`; None where the policy adapts as it acts, or not at all."""
    vectors: dict[str, Tensor]
    """Steps of the policy with their inputs and outputs."""


def export(
    policy: Policy,
    out: Path,
    *,
    shots: int = 0,
    task: int = 0,
    license_text: str = "not stated",
    int8: bool = False,
    force: bool = False,
) -> Export:
    """Exports a policy, verifies the files, and writes them.

    Args:
        policy: The policy.
        out: Folder to write; an export that is there is replaced.
        shots: Adaptations to bake in, in simulation.
        task: Index of the held-out task that these adapt to.
        license_text: Licence of the policy, for whoever gets the files.
        int8: Round the weights of a step to 8 bits.
        force: Export int8 weights that keep too little of the policy's gain.

    Returns:
        Sizes and results of the verification.

    Raises:
        UserError: If the learner acts by no network, a package is missing, the folder holds anything else than an
            export, the files do not act as the policy does, or int8 weights keep too little.
    """
    require_onnx()
    require_place(out)
    require_network(policy)
    if not 0 <= task < len(policy.suite.test):
        raise UserError(f"task must be from 0 to {len(policy.suite.test) - 1}, not {task}")
    with phases(4 + int8) as phase:
        phase("writing graphs")
        words, tasks = "", None
        if shots:
            learner = baked(policy.learner, policy.suite, policy.suite.test[task], shots)
            policy = copy.copy(policy)
            policy.learner = cast(Learner, learner)
            words, tasks = policy.suite.test[task].describe(), [task]
        weights = "int8" if int8 else "float32"
        made = converted(policy, shots=shots, task=words, license_text=license_text, weights=weights)
        contract, whole, adapt, vectors = made.contract, made.step, made.adapt, made.vectors
        step = quantized(whole) if int8 else whole
        with closing(ExportedLearner(contract, step, adapt)) as exported:
            steps = (whole, step) if int8 else None
            verified = _verify(policy, exported, vectors, tasks, steps, phase, adapts=adapt is not None, force=force)
    files = {STEP: step, VECTORS: safetensors.save(vectors)} | ({} if adapt is None else {ADAPT: adapt})
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    files[CONTRACT] = contracts.text_of(contract | verified.entries | {"sha256": hashes}).encode()
    _write(out, files)
    sizes = {name: len(content) for name, content in sorted(files.items())}
    return Export(out, sizes, verified.gap, verified.policy_returns, verified.returns, verified.forms)


def converted(
    policy: Policy, *, shots: int = 0, task: str = "", license_text: str = "not stated", weights: str = "float32"
) -> Converted:
    """Converts a policy, and records steps of it to compare the files with.

    Args:
        policy: The policy.
        shots: Adaptations that were baked in.
        task: Description of the task that these adapted to.
        license_text: Licence of the policy.
        weights: Kind of the weights that the contract names, `float32` or `int8`.

    Raises:
        UserError: If its adaptation cannot be exported.
    """
    hidden = len(HiddenNumbers(policy.suite).names) if policy.learner.sees_parameters else 0
    observation = len(policy.spaces.observation) + hidden
    layout = layout_of(policy.learner, policy.learner_name, observation, len(policy.spaces.action))
    graph = None if shots else adapt_graph(policy.learner, [part.initial for part in layout.parts])
    contract = contracts.contract_of(
        policy, layout, graph, shots=shots, task=task, license_text=license_text, weights=weights
    )
    step = _step(policy, layout, observation, contract, fixed=shots > 0)
    adapt = None if graph is None else _adapt(graph, layout, contract)
    vectors = recorded(policy, layout, graph is not None)
    return Converted(contract, step, adapt, vectors)


def require_network(policy: Policy) -> None:
    """Checks that a policy is a network.

    Raises:
        UserError: If it plans, or has no parameters.
    """
    learner: object = policy.learner
    if isinstance(learner, PlanningLearner):
        raise UserError(
            f"{policy.learner_name} cannot be exported: it plans with a model at every step, and no network holds its "
            "actions"
        )
    if not state_of(policy.learner):
        raise UserError(f"{policy.learner_name} cannot be exported: it has no parameters, and so no network")


def _step(policy: Policy, layout: Layout, observation: int, contract: dict[str, Any], *, fixed: bool) -> bytes:
    from robometa.deployment.onnx_cells import TRANSLATIONS

    graph = StepGraph(policy.learner, layout, policy.spaces, fixed)
    return onnx_bytes(
        graph,
        graph.examples(observation),
        graph.inputs(),
        graph.outputs(),
        contracts.metadata(contract),
        translations=TRANSLATIONS,
        flat=True,
    )


def _adapt(graph: AdaptGraph, layout: Layout, contract: dict[str, Any]) -> bytes:
    from robometa.deployment.onnx_loops import TRANSLATIONS

    parts = [part.name for part in layout.parts]
    return onnx_bytes(
        graph.graph,
        graph.examples,
        [*parts, *(["draw"] if graph.draws else []), *graph.columns],
        [name + NEXT for name in parts],
        contracts.metadata(contract),
        dynamic=graph.dynamic,
        translations=TRANSLATIONS,
    )


@dataclass(frozen=True)
class _Verified:
    """Result of a verification."""

    gap: float
    policy_returns: Returns
    returns: Returns
    forms: tuple[str, ...]
    entries: dict[str, Any]
    """Entries of the contract."""


def _verify(
    policy: Policy,
    exported: ExportedLearner,
    vectors: dict[str, Tensor],
    tasks: list[int] | None,
    steps: tuple[bytes, bytes] | None,
    phase: Callable[[str], None],
    *,
    adapts: bool,
    force: bool,
) -> _Verified:
    """Compares exported files with the policy.

    Args:
        policy: The policy.
        exported: The files.
        vectors: The policy's outputs on inputs of a simulation.
        tasks: Tasks to simulate; those of a float32 export if None.
        steps: The step's graph with weights of float32 and of int8; None for an export of the former.
        phase: Called with words for each phase as it begins.
        adapts: There is a graph that adapts.
        force: Take int8 weights that keep too little.

    Raises:
        UserError: If the files do not act as the policy does, or int8 weights keep too little.
    """
    phase("comparing actions")
    gap = largest_gap(exported, vectors)
    entries, forms = dict[str, Any](), tuple[str, ...]()
    if steps is None:
        require_equal(gap)
    else:
        phase("what int8 weights keep")
        kept, forms = _rounded(policy, exported, steps, tasks)
        if not force:
            require_enough(kept, "int8")
        entries = {"tolerance": min(max(TOLERANCE, 2 * gap), MAX_TOLERANCE), "kept": kept.to_json()}
    returns, wanted = _compared(policy, exported, tasks, phase, adapts=adapts)
    if steps is None:
        require_within(returns, wanted)
    return _Verified(gap, wanted, returns, forms, entries | {"returns": wanted if steps is None else returns})


def _compared(
    policy: Policy, exported: ExportedLearner, tasks: list[int] | None, phase: Callable[[str], None], *, adapts: bool
) -> tuple[Returns, Returns]:
    """Returns of the exported files, and of the policy."""
    learner = policy.learner
    # After baked shots the task counts that they adapted to; what adapts by no file is compared before it does.
    remembers = any(part["changed_by"] == "step" for part in exported.contract["adaptation"])
    shots = 1 if tasks is None and (adapts or remembers) else 0
    chosen = tasks or list(range(min(TASKS, len(policy.suite.test))))
    worlds = learner.config.worlds if learner.pools_worlds and shots else WORLDS
    phase("the policy's return")
    wanted = returns_of(learner, policy.suite, chosen, worlds, shots)
    phase("the files' return")
    returns = returns_of(exported, policy.suite, chosen, worlds, shots)
    return returns, wanted


def _rounded(
    policy: Policy, exported: ExportedLearner, steps: tuple[bytes, bytes], tasks: list[int] | None
) -> tuple[Kept, tuple[str, ...]]:
    """The part of the gain that rounded weights keep, and lines that compare them with the policy's."""
    exam, parameters = Exam(policy.learner, policy.suite, tasks), acting_parameters(policy.learner)
    whole, step = steps
    own, rounded = exam.returns_of(policy.learner), exam.returns_of(exported)
    kept = exam.kept(rounded, own)
    forms = (
        Form("float32", len(whole), parameters, step_time(whole), own, None),
        Form("int8", len(step), parameters, step_time(step), rounded, kept),
    )
    return kept, tuple(table(exam, forms))


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Writes a folder aside and puts it into its place.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        with opened(out.parent, create=True) as parent, atomic.aside(parent, out.name) as folder:
            for name, content in files.items():
                atomic.write(folder, name, content)
            require_place(out)
            atomic.publish_over(parent, folder, out.name)
    except OSError as error:
        raise unwritable(out, error) from None

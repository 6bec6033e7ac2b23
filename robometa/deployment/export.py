"""Exports a trained policy to files that run without torch, and verifies them."""

from __future__ import annotations

import copy
import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from safetensors import torch as safetensors

from robometa.deployment import contract as contracts
from robometa.deployment.adapt_graph import AdaptGraph, adapt_graph
from robometa.deployment.baked import baked
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.places import ADAPT, CONTRACT, STEP, VECTORS, require_place
from robometa.deployment.same_inputs import largest_gap, recorded, require_equal
from robometa.deployment.same_returns import TASKS, WORLDS, Returns, require_within, returns_of
from robometa.deployment.step_graph import NEXT, StepGraph
from robometa.deployment.tensors import Layout, layout_of
from robometa.deployment.to_onnx import onnx_bytes, require_onnx
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.policies.policy import Policy
from robometa.policies.policy_folder import state_of
from robometa.rl.planning_learner import PlanningLearner
from robometa.sim.oracle import HiddenNumbers
from robometa.storage import atomic
from robometa.storage.open_folder import opened


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


def export(policy: Policy, out: Path, *, shots: int = 0, task: int = 0, license_text: str = "not stated") -> Export:
    """Exports a policy, verifies the files, and writes them.

    Args:
        policy: The policy.
        out: Folder to write; an export that is there is replaced.
        shots: Adaptations to bake in, in simulation.
        task: Index of the held-out task that these adapt to.
        license_text: Licence of the policy, for whoever gets the files.

    Returns:
        Sizes and results of the verification.

    Raises:
        UserError: If the learner acts by no network, a package is missing, the folder holds anything else than an
            export, or the files do not act as the policy does.
    """
    require_onnx()
    require_place(out)
    _require_network(policy)
    if not 0 <= task < len(policy.suite.test):
        raise UserError(f"task must be from 0 to {len(policy.suite.test) - 1}, not {task}")
    if shots:
        learner = baked(policy.learner, policy.suite, policy.suite.test[task], shots)
        policy = copy.copy(policy)
        policy.learner = cast(Learner, learner)
    told = len(HiddenNumbers(policy.suite).names) if policy.learner.sees_parameters else 0
    observation = len(policy.spaces.observation) + told
    layout = layout_of(policy.learner, policy.learner_name, observation, len(policy.spaces.action))
    graph = None if shots else adapt_graph(policy.learner, [part.initial for part in layout.parts])
    words = policy.suite.test[task].describe() if shots else ""
    contract = contracts.contract_of(policy, layout, graph, shots=shots, task=words, license_text=license_text)
    step = _step(policy, layout, observation, contract, fixed=shots > 0)
    adapt = None if graph is None else _adapt(graph, layout, contract)
    vectors = recorded(policy, layout, graph is not None)
    with closing(ExportedLearner(contract, step, adapt)) as exported:
        gap = largest_gap(exported, vectors)
        require_equal(gap)
        returns, wanted = _compared(policy, exported, [task] if shots else None, adapts=graph is not None)
    files = {STEP: step, VECTORS: safetensors.save(vectors)} | ({} if adapt is None else {ADAPT: adapt})
    described = contract | {
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
        "returns": wanted,
    }
    files[CONTRACT] = contracts.text_of(described).encode()
    _write(out, files)
    return Export(out, {name: len(content) for name, content in sorted(files.items())}, gap, wanted, returns)


def _require_network(policy: Policy) -> None:
    """Checks that the policy is a network.

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
    graph = StepGraph(policy.learner, layout, policy.spaces, fixed)
    names = graph.inputs(), graph.outputs()
    return onnx_bytes(graph, graph.examples(observation), *names, contracts.metadata(contract))


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


def _compared(
    policy: Policy, exported: ExportedLearner, tasks: list[int] | None, *, adapts: bool
) -> tuple[Returns, Returns]:
    """Returns of the exported files, and of the policy.

    Raises:
        UserError: If the first are outside the interval of the second.
    """
    learner = policy.learner
    # After baked shots the task counts that they adapted to; what adapts by no file is compared before it does.
    remembers = any(part["changed_by"] == "step" for part in exported.contract["adaptation"])
    shots = 1 if tasks is None and (adapts or remembers) else 0
    chosen = tasks or list(range(min(TASKS, len(policy.suite.test))))
    worlds = learner.config.worlds if learner.pools_worlds and shots else WORLDS
    wanted = returns_of(learner, policy.suite, chosen, worlds, shots)
    found = returns_of(exported, policy.suite, chosen, worlds, shots)
    require_within(found, wanted)
    return found, wanted


def _write(out: Path, files: dict[str, bytes]) -> None:
    """Writes a folder aside and puts it into its place."""
    atomic.recover(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with opened(out.parent) as parent, atomic.aside(parent, out.name) as folder:
        for name, content in files.items():
            atomic.write(folder, name, content)
        require_place(out)
        atomic.publish_over(parent, folder, out.name)

"""Writes the page: one HTML file with a simulator, the exported policies and their robots, which needs no network."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robometa import registry
from robometa.deployment.export import Converted, converted, require_network
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.page.graphs import graph_of
from robometa.deployment.page.handles import handles_of, variations_of
from robometa.deployment.page.robot import robot_of
from robometa.deployment.same_inputs import largest_gap, require_equal
from robometa.deployment.to_onnx import require_onnx
from robometa.errors import UserError
from robometa.policies.policy import Policy
from robometa.storage import atomic
from robometa.storage.paths import require_page, unwritable

FOLDER = Path(__file__).parent
TEMPLATE, SIMULATOR = FOLDER / "page.html", FOLDER / "mujoco.wasm.gz"
"""The page without policies and simulator, and MuJoCo in WebAssembly. `make page` builds both."""
PLACES = {"mujoco": "@MUJOCO@", "policies": "@POLICIES@"}
"""Places in the template for what the page carries."""
MAX_TASKS = 50
"""Held-out tasks that a page lists."""


@dataclass(frozen=True)
class Page:
    """A page that was written."""

    path: Path
    size: int
    """Bytes."""
    gaps: dict[str, float]
    """Largest gap between a policy and its exported graphs on equal inputs, by name."""


def save(policies: dict[str, Policy], path: Path, license_text: str = "not stated") -> Page:
    """Writes the page of some policies.

    Args:
        policies: Policies by the name that the page shows.
        path: File to write, which is replaced.
        license_text: Licence of the policies.

    Raises:
        UserError: If a policy cannot be shown, or the file cannot be written.
    """
    require_onnx()
    require_page(path)
    gaps, described = {}, []
    for name, policy in policies.items():
        require_shown(policy)
        exported = converted(policy, license_text=license_text)
        with closing(ExportedLearner(exported.contract, exported.step, exported.adapt)) as learner:
            gaps[name] = largest_gap(learner, exported.vectors)
        require_equal(gaps[name])
        described.append(described_policy(name, policy, exported))
    content = html(described).encode()
    try:
        atomic.replace_file(path, content)
    except OSError as error:
        raise unwritable(path, error) from None
    return Page(path, len(content), gaps)


def require_shown(policy: Policy) -> None:
    """Checks that a page can show a policy.

    Raises:
        UserError: If its suite is simulated otherwise, or it sees what the page hides.
    """
    require_network(policy)
    suite = policy.suite
    if suite.family.name != "locomotion":
        raise UserError(f"a page shows locomotion suites, and {suite.name} is of {suite.family.title}")
    if policy.learner.sees_parameters:
        raise UserError(f"a page shows how a policy finds out what is hidden, and {policy.learner_name} sees it")


def described_policy(name: str, policy: Policy, exported: Converted) -> dict[str, Any]:
    """All that the page needs of a policy."""
    suite, learner = policy.suite, policy.learner
    task = suite.train[0]
    return {
        "name": name,
        "learner": policy.learner_name,
        "method": _method(policy),
        "suite": {"name": suite.name, "about": suite.about},
        "contract": exported.contract,
        "step": graph_of(exported.step),
        "adapt": None if exported.adapt is None else graph_of(exported.adapt),
        "adapts": {"episodes": learner.config.worlds if learner.pools_worlds else 1, "pools": learner.pools_worlds},
        "robot": robot_of(suite),
        "task": {"objective": suite.objective, "coefficients": dict(task.coefficients), "horizon": suite.horizon},
        "handles": handles_of(suite),
        "variations": variations_of(suite),
        "tasks": [
            {"label": f"{index}: {one.describe()}", "parameters": {key: list(value) for key, value in one.parameters}}
            for index, one in enumerate(suite.test[:MAX_TASKS])
        ],
    }


def html(policies: Sequence[dict[str, Any]]) -> str:
    """The page. Whatever a policy says is inside as base64 alone, and reaches the document as text."""
    text = json.dumps(policies, allow_nan=False, separators=(",", ":"), sort_keys=True)
    packed = {"mujoco": _read(SIMULATOR), "policies": gzip.compress(text.encode(), mtime=0)}
    page = _read(TEMPLATE).decode()
    for name, place in PLACES.items():
        page = page.replace(place, base64.b64encode(packed[name]).decode("ascii"))
    return page


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path.name} is missing in this installation: `make page` builds it") from None


def _method(policy: Policy) -> str:
    """A sentence about the learner; empty for one of the user's own."""
    known = registry.LEARNERS.get(policy.learner_name)
    return "" if known is None else known.about

"""Exported files as a learner, which acts in this package's engines through onnxruntime."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robometa.data import Rollout, Step
from robometa.deployment.adapt_graph import COLUMNS
from robometa.deployment.onnx_files import OnnxFiles
from robometa.deployment.step_graph import NEXT
from robometa.errors import UserError
from robometa.noise import Noise

Array = NDArray[Any]
Adaptation = list[list[dict[str, Array]]]
"""Tensors by name, of each task and world; of each task only if worlds are pooled."""
STEP, ADAPT = 0, 1
"""Numbers of the files in their process."""


class ExportedLearner:
    """Acts and adapts by exported files; it cannot be trained."""

    sees_parameters: bool
    pools_worlds: bool

    def __init__(self, contract: dict[str, Any], step: bytes, adapt: bytes | None) -> None:
        """Takes a contract, which must be sound, and the files' contents.

        Raises:
            UserError: If onnxruntime cannot load a file.
        """
        self.contract, self.device = contract, torch.device("cpu")
        self.pools_worlds = contract["adapt"]["pools_worlds"]
        self.sees_parameters = bool(contract["told"])
        self._parts = contract["adaptation"]
        self._adapts = adapt is not None
        self._files = OnnxFiles(step, *(() if adapt is None else (adapt,)))

    def close(self) -> None:
        """Ends the process that runs the files."""
        self._files.close()

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Adaptation:
        """Initial tensors of every task and world."""
        draws = {part["name"]: noise.normal(part["size"]).numpy() for part in self._parts if _is_drawn(part)}
        initial = {part["name"]: decoded(part) for part in self._parts if not _is_drawn(part)}
        rows = 1 if self.pools_worlds else worlds
        return [
            [initial | {name: draw[task, world : world + 1] for name, draw in draws.items()} for world in range(rows)]
            for task in range(tasks)
        ]

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """Actions of every world, as the learner emits them, and the adaptation after the step."""
        action = torch.empty_like(step.last_action)
        after: Adaptation = [list(of_task) for of_task in adaptation]
        for task in range(action.shape[0]):
            for world in range(action.shape[1]):
                place = 0 if self.pools_worlds else world
                emitted, _, after[task][place] = self.step(
                    after[task][place],
                    *(part[task, world] for part in (step.obs, step.last_action, step.last_reward, step.last_done)),
                    noise[task, world],
                )
                action[task, world] = torch.from_numpy(emitted)
        return action, after

    def step(self, adaptation: dict[str, Array], *given: Tensor) -> tuple[Array, Array, dict[str, Array]]:
        """Emitted action, action in the actuators' units, and adaptation after one step of one world.

        Args:
            adaptation: Tensors by name.
            *given: Observation, last action, last reward, last end, noise.
        """
        names = ("obs", "last_action", "last_reward", "last_done", "noise")
        feed = {name: value.reshape(1, -1).float().numpy() for name, value in zip(names, given, strict=True)}
        outputs = self._files.run(STEP, feed | adaptation)
        actions = (_fitting(outputs, name, feed["last_action"]) for name in ("emitted_action", "action"))
        emitted, action = (one[0] for one in actions)
        carried = {
            name: _fitting(outputs, name + NEXT, value) if name + NEXT in outputs else value
            for name, value in adaptation.items()
        }
        return emitted, action, carried

    def adapt(self, adaptation: Adaptation, rollout: Rollout, noise: Noise) -> Adaptation:
        """Adaptations after one more rollout; unchanged where there is no `adapt.onnx`."""
        if not self._adapts:
            return adaptation
        columns = {name: getattr(rollout, name).float().numpy() for name in COLUMNS}
        sizes = [part["size"] for part in self._parts if _is_drawn(part)]
        draws = noise.normal(*sizes).numpy() if sizes else np.zeros((noise.tasks, noise.worlds, 1), np.float32)
        after: Adaptation = []
        for task, of_task in enumerate(adaptation):
            after.append([])
            for world, one in enumerate(of_task):
                worlds = slice(None) if self.pools_worlds else slice(world, world + 1)
                feed = {**one, "draw": draws[task, world : world + 1]}
                feed |= {name: column[task, worlds] for name, column in columns.items()}
                outputs = self._files.run(ADAPT, feed)
                changed = {name: name + NEXT for name in one if name + NEXT in outputs}
                after[-1].append(one | {name: _fitting(outputs, new, one[name]) for name, new in changed.items()})
        return after


def _fitting(outputs: dict[str, Array], name: str, like: Array) -> Array:
    """An output, which must be like another array.

    Raises:
        UserError: If it is missing, or has another shape or kind.
    """
    value = outputs.get(name)
    if value is None or value.shape != like.shape or value.dtype != np.float32:
        kind = "none" if value is None else f"{value.dtype} {list(value.shape)}"
        raise UserError(f"an exported ONNX file must give {name} as float32 {list(like.shape)}, not {kind}")
    return value


def encoded(value: Tensor) -> str:
    """Numbers as base64 of little-endian float32."""
    return base64.b64encode(value.detach().numpy().astype("<f4").tobytes()).decode("ascii")


def decoded(part: dict[str, Any]) -> Array:
    """Initial value of a tensor of the contract. `[1, number]`."""
    return np.frombuffer(base64.b64decode(part["initial"]), "<f4").astype(np.float32).reshape(1, part["size"])


def _is_drawn(part: dict[str, Any]) -> bool:
    return part["initial"] == DRAWN


DRAWN = "standard normal"
"""Initial value in the contract of a tensor that is drawn at each reset."""

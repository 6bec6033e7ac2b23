"""The wires of the GPU engine: controls of every physics step, and gains in the model's own arrays."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import mujoco_warp
import numpy as np
import torch
import warp
from torch import Tensor

from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.wiring import Wiring
from robometa.suites.suite import Suite

GAINS = ("actuator_gainprm", "actuator_biasprm")
"""Fields of the model that gains with errors change."""


class WarpWires(Wiring):
    """Wires of every world on a device; a captured graph may hold the address of each tensor."""

    def __init__(self, suite: Suite, model: mujoco.MjModel, reader: Reader, count: int) -> None:
        """Prepares the wires.

        Args:
            suite: Suite of the tasks.
            model: Compiled model of the robot.
            reader: Reads its states.
            count: Worlds of all tasks together.

        Raises:
            UserError: If a delay does not fit the steps.
        """
        super().__init__(suite, model, reader, count)
        self._path = torch.zeros(suite.robot.frame_skip, count, model.nu, device=self.memory.device)
        self.controls = [warp.from_torch(part) for part in self._path]
        """Controls of each physics step, in the same memory. `[physics step][world, actuator]`"""
        self._nominal: list[Tensor] = []
        self._on_device: list[Tensor] = []

    def use(self, models: Sequence[mujoco.MjModel], on_device: mujoco_warp.Model) -> None:
        """Takes the models of the tasks, and the arrays of the model on the device."""
        self.assign(models)
        if self.gains is None:
            return
        arrays = [warp.to_torch(getattr(on_device, name)) for name in GAINS]
        same = [one.data_ptr() for one in arrays] == [one.data_ptr() for one in self._on_device]
        if not same:
            self._on_device, self._nominal = arrays, [array.clone() for array in arrays]
        for nominal, array in zip(self._nominal, arrays, strict=True):
            nominal.copy_(array)

    def tell(self, action: Tensor) -> None:
        """Converts actions to the controls of every physics step. `[world, action]`."""
        self._path.copy_(self.act(action).movedim(1, 0))

    def set_gains(self) -> None:
        """Gives every world's actuators the gains of its episode."""
        gains = self.gains
        if gains is not None:
            for array, nominal in zip(self._on_device, self._nominal, strict=True):
                array.copy_(nominal * gains.unsqueeze(-1))

    def kept(self) -> np.ndarray:
        """The memory of every world, in double precision. `[world, number]`. Waits for the device."""
        memory: np.ndarray = self.memory.double().cpu().numpy()
        return memory

    def put_back(self, memory: np.ndarray) -> None:
        """Puts every world's memory back. `[task, world, number]`."""
        self.memory.copy_(torch.from_numpy(memory).reshape(self.memory.shape))
        self.set_gains()

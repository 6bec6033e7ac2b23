"""The pool of threads that steps MuJoCo's simulations."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from mujoco import rollout

PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS
CONTROL = int(mujoco.mjtState.mjSTATE_CTRL)


class Pool:
    """Threads that step many worlds, each with a model of its own; no warmstart is carried over."""

    def __init__(self, model: mujoco.MjModel, threads: int) -> None:
        """Starts the threads.

        Args:
            model: Any of the models, which have equal sizes.
            threads: Number of threads.
        """
        self._model = model
        self._datas = [mujoco.MjData(model) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)

    def run(
        self,
        models: Sequence[mujoco.MjModel],
        states: np.ndarray,
        controls: np.ndarray,
        path: np.ndarray,
        readings: np.ndarray,
    ) -> None:
        """Steps every world, as often as there are controls for it.

        Args:
            models: Model of each world.
            states: States to start from. `[world, state]`
            controls: Controls. `[world, physics step, actuator]`
            path: Array for the states after each step. `[world, physics step, state]`
            readings: Array for the sensor readings of each step. `[world, physics step, reading]`
        """
        self._pool.rollout(
            models,
            self._datas,
            states,
            controls,
            control_spec=CONTROL,
            skip_checks=True,
            nstep=controls.shape[1],
            state=path,
            sensordata=readings,
        )

    def sense(self, models: Sequence[mujoco.MjModel], states: np.ndarray, resting: np.ndarray) -> np.ndarray:
        """Reads the sensors of worlds in some states, with the actuators at rest. `[world, reading]`."""
        # A physics step computes the sensors of the state that it starts from.
        count = len(states)
        readings = np.empty((count, 1, self._model.nsensordata))
        rest = np.ascontiguousarray(np.broadcast_to(resting, (count, 1, self._model.nu)))
        self.run(models, states, rest, np.empty((count, 1, states.shape[1])), readings)
        return readings[:, 0]

    def close(self) -> None:
        """Ends the threads."""
        self._pool.close()

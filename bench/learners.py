"""Times of an iteration of MAML-TRPO and of RL^2, and of a gradient step of PEARL."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from bench.measure import STEPS, Comparison, Contest, Figure, Values, ratio
from bench.pearl_reference import Reference
from bench.physics import Replay, sampled_replay
from bench.size import Size, with_horizon
from robometa import suites
from robometa.learners import grbal as grbal_learner
from robometa.learners.maml_trpo import Config, MamlTrpo
from robometa.learners.pearl import PRESETS, Pearl
from robometa.learners.rl2 import Config as Rl2Config
from robometa.learners.rl2 import Rl2
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.suite import Suite
from robometa.training.loop import task_batch
from robometa.trials.trial import collect, run_trial


@contextmanager
def maml_trpo(size: Size) -> Iterator[Contest]:
    """Whole iterations on half-cheetah-direction, beside the raw limit of the same number of steps."""
    tasks, worlds, horizon = size.meta_batch
    suite = with_horizon(suites.load("half-cheetah-direction"), horizon)
    noise = Noise(0, ("bench",), tasks, worlds)
    with ExitStack() as stack:
        engine = stack.enter_context(closing(CpuEngine(suite, tasks, worlds)))
        learner = MamlTrpo(Config(tasks=tasks, worlds=worlds), engine.spaces, seed=0)
        maml_iteration(engine, learner, noise)
        memory = peak_memory()
        adaptation = learner.begin(tasks, worlds, noise)
        raw = stack.enter_context(closing(sampled_replay(engine, learner, adaptation, noise)))
        yield Contest(
            (
                Figure("raw C limit", "s"),
                Figure("sampling and adapting", "s"),
                Figure("update", "s"),
                Figure("iteration", "s"),
                Figure("peak memory", "GiB"),
            ),
            (
                partial(raw_seconds, raw, 2 * tasks * worlds * horizon),
                partial(maml_iteration, engine, learner, noise),
                lambda: {"peak memory": memory},
            ),
            (
                at_most("iteration", "iteration", 3.5, "s"),
                Comparison(
                    "iteration / raw C limit",
                    lambda values: quotient(values, "iteration", "raw C limit"),
                    1.6,
                    at_least=False,
                ),
                at_most("peak memory", "peak memory", 4.0, "GiB"),
            ),
        )


def raw_seconds(raw: Replay, steps: int) -> dict[str, float]:
    """Time of MuJoCo alone for the steps."""
    return {"raw C limit": steps / raw.speed()}


def at_most(name: str, figure: str, target: float, unit: str) -> Comparison:
    """A figure with an upper bound."""
    return Comparison(name, lambda values: values[figure], target, at_least=False, unit=unit)


def quotient(values: Values, over: str, under: str) -> list[float]:
    """One figure divided by another, round by round."""
    return [a / b for a, b in zip(values[over], values[under], strict=True)]


def iteration(engine: CpuEngine, learner: MamlTrpo | Rl2, noise: Noise) -> tuple[float, float, int]:
    """Seconds of sampling and of the update of an iteration as training runs it, and its environment steps."""
    suite, started = engine.suite, perf_counter()
    indices = task_batch(len(suite.train), engine.tasks, noise.seed, 0)
    trial = run_trial(engine, learner, suite.train, indices, learner.config.shots, noise)
    sampled = perf_counter()
    learner.update(trial)
    return sampled - started, perf_counter() - sampled, trial.steps()


def maml_iteration(engine: CpuEngine, learner: MamlTrpo, noise: Noise) -> dict[str, float]:
    """An iteration, s."""
    sampling, update, _ = iteration(engine, learner, noise)
    return {"sampling and adapting": sampling, "update": update, "iteration": sampling + update}


def peak_memory() -> float:
    """The most memory that this process has held so far, GiB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Unlike getrusage's, this peak does not begin with that of the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


@contextmanager
def pearl(size: Size) -> Iterator[Contest]:
    """Gradient steps of both presets on half-cheetah-velocity; the storing of a trial is shared out among them."""
    suite = with_horizon(suites.load("half-cheetah-velocity"), size.horizon)
    steps = dict(size.gradient_steps)
    entries = [pearl_entry(suite, preset, count) for preset, count in steps.items()]
    cpu, paper = step_name("cpu"), step_name("paper")
    yield Contest(
        (*(Figure(step_name(preset), "ms") for preset in steps), Figure(REFERENCE, "ms")),
        (*entries, reference_entry(suite, steps["paper"])),
        (
            Comparison("paper / reference", lambda values: quotient(values, paper, REFERENCE), 0.8, at_least=False),
            Comparison("reference / cpu", lambda values: quotient(values, REFERENCE, cpu), 10.0),
            Comparison("paper / cpu", lambda values: quotient(values, paper, cpu), 10.0),
        ),
    )


REFERENCE = "gradient step as the reference takes it"


def reference_entry(suite: Suite, steps: int) -> Callable[[], dict[str, float]]:
    """Meter of the reference's step at the paper's sizes."""
    with closing(CpuEngine(suite, 1, 1)) as engine:
        reference = Reference(PRESETS["paper"], engine.spaces)

    def measure() -> dict[str, float]:
        started = perf_counter()
        for _ in range(steps):
            reference.step()
        return {REFERENCE: 1000 * (perf_counter() - started) / steps}

    measure()
    return measure


@contextmanager
def rl2(size: Size) -> Iterator[Contest]:
    """Whole iterations on half-cheetah-velocity: a GRU of 128, two episodes of 200 steps, five epochs."""
    suite = with_horizon(suites.load("half-cheetah-velocity"), size.horizon)
    config = replace(Rl2Config(), tasks=size.trials[0], worlds=size.trials[1], epochs=5, memory_size=128)
    noise = Noise(0, ("bench",), config.tasks, config.worlds)
    with ExitStack() as stack:
        engine = stack.enter_context(closing(CpuEngine(suite, config.tasks, config.worlds)))
        learner = Rl2(config, engine.spaces, seed=0)
        adaptation = learner.begin(config.tasks, config.worlds, noise)
        raw = stack.enter_context(closing(sampled_replay(engine, learner, adaptation, noise)))
        rl2_iteration(engine, learner, noise)
        yield Contest(
            (Figure("raw C limit"), Figure("sampling", "s"), Figure("update", "s"), Figure("training")),
            (lambda: {"raw C limit": raw.speed()}, partial(rl2_iteration, engine, learner, noise)),
            (
                Comparison("training", lambda values: values["training"], 20_000.0, unit=STEPS),
                ratio("training", "raw C limit", 0.40),
            ),
        )


def rl2_iteration(engine: CpuEngine, learner: Rl2, noise: Noise) -> dict[str, float]:
    """An iteration, s, and its environment steps a second."""
    sampling, update, steps = iteration(engine, learner, noise)
    return {"sampling": sampling, "update": update, "training": steps / (sampling + update)}


@contextmanager
def grbal(size: Size) -> Iterator[Contest]:
    """Steps of GrBAL's first preset, each a refit and a plan, in one world and in the ten of a trial."""
    config = replace(grbal_learner.PRESETS["cpu"], random_iterations=0)
    suite = with_horizon(suites.load("half-cheetah-velocity"), size.planned_steps)
    with ExitStack() as stack:
        entries, figures = [], []
        for tasks in (1, config.tasks):
            engine = stack.enter_context(closing(CpuEngine(suite, tasks, 1)))
            learner = grbal_learner.Grbal(config, engine.spaces, seed=0)
            figures.append(Figure(planned_name(tasks), "ms"))
            entries.append(partial(planned_steps, engine, learner))
        one = planned_name(1)
        yield Contest(tuple(figures), tuple(entries), (at_most(one, one, 3.0, "ms"),))


def planned_name(worlds: int) -> str:
    """A figure's name."""
    return f"planned step, {worlds} world{'' if worlds == 1 else 's'}"


def planned_steps(engine: CpuEngine, learner: grbal_learner.Grbal) -> dict[str, float]:
    """Time of a step of a rollout, its physics included, ms."""
    noise, started = Noise(0, ("bench",), engine.tasks, 1), perf_counter()
    collect(engine, learner, learner.begin(engine.tasks, 1, noise), noise)
    return {planned_name(engine.tasks): 1000 * (perf_counter() - started) / engine.horizon}


def step_name(preset: str) -> str:
    """A figure's name."""
    return f"gradient step, preset {preset}"


def pearl_entry(suite: Suite, preset: str, steps: int) -> Callable[[], dict[str, float]]:
    """Meter of one preset, on a replay that holds a trial."""
    config = replace(PRESETS[preset], gradient_steps=steps)
    noise = Noise(0, ("bench",), config.tasks, config.worlds)
    with closing(CpuEngine(suite, config.tasks, config.worlds)) as engine:
        learner = Pearl(config, engine.spaces, seed=0)
        indices = task_batch(len(suite.train), config.tasks, 0, 0)
        trial = run_trial(engine, learner, suite.train, indices, config.shots, noise)

    def measure() -> dict[str, float]:
        started = perf_counter()
        learner.update(trial)
        return {step_name(preset): 1000 * (perf_counter() - started) / steps}

    measure()  # the first steps of a learner set up more than the later ones
    return measure

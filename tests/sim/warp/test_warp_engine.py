"""The GPU engine on Warp's CPU device: it does what the CPU engine does, within what float32 holds."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("mujoco_warp", reason="needs the gpu extra: make test-gpu")

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.engine import TrialPlace
from robometa.sim.locomotion import models
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.resets import BLOCK
from robometa.sim.oracle import HiddenNumbers, RevealingEngine
from robometa.sim.warp import engine as warp_engine
from robometa.sim.warp import usable
from robometa.sim.warp.engine import WarpEngine
from robometa.sim.warp.resets import BLOCKS

pytestmark = pytest.mark.filterwarnings("ignore:humanoid. MuJoCo Warp has no PGS")
TASKS, WORLDS = 2, 3
FAMILIES = (
    "half-cheetah-velocity",
    "half-cheetah-velocity-switch",
    "half-cheetah-direction",
    "half-cheetah-params",
    "half-cheetah-crippled",
    "half-cheetah-crippled-live",
    "half-cheetah-terrain",
    "ant-direction",
    "ant-direction-2d",
    "ant-goal",
    "ant-velocity",
    "ant-params",
    "ant-crippled",
    "ant-worn",
    "ant-worn-drift",
    "walker2d-params",
    "hopper-params",
    "humanoid-direction-2d",
    "point-robot",
    "sparse-point-robot",
    "rover-goal",
)
LIVELY = {"ant-params", "hopper-params", "rover-goal"}
"""A suite with variations, one with a robot that falls, one with sensors."""


def pair(name, tasks=TASKS, worlds=WORLDS, horizon=None):
    """Both engines on a suite."""
    suite = suites.load(name)
    suite = dataclasses.replace(suite, horizon=horizon or suite.horizon)
    return CpuEngine(suite, tasks, worlds, threads=1), WarpEngine(suite, tasks, worlds, device="cpu")


def warp(name, tasks=TASKS, worlds=WORLDS, horizon=None, **options):
    suite = suites.load(name)
    suite = dataclasses.replace(suite, horizon=horizon or suite.horizon)
    return WarpEngine(suite, tasks, worlds, device="cpu", **options)


def noise(tasks=TASKS, worlds=WORLDS, seed=0):
    return Noise(seed, ("engine",), tasks, worlds)


def actions(engine, steps, seed=0, size=1.0):
    """The same actions for a world whatever stands beside it. `[time, task, world, action]`."""
    draws = torch.rand(20, 40, steps, engine.spaces.action, generator=torch.Generator().manual_seed(seed))
    return size * (2 * draws[: engine.tasks, : engine.worlds] - 1).movedim(2, 0)


def apart(one, other):
    """The largest difference, relative where numbers are large."""
    return ((one.double() - other.double()).abs() / (1 + one.double().abs())).max().item()


def test_every_locomotion_suite_is_compared():
    shipped = {path.stem for path in suites.folder().glob("*.toml")}
    assert set(FAMILIES) == shipped


@pytest.mark.parametrize("name", FAMILIES)
def test_a_control_step_is_that_of_the_cpu_engine(name):
    exact, ours = pair(name)
    assert ours.spaces == exact.spaces
    assert apart(exact.reset(noise()), ours.reset(noise())) < 1e-6
    # Far enough from the beginning that feet are on the ground, legs at their limits, and contacts slide.
    for step, action in enumerate(actions(exact, 12)):
        before = exact.state()
        wanted = exact.step(action)
        if step not in (4, 11):
            continue
        ours.restore(before)
        found = ours.step(action)
        assert apart(wanted.next_obs, found.next_obs) < 2e-3
        assert apart(wanted.obs, found.obs) < 2e-3
        assert apart(wanted.reward, found.reward) < 5e-4
        for flag in ("terminated", "truncated", "success", "diverged"):
            assert torch.equal(getattr(wanted, flag), getattr(found, flag)), flag
        assert np.array_equal(exact.state().episodes, ours.state().episodes)
        assert np.array_equal(exact.state().steps, ours.state().steps)


def returns(engine, steps):
    """Return of each world's first episode under random actions. `[task * world]`."""
    engine.reset(noise(engine.tasks, engine.worlds))
    total, going = torch.zeros(engine.tasks, engine.worlds), torch.ones(engine.tasks, engine.worlds)
    for action in actions(engine, steps):
        outcome = engine.step(action)
        total += outcome.reward * going
        going *= ~(outcome.terminated | outcome.truncated)
    return total.flatten()


@pytest.mark.parametrize(
    "name",
    [
        "half-cheetah-velocity",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("hopper-params", "ant-direction", "walker2d-params")),
        pytest.param("humanoid-direction-2d", marks=pytest.mark.slow),
    ],
)
def test_returns_are_spread_as_on_the_cpu_engine(name):
    """Chaos takes the two apart world by world, so means and spreads are compared."""
    exact, ours = pair(name, tasks=2, worlds=20)
    wanted, found = returns(exact, 200), returns(ours, 200)
    error = wanted.std() / wanted.numel() ** 0.5
    assert abs(wanted.mean() - found.mean()) < 3 * error
    assert 0.6 < found.std() / wanted.std() < 1.7


@pytest.mark.parametrize("name", sorted(LIVELY))
def test_a_restored_state_goes_on_exactly(name):
    engine = warp(name, horizon=9)
    engine.reset(noise())
    acts = actions(engine, 16)
    for action in acts[:6]:
        engine.step(action)
    state = engine.state()
    first = [engine.step(action) for action in acts[6:]]
    engine.restore(state)
    assert torch.equal(engine.state().obs, state.obs)
    for outcome, action in zip(first, acts[6:], strict=True):
        assert all(torch.equal(one, other) for one, other in zip(outcome, engine.step(action), strict=True))


def test_what_stands_beside_a_world_changes_nothing():
    few, many = warp("hopper-params", 1, 2, horizon=6), warp("hopper-params", 3, 4, horizon=6)
    assert torch.equal(few.reset(noise(1, 2)), many.reset(noise(3, 4))[:1, :2])
    for one, other in zip(actions(few, 10), actions(many, 10), strict=True):
        for value, beside in zip(few.step(one), many.step(other), strict=True):
            assert torch.equal(value, beside[:1, :2])


def test_later_episodes_begin_where_the_cpu_engine_begins_them():
    exact, ours = pair("sparse-point-robot", horizon=2)
    assert apart(exact.reset(noise()), ours.reset(noise())) < 1e-6
    for step in range(2 * (BLOCKS * BLOCK + 3)):  # further than the table reaches at first
        wanted, found = (engine.step(torch.zeros(TASKS, WORLDS, 2)) for engine in (exact, ours))
        assert torch.equal(wanted.truncated, found.truncated)
        assert apart(wanted.obs, found.obs) < 1e-6, step
    assert ours.state().episodes.min() > BLOCKS * BLOCK


def test_worlds_that_are_far_apart_find_their_beginnings():
    """One world begins an episode at every step, the others never: the table has to grow, and keep the old ones."""
    exact, ours = pair("sparse-point-robot", horizon=10_000)
    for engine in (exact, ours):
        engine.reset(noise())
    for _ in range(BLOCKS * BLOCK + 5):
        broken = torch.zeros(TASKS, WORLDS, 2)
        broken[1, 1] = float("nan")
        wanted, found = exact.step(broken), ours.step(broken)
        assert apart(wanted.obs, found.obs) < 1e-6
    assert ours._worlds.starts.table.shape[1] > BLOCKS * BLOCK
    everybody = torch.full((TASKS, WORLDS, 2), float("nan"))
    assert apart(exact.step(everybody).obs, ours.step(everybody).obs) < 1e-6
    assert np.array_equal(exact.state().episodes, ours.state().episodes)


BAD = (float("nan"), float("inf"), 1e12)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(("name", "column"), [("half-cheetah-velocity", 11), ("ant-direction", 4), ("rover-goal", 2)])
def test_a_world_that_blows_up_is_caught_unpaid_and_begun_anew(name, column, value):
    outcomes = []
    for spoil in (True, False):
        engine = warp(name, horizon=8)
        told = []
        engine.on_divergence = told.append
        engine.reset(noise())
        acts = actions(engine, 8)
        outcomes.append([])
        for step, action in enumerate(acts):
            if spoil and step == 4:
                engine._worlds.state[3, column] = value
                engine._worlds.hand_over()
            outcomes[-1].append(engine.step(action))
        assert engine.divergences == int(spoil)
        assert [(one.task, one.world, one.step) for one in told] == [(engine.assigned[1], 0, 4)] * spoil
        if spoil:
            assert not abs(float(told[0].physics[column])) < 1e10
            assert torch.equal(told[0].action, acts[4][1, 0])
    spoilt, clean = outcomes
    caught = torch.arange(TASKS * WORLDS).reshape(TASKS, WORLDS) == 3
    assert torch.equal(spoilt[4].diverged, caught)
    assert spoilt[4].terminated[caught].all()
    assert not (spoilt[4].truncated | spoilt[4].success)[caught].any()
    assert spoilt[4].reward[caught].item() == 0.0
    for one, other in zip(spoilt[4:], clean[4:], strict=True):
        assert all(number.isfinite().all() for number in one)
        for number, expected in zip(one[:-1], other[:-1], strict=True):
            assert torch.equal(number[~caught], expected[~caught])
    assert not any(outcome.diverged.any() for outcome in spoilt[5:])


def test_a_contact_without_room_is_told_when_the_horizon_is_over():
    engine = warp("half-cheetah-velocity", horizon=6, contact_capacity=0.02)
    assert engine.capacity.contacts == 1
    engine.reset(noise())
    acts = actions(engine, 6)
    for action in acts[:-1]:
        engine.step(action)
    with pytest.raises(
        UserError, match=r"half-cheetah .* more places .* \(1 contacts, .* --contact-capacity 0.04 gives"
    ):
        engine.step(acts[-1])
    engine.reset(noise())  # what was told is over


def test_there_is_room_for_every_contact_that_simple_robots_can_have():
    for name in ("half-cheetah-velocity", "ant-direction", "walker2d-params"):
        engine = warp(name)
        assert engine.capacity.contacts < 48  # all that there can be, not what nearly always suffices


def test_tensors_are_the_simulators_own_memory():
    engine = warp("half-cheetah-velocity")
    worlds, simulator = engine._worlds, engine._data
    for tensor, array in (
        (worlds._qpos, simulator.qpos),
        (worlds._qvel, simulator.qvel),
        (worlds._ctrl, simulator.ctrl),
    ):
        assert tensor.data_ptr() == array.ptr
        assert tensor.dtype == torch.float32


class Asking(TorchDispatchMode):
    """Raises where torch would wait for a device: at what reads a number, or whose shape depends on one."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        masked = name.startswith("aten.index.") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if masked or any(part in name for part in ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero")):
            raise AssertionError(f"{name} would wait for the device")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name", ["half-cheetah-velocity", "hopper-params", "humanoid-direction-2d", "ant-goal", "rover-goal"]
)
def test_nothing_in_a_step_waits_for_the_device(name):
    engine = warp(name)
    engine.reset(noise())
    with Asking():
        engine._worlds.tell()
        engine._worlds.settle()
        engine._worlds.look()
    with pytest.raises(AssertionError, match="would wait"), Asking():
        engine._worlds.reward.sum().item()


def test_other_tasks_have_other_models_and_parameters():
    exact, ours = pair("hopper-params")
    for start in (0, 4):
        for engine in (exact, ours):
            engine.assign(engine.suite.train[start : start + TASKS])
            engine.reset(noise())
        for index, task in enumerate(ours.assigned):
            mass = ours._on_device.model.body_mass.numpy()[index * WORLDS]
            assert np.allclose(mass, models.varied(task).body_mass, rtol=1e-6)
        action = actions(ours, 1)[0]
        assert apart(exact.step(action).next_obs, ours.step(action).next_obs) < 2e-3


def test_a_task_may_vary_what_no_task_varied_before():
    exact, ours = pair("half-cheetah-terrain")
    plain = suites.load("half-cheetah-terrain").train[0]
    varied = dataclasses.replace(plain, parameters=(*plain.parameters, ("motor_strength", (0.5,) * 6)))
    for engine in (exact, ours):
        engine.assign([plain, varied])
        engine.reset(noise())
    action = actions(ours, 1)[0]
    found = ours.step(action)
    assert apart(exact.step(action).next_obs, found.next_obs) < 2e-3


def test_an_oracle_is_told_the_same():
    suite = suites.load("half-cheetah-velocity")
    engines = CpuEngine(suite, TASKS, WORLDS), WarpEngine(suite, TASKS, WORLDS, device="cpu")
    exact, ours = (RevealingEngine(engine, HiddenNumbers(suite)) for engine in engines)
    assert exact.spaces == ours.spaces
    assert apart(exact.reset(noise()), ours.reset(noise())) < 1e-6
    action = actions(ours, 1)[0]
    assert torch.equal(exact.step(action).obs[..., -1], ours.step(action).obs[..., -1])
    assert ours.state().obs.shape[-1] == ours.spaces.observation


def test_a_driver_that_is_too_old_for_warp_is_told(monkeypatch):
    monkeypatch.setattr(usable, "sees_gpu", lambda: False)
    with pytest.raises(UserError, match=r"finds no GPU: it may need a later driver .*--engine cpu"):
        warp_engine.WarpEngine(suites.load("point-robot"), 1, 1, device="cuda")


def test_warp_without_its_compiler_for_processors_is_told(monkeypatch):
    monkeypatch.setattr(usable.warp, "is_cpu_available", lambda: False)
    with pytest.raises(UserError, match=r"without its compiler for processors.*--device cuda, or --engine cpu"):
        warp("point-robot")


def test_a_reset_reads_the_sensors_by_the_captured_part(monkeypatch):
    """Outside a graph reading them is a hundred launches, and the host waits in some."""
    launched = []

    def counted(work, device):
        return lambda: launched.append(work.__name__) or work()

    for maker in ("torch_graph", "warp_graph"):
        monkeypatch.setattr(warp_engine, maker, counted)
    plain, captured = warp("rover-goal"), warp("rover-goal")
    captured._graphs = True
    assert torch.equal(plain.reset(noise()), captured.reset(noise()))
    assert launched == ["_sense", "look"]
    action = actions(plain, 1)[0]
    assert torch.equal(plain.step(action).obs, captured.step(action).obs)


def test_arrays_of_no_numbers_are_tensors_where_the_others_are():
    engine = warp("half-cheetah-velocity")
    assert engine._data.act.size == 0
    worlds = engine._worlds
    assert (worlds._act.shape, worlds._act.dtype) == ((TASKS * WORLDS, 0), torch.float32)
    assert worlds._act.device == worlds._qpos.device


def test_no_worlds_is_told():
    with pytest.raises(UserError, match="at least one task and one world, not 0 and 3"):
        warp("half-cheetah-velocity", tasks=0)


class Late:
    """A copy from the device that arrives only when it is waited for."""

    waits, seen = 0, 0

    def record(self, stream):
        """Does nothing."""

    def query(self):
        """Whether it was waited for."""
        return self.waits > self.seen

    def synchronize(self):
        """Lets it arrive."""
        self.waits += 1


def test_the_host_waits_for_a_late_copy_only_before_beginnings_could_run_out(monkeypatch):
    engine = warp("point-robot")
    engine.reset(noise())
    starts, episodes = engine._worlds.starts, torch.ones(TASKS * WORLDS, dtype=torch.int64)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    starts._copied = Late()
    for _ in range(40):
        starts._copied.seen = starts._copied.waits
        starts.look(episodes)
        assert starts._next_block * BLOCK > int(episodes.max())  # what the coming step may need is drawn
        episodes += 1
    assert 1 <= starts._copied.waits <= 40 // 3


@pytest.mark.parametrize("name", ["half-cheetah-velocity", "humanoid-direction-2d"])
def test_capturing_the_parts_of_a_step_changes_nothing(name, monkeypatch):
    """Capturing tries every part once, in the middle of a rollout too: what it does to the worlds is taken back."""

    def tried(work, device):
        work()
        return work

    for maker in ("torch_graph", "warp_graph"):
        monkeypatch.setattr(warp_engine, maker, tried)
    plain, captured = warp(name), warp(name)
    captured._graphs = True
    assert torch.equal(plain.reset(noise()), captured.reset(noise()))
    for step, action in enumerate(actions(plain, 6)):
        captured._worlds.starts.moved = step == 3  # all must be captured anew
        for one, other in zip(plain.step(action), captured.step(action), strict=True):
            assert torch.equal(one, other)
    assert plain._worlds.counts.tolist() == captured._worlds.counts.tolist()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ('objective = "velocity"\nvelocity = { uniform = [0, 3] }\n[change]\nredraw = ["velocity"]\n', 1),
        ('objective = "forward"\n[change]\nredraw = ["motor_strength", "slope"]\n', 2),
    ],
)
def test_a_task_changes_before_the_step_at_which_the_cpu_engine_s_does(tmp_path, text, size):
    """The second kind changes fields of the model that are equal to the robot's own until then."""
    objective, change = text.split("[change]\n")
    objective, *spread = objective.split("\n", 1)
    parameters = (
        spread[0] if size == 1 else "motor_strength = { uniform = [0, 1] }\nslope = { uniform = [-0.3, 0.3] }\n"
    )
    before = "" if size == 1 else "before = { motor_strength = 1, slope = 0 }\n"
    splits = "".join(f"[{split}]\ntasks = 2\n{parameters}" for split in ("train", "test"))
    file = tmp_path / "changing.toml"
    file.write_text(f'robot = "half-cheetah"\n{objective}\nhorizon = 6\n{splits}[change]\nevery = 2\n{before}{change}')
    suite = suites.load(str(file))
    exact, ours = CpuEngine(suite, TASKS, WORLDS, threads=1), WarpEngine(suite, TASKS, WORLDS, device="cpu")
    source, place = noise(), TrialPlace(noise().fork("change"), 1)
    assert apart(exact.reset(source, place), ours.reset(source, place)) < 1e-6
    parts = ours._parts
    for action in actions(ours, 5):
        expected, found = exact.step(action), ours.step(action)
        assert apart(expected.reward, found.reward) < 2e-3
        assert apart(expected.next_obs, found.next_obs) < 2e-3
        assert exact.in_force == ours.in_force
    assert exact.in_force != suite.train
    assert ours._parts is parts  # nothing was captured anew
    state = ours.state()
    other = WarpEngine(suite, TASKS, WORLDS, device="cpu")
    other.reset(noise(seed=3))
    other.restore(state)
    assert torch.equal(other.step(action).reward, ours.step(action).reward)
    told = []
    ours.on_divergence = told.append
    ours.step(torch.full_like(action, float("nan")))
    now = ours._changes.task_at(0, 6 + 6)
    ours.check()
    assert told[0].in_force == now

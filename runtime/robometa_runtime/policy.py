"""A policy that acts and adapts by exported files."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike, NDArray

from robometa_runtime.contract import MAX_NUMBERS, Array, Contract, ContractError
from robometa_runtime.experience import COLUMNS, Experience

NEXT = "_next"
"""Ending of the name of an output that is the next value of an input."""


MAX_REWARD = float(np.finfo(np.float32).max)
"""Largest reward that the graphs can take."""


Method = TypeVar("Method", bound=Callable[..., Any])
NUMBERS = "fiubO"
"""Kinds of numpy's dtypes that numbers may have: no complex numbers, dates or texts; an object None is NaN."""


class ObservationError(ValueError):
    """A number cannot be: it is not finite, far outside of its range, or of the wrong kind. Nothing was changed."""


def _alone(method: Method) -> Method:
    """Refuses a call of a policy's method while another one is running: they would mix their numbers."""

    @wraps(method)
    def called(self: Policy, *args: Any, **named: Any) -> Any:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("the policy is in use already: load one for each thread")
        try:
            return method(self, *args, **named)
        finally:
            self._lock.release()

    return cast(Method, called)


class Policy:
    """Acts and adapts for one robot, in one thread at a time; a call while another one is running is a `RuntimeError`.

    Attributes:
        contract: Names, units and ranges.
        adapts: True if `adapt` learns from episodes; otherwise the policy adapts as it acts, or not at all.
        needs_reward: True if every action but the first needs the reward of the one before.
    """

    def __init__(self, folder: str | Path, seed: int = 0) -> None:
        """Loads an export and begins a trial.

        Args:
            folder: Folder that `robometa export` wrote.
            seed: Seed of samples.

        Raises:
            ContractError: If the folder is no export, or damaged.
        """
        self.contract = Contract(folder)
        step, adapt = self.contract.file("step.onnx"), self.contract.file("adapt.onnx")
        if step is None:
            raise ContractError(f"{folder} is no export of robometa: it lists no step.onnx")
        self._step = _session(step, folder)
        self._adapt = None if adapt is None else _session(adapt, folder)
        self.adapts = adapt is not None
        self._pooled: bool = self.contract.content["adapt"]["pools_worlds"]
        self._sizes = len(self.contract.observation), len(self.contract.action)
        self._shape = (len(self.contract.observation),)
        self._lock = threading.Lock()
        self._bind()
        self.needs_reward = self._is_lost_without_reward()
        self.reset(seed)

    @_alone
    def reset(self, seed: int = 0) -> None:
        """Forgets all about the task. Not for a new episode of the same task: a memory lasts through episodes."""
        self._generator = np.random.default_rng(seed)
        self._start(self.contract.initial(self._generator))
        for name in ("last_action", "last_reward", "last_done", "noise"):
            self._inputs[name][:] = 0
        self._experience = Experience(self.contract.horizon)
        self._acted, self._noisy = False, False

    @_alone
    def act(self, obs: ArrayLike, reward: float | None = None, done: bool = False, *, sample: bool = False) -> Array:
        """Returns the action to take now, in the actuators' units and within their ranges. `[action]`.

        Args:
            obs: Observation, in the order of `contract.observation`. `[obs]`
            reward: Reward of the last action; leave it out at the first call, and where the policy needs none.
            done: True if the last action ended an episode, so that `obs` begins the next one.
            sample: Explore; False for the mean action.

        Raises:
            ObservationError: If a number is not finite or an array has the wrong size; the policy is as before then.
        """
        seen, paid = self._checked(obs), math.nan if reward is None else self._paid(reward)
        done = _truth(done)
        before = (self._obs.copy(), self._last_action.copy()) if self.adapts and self._acted else None
        if self._acted:
            self._last_reward[0], self._last_done[0] = paid, done
        if sample or self._noisy:
            self._draw(sample)
        self._obs[:] = seen
        self._step.run_with_iobinding(self._binding, self._options)
        if not _is_finite(self._emitted) or not _is_finite(self._action):
            if before is not None:
                self._obs[:] = before[0]
            raise ObservationError(
                "the policy needs the reward of every action: act(obs, reward)"
                if reward is None
                else "the policy's action is not finite"
            )
        if before is not None:
            self._experience.add(*before, paid, before[0] if done else self._obs.copy(), done)
        self._carried[:] = self._after
        self._acted = True
        sent: Array = np.maximum(self._action, self.contract.low)
        return np.minimum(sent, self.contract.high, out=sent)

    @_alone
    def adapt(self, obs: ArrayLike, reward: float, done: bool = True) -> None:
        """Learns from all steps since the last adaptation; where a policy adapts as it acts, only notes the outcome.

        Args:
            obs: Observation after the last action, before any reset. `[obs]`
            reward: Its reward.
            done: True if it ended an episode; the next `act` begins another then.

        Raises:
            ObservationError: If a number is not finite, or there is nothing to learn from.
        """
        seen, paid, done = self._checked(obs), self._paid(reward), _truth(done)
        if self._acted:
            if self.adapts:
                self._experience.add(self._obs.copy(), self._last_action.copy(), paid, seen.copy(), done)
            self._last_reward[0], self._last_done[0], self._acted = paid, done, False
        if self._adapt is None:
            return
        if not len(self._experience):
            raise ObservationError("adapt has nothing to learn from: act first")
        feed = self._experience.columns(side_by_side=self._pooled) | self.adaptation
        feed["draw"] = self._generator.standard_normal((1, self._draws), np.float32)
        adapted = self._adapt.run(None, {one.name: feed[one.name] for one in self._adapt.get_inputs()})
        names = [one.name.removesuffix(NEXT) for one in self._adapt.get_outputs()]
        if any(value.shape != self._known[name].shape for name, value in zip(names, adapted, strict=True)):
            raise ContractError(f"the adaptation of {self.contract.folder} is not that of its contract")
        if not all(np.isfinite(value).all() for value in adapted):
            raise ObservationError("the adaptation is not finite: it needs the reward of every action; nothing changed")
        self._start(dict(zip(names, adapted, strict=True)))
        self._experience.clear()

    @property
    def adaptation(self) -> dict[str, Array]:
        """All that the policy knows of its task, by name: a memory, a belief, or parameters. `[1, number]` each."""
        return {name: value.copy() for name, value in self._known.items()}

    def _bind(self) -> None:
        """Binds arrays to the graph's inputs and outputs, which saves half the time of a step."""
        obs, action = self._sizes
        inputs, outputs = self._step.get_inputs(), self._step.get_outputs()
        known = {part["name"]: part["size"] for part in self.contract.content["adaptation"]}
        sizes = {"obs": obs, "last_reward": 1, "last_done": 1, "noise": action}
        self._known = {name: np.zeros((1, size), np.float32) for name, size in known.items()}
        self._require_graphs(known | sizes | {"last_action": action})
        changed = [one.name.removesuffix(NEXT) for one in outputs if one.name.endswith(NEXT)]
        # The values that a step passes to the next one lie side by side, so that it copies them at once.
        passed = {"last_action": action} | {name: known[name] for name in changed}
        self._carried, before = _block(passed)
        self._after, after = _block(passed)
        self._inputs = {name: np.zeros((1, size), np.float32) for name, size in sizes.items()}
        self._inputs["last_action"] = before.pop("last_action")
        self._known |= before
        bound = {"emitted_action": after.pop("last_action"), "action": np.zeros((1, action), np.float32)}
        bound |= {name + NEXT: value for name, value in after.items()}
        adapt = () if self._adapt is None else self._adapt.get_inputs()
        self._draws = next((one.shape[1] for one in adapt if one.name == "draw"), 0)
        self._binding: Any = self._step.io_binding()
        self._options = onnxruntime.RunOptions()  # made once: without them each step makes its own
        self._options.add_run_config_entry("gpu_graph_id", "-1")  # onnxruntime is slow to find that there is none
        self._kept = []  # onnxruntime reads and writes these arrays in place
        for one in inputs:
            array = self._inputs[one.name] if one.name in self._inputs else self._known[one.name]
            self._kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
            self._binding.bind_ortvalue_input(one.name, self._kept[-1])
        for one in outputs:
            self._kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(bound[one.name]))
            self._binding.bind_ortvalue_output(one.name, self._kept[-1])
        # Rows of the bound arrays, so that a step looks nothing up.
        names = ("obs", "last_action", "last_reward", "last_done", "noise")
        self._obs, self._last_action, self._last_reward, self._last_done, self._noise = (
            self._inputs[name][0] for name in names
        )
        self._emitted, self._action = bound["emitted_action"][0], bound["action"][0]

    def _is_lost_without_reward(self) -> bool:
        """True if a step gives no action where no reward is known."""
        self._start(self.contract.initial(np.random.default_rng(0)))
        self._last_reward[0] = math.nan
        self._step.run_with_iobinding(self._binding, self._options)
        return not _is_finite(self._action)

    def _require_graphs(self, inputs: dict[str, int]) -> None:
        """Checks that the graphs take and give what the contract says.

        Args:
            inputs: Sizes of what a step may take.

        Raises:
            ContractError: If a number is missing, unknown, or has another size.
        """
        after = {name + NEXT: [1, value.shape[1]] for name, value in self._known.items()}
        action = [1, self._sizes[1]]
        given = {one.name: list(one.shape) for one in self._step.get_outputs()}
        wanted = {"emitted_action": action, "action": action}
        fits = wanted.items() <= given.items() and given.items() <= (after | wanted).items()
        fits = fits and all(list(one.shape) == [1, inputs.get(one.name, 0)] for one in self._step.get_inputs())
        if self._adapt is not None:
            draws = [one.shape for one in self._adapt.get_inputs() if one.name == "draw"]
            sound = all(len(one) == 2 and isinstance(one[1], int) and 0 < one[1] <= MAX_NUMBERS for one in draws)
            fits = fits and sound and all(one.name in after for one in self._adapt.get_outputs())
            taken = {one.name for one in self._adapt.get_inputs()}
            fits = fits and taken <= {*COLUMNS, *self._known, "draw"}
        if not fits:
            raise ContractError(f"the graphs of {self.contract.folder} are not those of its contract")

    def _draw(self, sample: bool) -> None:
        """Sets the noise of a step; zeros give the mean action."""
        if sample:
            self._generator.standard_normal(out=self._noise, dtype=np.float32)
        else:
            self._noise[:] = 0
        self._noisy = sample

    def _start(self, adaptation: dict[str, Array]) -> None:
        for name, value in adaptation.items():
            np.copyto(self._known[name], value)

    def _checked(self, obs: ArrayLike) -> Array:
        seen = obs if type(obs) is np.ndarray and obs.dtype == np.float32 else self._numbers(obs)
        if seen.shape != self._shape:
            raise ObservationError(f"obs must have the shape ({self._sizes[0]},), not {seen.shape}")
        if not _is_finite(seen):
            place = int(np.argmin(np.isfinite(seen)))
            raise ObservationError(f"obs[{place}] ({self.contract.observation[place]}) is {seen[place]}, not finite")
        return seen

    def _numbers(self, obs: ArrayLike) -> Array:
        """Observation in float32, where a number that is too large is infinite, and a masked one NaN."""
        with np.errstate(over="ignore"):
            return real_numbers(obs, f"obs must be {self._sizes[0]} numbers").astype(np.float32)

    def _paid(self, reward: float) -> float:
        try:
            paid = float(reward)
        except (TypeError, ValueError, OverflowError):
            raise ObservationError("reward must be a number") from None
        if not abs(paid) <= MAX_REWARD:
            raise ObservationError(f"reward is {paid}, not finite")
        return paid


def real_numbers(given: ArrayLike, refusal: str) -> NDArray[np.float64]:
    """Numbers as an array of any shape; a masked one is NaN.

    Raises:
        ObservationError: With this refusal, if they are no real numbers.
    """
    try:
        numbers = np.ma.filled(given, np.nan)
        text = numbers.dtype == object and any(isinstance(one, str | bytes) for one in numbers.flat)
        if numbers.dtype.kind in NUMBERS and not text:
            return numbers.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ObservationError(refusal)


def _truth(done: Any) -> bool:
    """`done` as True or False, which numpy and PyTorch have types of their own for.

    Raises:
        ObservationError: If it is neither.
    """
    try:
        if done in (False, True):
            return bool(done)
    except (TypeError, ValueError, RuntimeError):  # an array of several
        pass
    raise ObservationError(f"done must be True or False, not {done!r:.40}")


def _is_finite(row: Array) -> bool:
    """True if all numbers are finite. Their sum is so then, too, as it has more digits than they."""
    return math.isfinite(sum(row.tolist()))


def _block(sizes: dict[str, int]) -> tuple[memoryview, dict[str, Array]]:
    """Zeros in one piece of memory, which is copied fastest as such, and their parts by name. `[1, number]` each."""
    whole, first = np.zeros(sum(sizes.values()), np.float32), 0
    parts = {}
    for name, size in sizes.items():
        parts[name], first = whole[first : first + size][None], first + size
    return memoryview(whole), parts


def _session(content: bytes, folder: str | Path) -> Any:
    """Loads a graph.

    Raises:
        ContractError: If it is none that onnxruntime can load.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # a step's values lie in one piece of memory all the same
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class
        raise ContractError(f"a graph of {folder} cannot be loaded: {error!s:.200}") from None

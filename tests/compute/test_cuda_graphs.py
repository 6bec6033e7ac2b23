"""Captured gradient steps: what a graph would do, without a GPU."""

import gc
from contextlib import contextmanager, nullcontext

import pytest
import torch
from conftest import copied, fake_rollout, same_tensors
from recorded_graph import recorded
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from robometa.compute import cuda_graphs
from robometa.compute.cuda_graphs import CapturedFunction, CapturedSteps
from robometa.data import Spaces, Trial
from robometa.learners.pearl import Config, Pearl
from robometa.noise import Noise
from robometa.rl import learning_rate, replay_steps
from robometa.training.guarded_update import guarded_update

SPACES = Spaces(3, 2)
TORCH_GRAPH = cuda_graphs.torch_graph
RATE = 2.0**-10
"""The same number in float32, which is what a graph reads, and in float64."""
OPTIONS = {
    "latent": 2,
    "hidden": (8, 8),
    "encoder_hidden": (8,),
    "context": 6,
    "meta_batch": 3,
    "batch": 5,
    "gradient_steps": 7,
    "capacity": 25,
    "learning_rate": RATE,
    "final_learning_rate": RATE / 4,
    "decay_begin": 1,
    "decay_end": 3,
}


@pytest.fixture(autouse=True)
def seeming_gpu(monkeypatch):
    """Makes learners capture their steps where they are."""
    recorded.captured = 0
    monkeypatch.setattr(cuda_graphs, "torch_graph", recorded)
    monkeypatch.setattr(replay_steps, "STEPS_PREFETCHED", 3)  # a piece that is not whole, too


def pair(monkeypatch, **options):
    """A learner that captures its steps, and one that does not."""
    config = Config(**(OPTIONS | options))
    with monkeypatch.context() as patched:
        for module in (learning_rate, replay_steps):
            patched.setattr(module, "captures", lambda device: True)
        captured = Pearl(config, SPACES, seed=0)
    return captured, Pearl(config, SPACES, seed=0)


def trial(seed, tasks=(4, 7, 4)):
    """A trial that no simulator made, with a task that stands there twice."""
    shots = tuple(
        fake_rollout(len(tasks), 2, 5, SPACES.observation, SPACES.action, 10 * seed + shot) for shot in (0, 1)
    )
    return Trial(torch.tensor(tasks), shots, Noise(0, ("update", seed), len(tasks), 2))


def test_captured_steps_are_the_plain_ones_to_the_bit(monkeypatch):
    captured, plain = pair(monkeypatch)
    for seed in range(4):  # the learning rate falls between them, and tasks are added
        one = trial(seed, (4, 7, seed))
        assert captured.update(one) == plain.update(one)
        assert same_tensors(captured.state_dict(), plain.state_dict())
    assert recorded.captured == 1
    rates = [group["lr"] for group in captured.sac.actor_optimizer.param_groups]
    assert [float(rate) for rate in rates] == [RATE / 4]


def test_a_step_that_is_captured_reads_nothing_of_the_host(monkeypatch):
    captured, _ = pair(monkeypatch)
    captured.update(trial(0))
    learn = captured.steps.captured._step

    def asks(*numbers):
        found = learn(*numbers)
        return found * float(found[0])

    captured.steps.captured._step = asks
    captured.steps.captured.forget()
    with pytest.raises(AssertionError, match=r"_local_scalar_dense.* cannot be captured"):
        captured.update(trial(1))


class OneDevice(TorchDispatchMode):
    """Refuses tensors of any device but one."""

    def __init__(self, device):
        super().__init__()
        self.device, self.operations = device, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations += 1
        strange = {leaf.device for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)} - {
            self.device
        }
        if strange:
            raise AssertionError(f"{function} takes tensors of {strange}")
        return function(*args, **(kwargs or {}))


def test_nothing_in_a_step_stands_on_another_device(monkeypatch):
    """On `meta`, whose optimizers cannot step. A number of the host would be captured as what it was then."""
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda weights, **options: adam(weights, **{**options, "fused": False}))
    learner = Pearl(Config(**OPTIONS), SPACES, seed=0, device="meta")
    for optimizer in learner.steps.optimizers:
        monkeypatch.setattr(optimizer, "step", lambda: None)
    width, meta = 2 * SPACES.observation + SPACES.action + 2, torch.device("meta")
    shapes = ((3, 6, width), (3, 5, width), (3, 2), (2, 3, 5, SPACES.action))
    with OneDevice(meta) as watched:
        learner._learn(*(torch.empty(shape, device=meta) for shape in shapes))
    assert watched.operations > 100


def test_a_learner_goes_on_captured_from_a_state_that_it_was_given(monkeypatch):
    captured, plain = pair(monkeypatch)
    for seed in range(2):
        captured.update(trial(seed))
    state = copied(captured.state_dict())
    captured.update(trial(5))
    captured.load_state_dict(copied(state))
    plain.load_state_dict(copied(state))
    assert captured.update(trial(6)) == plain.update(trial(6))
    assert same_tensors(captured.state_dict(), plain.state_dict())
    assert recorded.captured == 2  # a state brings other tensors


def spoil(network):
    """Makes one of a network's numbers none."""
    with torch.no_grad():
        network[0].bias[0] = float("nan")


def test_an_update_that_is_taken_back_leaves_the_graph_usable(monkeypatch):
    captured, plain = pair(monkeypatch)
    for learner in (captured, plain):
        assert guarded_update(learner, trial(0))[1] == ""
        with monkeypatch.context() as patched:
            patched.setattr(learner.steps, "set_learning_rate", lambda rate, made=learner: spoil(made.sac.actor))
            assert "not finite" in guarded_update(learner, trial(1))[1]
    one = trial(2)
    assert guarded_update(captured, one) == guarded_update(plain, one)
    assert same_tensors(captured.state_dict(), plain.state_dict())


def test_diverged_steps_are_left_out_captured_too(monkeypatch):
    captured, plain = pair(monkeypatch)
    one = trial(0)
    one.rollouts[0].diverged[1, 0, 2:] = True
    assert captured.update(one) == plain.update(one)
    assert same_tensors(captured.state_dict(), plain.state_dict())


def counting(value):
    """A learner of one number, whose step adds what it is given to it."""

    def step(number, other):
        value.add_(number.sum() + other)
        return torch.stack((value, number.sum()))

    return CapturedSteps(step, lambda: [value], 2, torch.device("cpu"))


def pieces(*sizes):
    """Numbers 0, 1, 2, ... for so many steps each time."""
    start = 0
    for size in sizes:
        numbers = torch.arange(start, start + size, dtype=torch.float32)
        yield numbers.unsqueeze(1).expand(-1, 2), torch.zeros(size)
        start += size


def test_every_step_reads_its_own_row_and_logs_in_its_own_place():
    value = torch.zeros(())
    steps = counting(value)
    logged = steps.run(pieces(4, 4, 2), 10)
    assert logged[:, 1].tolist() == [2.0 * number for number in range(10)]
    assert logged[:, 0].tolist() == torch.arange(10).mul(2.0).cumsum(0).tolist()
    assert steps.run(pieces(3), 3)[:, 1].tolist() == [0.0, 2.0, 4.0]
    assert float(value) == 90 + 6
    assert recorded.captured == 1


def test_numbers_that_the_buffers_do_not_hold_are_captured_anew():
    value = torch.zeros(())
    steps = counting(value)
    steps.run(pieces(2), 2)
    assert steps.run(pieces(5), 5)[:, 1].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    wider = [(torch.ones(5, 3), torch.zeros(5))]
    assert steps.run(wider, 5)[:, 1].tolist() == [3.0] * 5
    assert float(value) == 2 + 20 + 15
    assert recorded.captured == 3


def test_more_steps_than_before_have_room_for_what_they_log():
    value = torch.zeros(())
    steps = counting(value)
    steps.run(pieces(2), 2)
    assert len(steps.run(pieces(2, 2, 2), 6)) == 6
    assert float(value) == 2 + 30


def test_no_steps_log_nothing():
    assert counting(torch.zeros(())).run([], 0).shape == (0, 2)


def test_what_was_logged_stays_when_more_is():
    steps = counting(torch.zeros(()))
    first = steps.run(pieces(3), 3)
    kept = first.clone()
    steps.run(pieces(3), 3)
    assert torch.equal(first, kept)


class Told:
    """Stands in for what torch has for a GPU, telling what is asked of it."""

    def __init__(self, monkeypatch, begins=None):
        self.said, self.current = [], "default"
        cuda, told = torch.cuda, self

        class Stream:
            def __init__(self, name="side"):
                self.name = name

            def wait_stream(self, other):
                told.said.append(f"{self.name} waits for {other.name}")

        class Graph:
            def capture_begin(self, pool=None, capture_error_mode="global"):
                told.said.append(f"begin {capture_error_mode} on {told.current}")
                if begins is not None:
                    raise begins

            def capture_end(self):
                told.said.append("end")
                if "fails" in told.said:
                    raise RuntimeError("the capture is invalid")

            def replay(self):
                told.said.append("replay")

        @contextmanager
        def on_stream(stream):
            before, told.current = told.current, stream.name
            try:
                yield
            finally:
                told.current = before

        monkeypatch.setattr(cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(cuda, "current_device", lambda: 0)
        monkeypatch.setattr(cuda, "current_stream", lambda: Stream("default"))
        monkeypatch.setattr(cuda, "Stream", lambda device: Stream())
        monkeypatch.setattr(cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(cuda, "stream", on_stream)
        monkeypatch.setattr(cuda_graphs, "torch_graph", TORCH_GRAPH)
        cuda_graphs._side_stream.cache_clear()

    def work(self, fails=None):
        """Work that tells where it runs, and may fail at its second time."""

        def work():
            again = any(entry.startswith("work") for entry in self.said)
            self.said.append(f"work on {self.current}{'' if gc.isenabled() else ' without collecting'}")
            if again and fails is not None:
                self.said.append("fails")
                raise fails

        return work


WARM = ["side waits for default", "work on side", "begin thread_local on side"]


def test_work_is_tried_and_captured_on_one_stream_and_launched_later(monkeypatch):
    told = Told(monkeypatch)
    launch = cuda_graphs.torch_graph(told.work(), torch.device("cuda"))
    assert told.said == [*WARM, "work on side without collecting", "end", "default waits for side"]
    launch()
    assert told.said[-1] == "replay"
    assert gc.isenabled()


@pytest.mark.parametrize("error", [RuntimeError("not permitted"), ValueError("another")])
def test_work_that_cannot_be_captured_tells_why_and_leaves_the_stream(monkeypatch, error):
    told = Told(monkeypatch)
    first = cuda_graphs._side_stream(0)
    with pytest.raises(type(error), match=str(error)):
        cuda_graphs.torch_graph(told.work(error), torch.device("cuda"))
    assert told.said == [*WARM, "work on side without collecting", "fails", "end"]
    assert told.current == "default"
    assert gc.isenabled()
    assert cuda_graphs._side_stream(0) is not first  # the next capture has another


def test_a_capture_that_does_not_begin_is_not_ended(monkeypatch):
    told = Told(monkeypatch, begins=RuntimeError("captures already"))
    with pytest.raises(RuntimeError, match="captures already"):
        cuda_graphs.torch_graph(told.work(), torch.device("cuda"))
    assert told.said == WARM
    assert told.current == "default"


def test_garbage_that_was_not_collected_before_is_not_after(monkeypatch):
    told = Told(monkeypatch)
    gc.disable()
    try:
        cuda_graphs.torch_graph(told.work(), torch.device("cuda"))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_captured_function_reads_new_inputs_and_is_captured_once_for_their_shapes(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "captures", lambda device: True)
    function = CapturedFunction(lambda one, pair, factor: (one + pair[0], factor * pair[1]), torch.device("cpu"))
    for number in range(3):
        one = torch.full((2,), float(number))
        found = function(one, (one.expand(3, 2), one), 2.0)
        assert found[0].tolist() == [[2.0 * number] * 2] * 3
        assert found[1].tolist() == [2.0 * number] * 2
    assert recorded.captured == 1
    assert function(one, (one, one), 3.0)[1].tolist() == [6.0] * 2  # another shape, another number
    assert function(one.double(), (one, one), 3.0)[0].dtype == torch.float64
    assert recorded.captured == 3
    assert len(function._graphs) == 2


def test_the_graph_that_was_used_last_stays(monkeypatch):
    monkeypatch.setattr(cuda_graphs, "captures", lambda device: True)
    function = CapturedFunction(torch.neg, torch.device("cpu"))
    for size in (1, 2, 1, 3, 1):
        assert function(torch.ones(size)).tolist() == [-1.0] * size
    assert recorded.captured == 3
    function(torch.ones(2))
    assert recorded.captured == 4


def test_where_nothing_can_be_captured_a_captured_function_is_the_plain_one():
    function = CapturedFunction(lambda tensor: tensor * float(tensor.sum()), torch.device("cpu"))
    assert function(torch.ones(2)).tolist() == [2.0, 2.0]
    assert recorded.captured == 0

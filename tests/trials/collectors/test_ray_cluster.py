"""Collection by a Ray cluster: the same bytes as here, whatever is lost, and no machine whose numbers differ."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import SMALL_OPTIONS

import robometa
from robometa.compute.hardware import Hardware
from robometa.errors import TrainingError, UserError
from robometa.training.train import resume, train
from robometa.trials.collectors import ray_cluster, ray_session, ray_task
from robometa.trials.collectors.choose import as_before, collector_for
from robometa.trials.collectors.ray_cluster import RayCluster
from robometa.trials.workers import patience

ONE, TWO = "a" * 56, "b" * 56
"""Ray's names of two machines."""


def trained(folder, name, suite, collect="here", **more):
    """The bytes of a policy and its metrics."""
    small = {key: value for key, value in SMALL_OPTIONS[name].items() if key != "decay_end"}
    options = small | {"iterations": 2, "tasks": 6, "worlds": 2, **more}
    train(suite, name, options=options, folder=folder, collect=collect, piece=2, threads=1)
    return content(folder)


def content(folder):
    return (folder / "policy/tensors.safetensors").read_bytes(), (folder / "metrics.jsonl").read_bytes()


class FakeRay:
    """Ray's calls, carried out at once in this process; machines may be odd, and tasks may be lost."""

    class exceptions:
        """Ray's errors."""

        RayError = type("RayError", (Exception,), {})
        RayTaskError = type("RayTaskError", (RayError,), {"cause": None})
        RaySystemError = type("RaySystemError", (RayError,), {})
        RuntimeEnvSetupError = type("RuntimeEnvSetupError", (RayError,), {})
        WorkerCrashedError = type("WorkerCrashedError", (RayError,), {})

    def __init__(self):
        self.odd, self.lost, self.hang, self.cancelled, self.selected = set(), 0, 0, 0, []
        self.machines = [ONE, TWO]
        self.tasks = {}

    def nodes(self):
        """The machines."""
        return [{"Alive": True, "NodeID": name, "Resources": {"CPU": 1.0}} for name in self.machines]

    def put(self, value):
        """A value for all machines."""
        return value

    def remote(self, **_):
        """A function that machines can carry out."""
        return lambda function: SimpleNamespace(
            options=lambda label_selector: SimpleNamespace(
                remote=lambda *given: self._begun(function, label_selector, given)
            )
        )

    def _begun(self, function, selector, given):
        task = len(self.tasks)
        free = [name for name in self.machines if name not in selector.get("ray.io/node-id", "")]
        self.selected.append(selector)
        self.tasks[task] = function, free[task % len(free)], given
        return task

    def wait(self, tasks, timeout):
        """The first task, or none while it hangs."""
        if self.hang:
            self.hang -= 1
            time.sleep(timeout)
            return [], tasks
        return tasks[:1], tasks[1:]

    def get(self, task):
        """The result of a task."""
        function, machine, given = self.tasks[task]
        if self.lost:
            self.lost -= 1
            raise self.exceptions.WorkerCrashedError
        try:
            answer = function(*given)
        except Exception as error:
            wrapped = self.exceptions.RayTaskError(str(error))
            wrapped.cause = error
            raise wrapped from None
        if machine in self.odd:
            return ray_task.Refused(machine, "10.0.0.2", ray_task._Kept.current.probe.facts | {"numpy": "0.1"})
        return answer

    def cancel(self, task, force):
        """Counts tasks that are given up."""
        self.cancelled += 1


@pytest.fixture
def ray(monkeypatch):
    """A faked Ray."""
    fake = FakeRay()
    session = SimpleNamespace(ray=fake, close=lambda: None)
    monkeypatch.setattr(ray_cluster, "Session", lambda address, size: session)
    monkeypatch.setattr(ray_task._Kept, "current", None)
    monkeypatch.setattr(ray_task.parallel, "use_threads", lambda count: None)
    before = torch.get_num_threads()
    yield fake
    torch.set_num_threads(before)


def test_a_cluster_trains_to_the_same_bytes(ray, tiny_suite, tmp_path):
    here = trained(tmp_path / "here", "rl2", tiny_suite)
    assert trained(tmp_path / "ray", "rl2", tiny_suite, collect="ray") == here
    assert len(ray.tasks) == 4  # a task for each processor and iteration


def test_tasks_that_are_lost_are_done_again_to_the_same_bytes(ray, tiny_suite, tmp_path, capfd):
    here = trained(tmp_path / "here", "maml-trpo", tiny_suite)
    ray.lost = 2
    assert trained(tmp_path / "ray", "maml-trpo", tiny_suite, collect="ray") == here
    assert "tasks were lost in the cluster (WorkerCrashedError): it does them again" in capfd.readouterr().out


def test_a_task_that_hangs_is_given_up_and_done_again(ray, tiny_suite, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(patience, "PATIENCE_FACTOR", 0.0)
    ray.hang = 1
    trained(tmp_path / "ray", "random", tiny_suite, collect="ray", iterations=1)
    assert ray.cancelled == 2
    assert "no answer for 0 s" in capfd.readouterr().out


def test_tasks_that_are_always_lost_end_the_training_with_a_sentence(ray, tiny_suite, tmp_path):
    ray.lost = 100
    with pytest.raises(TrainingError, match="the same tasks were lost 4 times in the cluster"):
        trained(tmp_path / "ray", "random", tiny_suite, collect="ray")


def test_a_machine_whose_numbers_differ_is_refused_with_the_reason(ray, tiny_suite, tmp_path, capfd):
    here = trained(tmp_path / "here", "rl2", tiny_suite)
    ray.odd.add(TWO)
    assert trained(tmp_path / "ray", "rl2", tiny_suite, collect="ray") == here
    said = capfd.readouterr().out.replace("\n", " ")
    assert "machine 10.0.0.2 is refused, because a probe gives other numbers there than here: numpy 0.1, here" in said
    assert ray.selected[-1] == {"ray.io/node-id": f"!in({TWO})"}


def test_a_cluster_of_machines_that_all_differ_is_refused(ray, tiny_suite, tmp_path):
    ray.odd |= {ONE, TWO}
    with pytest.raises(UserError, match="the cluster has no processor to collect with: machine 10"):
        trained(tmp_path / "ray", "random", tiny_suite, collect="ray")


def test_a_process_whose_probe_differs_computes_nothing(ray, tiny_suite, tmp_path, monkeypatch):
    probe, calls = ray_task.probe, []

    def odd(job, learner):
        calls.append(1)
        found = probe(job, learner)
        return found if len(calls) == 1 else found._replace(digest="other")  # the first is the driver's

    monkeypatch.setattr(ray_task, "probe", odd)
    monkeypatch.setattr(ray_task, "place", lambda: (ONE, "10.0.0.1"))
    ray.machines = [ONE]
    with pytest.raises(UserError, match="with the same versions, so its processor is of another kind"):
        trained(tmp_path / "ray", "random", tiny_suite, collect="ray")


def test_an_error_of_the_learner_reaches_the_user_as_it_is(ray, tiny_suite, tmp_path, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("in my learner")

    monkeypatch.setattr(ray_task, "compute", fails)
    with pytest.raises(ZeroDivisionError, match="in my learner"):
        trained(tmp_path / "ray", "random", tiny_suite, collect="ray")


@pytest.mark.parametrize(
    "who", ["ray:", "ray://", "ray:host", "ray://host", "ray:a b:1", "ray://host:1/x", "ray:h:123456"]
)
def test_a_wrong_address_is_refused_before_anything_is_written(who, tiny_suite, tmp_path):
    with pytest.raises(UserError, match="collect must be ray, ray:HOST:PORT or ray://HOST:PORT"):
        trained(tmp_path / "run", "random", tiny_suite, collect=who)
    assert not (tmp_path / "run").exists()


def test_a_cluster_is_refused_on_a_gpu():
    with pytest.raises(UserError, match="--collect ray needs --device cpu"):
        collector_for(SimpleNamespace(hardware=Hardware(device="cuda")), None, "ray")


def test_a_running_cluster_needs_its_token(monkeypatch):
    for name in (ray_session.MODE, *ray_session.TOKENS):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="needs its token in RAY_AUTH_TOKEN"):
        ray_session.Session("10.0.0.1:6379", 1)


def test_a_missing_ray_is_named_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'robometa\[ray\]'"):
        ray_session.Session(None, 1)
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ  # and the environment is as it was


def test_a_cluster_that_does_not_start_ends_in_a_sentence_and_is_shut_down(monkeypatch):
    ended = []

    def fails(**_):
        raise Exception("The current node timed out during startup. This could happen")  # as Ray does

    broken = SimpleNamespace(is_initialized=lambda: False, init=fails, shutdown=lambda: ended.append(1))
    monkeypatch.setattr(ray_session, "_imported", lambda: broken)
    monkeypatch.setattr(ray_session, "_read_again", lambda: None)
    with pytest.raises(UserError, match="Ray cannot be started: The current node timed out during startup"):
        ray_session.Session(None, 1)
    assert ended == [1]


def test_a_run_never_connects_to_the_cluster_that_its_file_names():
    assert as_before("ray") == "ray"
    with pytest.raises(UserError, match=r"give --collect ray://10\.0\.0\.1:10001, or --collect here"):
        as_before("ray://10.0.0.1:10001")


def command(pid):
    """The command line of a process; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def alive(pattern):
    """Processes whose command line has a text."""
    numbers = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    return [pid for pid in numbers if pattern in command(pid) and pid != os.getpid()]


def gone(pattern):
    """Waits until no process has a text in its command line."""
    until = time.monotonic() + 180  # Ray's agents look for their parent now and then
    while alive(pattern):
        assert time.monotonic() < until, "a process of the cluster outlives it"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rl2", "maml-trpo"])
def test_a_cluster_of_this_machine_trains_to_the_same_bytes_though_a_worker_is_killed(
    name, tiny_suite, tmp_path, monkeypatch
):
    pytest.importorskip("ray")
    here = trained(tmp_path / "here", name, tiny_suite, iterations=3)
    collect, seen = RayCluster.collect, []

    def sabotaged(collector, batch):
        seen.append(os.environ["RAY_AUTH_MODE"])
        if len(seen) == 2:
            os.kill(
                next(pid for pid in alive("ray::") if command(pid).startswith(("ray::IDLE", "ray::compute"))),
                signal.SIGKILL,
            )
        return collect(collector, batch)

    monkeypatch.setattr(RayCluster, "collect", sabotaged)
    assert trained(tmp_path / "ray", name, tiny_suite, collect="ray", iterations=3) == here
    assert seen == ["token"] * 3
    gone("robometa-ray-")


@pytest.mark.slow
def test_a_cluster_that_loses_a_machine_trains_to_the_same_bytes(tiny_suite, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    here = trained(tmp_path / "here", "rl2", tiny_suite, iterations=3)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(robometa.__file__).parents[1]))
    settings = {"num_cpus": 1, "object_store_memory": 150 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=settings)
    other = cluster.add_node(num_cpus=1, object_store_memory=150 * 2**20)
    collect, batches = RayCluster.collect, []

    def sabotaged(collector, batch):
        batches.append(batch)
        if len(batches) == 2:
            cluster.remove_node(other, allow_graceful=False)
        return collect(collector, batch)

    monkeypatch.setattr(RayCluster, "collect", sabotaged)
    try:
        assert trained(tmp_path / "ray", "rl2", tiny_suite, collect=f"ray:{cluster.address}", iterations=3) == here
    finally:
        cluster.shutdown()


@pytest.fixture
def short():
    """A folder whose path leaves room for the names of Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="short-") as folder:
        yield folder


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_no_process_and_goes_on_by_another_form(tmp_path, short):
    pytest.importorskip("ray")
    words = ["half-cheetah-velocity", "rl2", "--tasks", "4", "--worlds", "2", "--iterations", "4", "--seed", "3"]
    words += ["--torch-threads", "1", "--piece", "2", "--checkpoint-minutes", "0"]

    def training(folder, *more):
        return [sys.executable, "-P", "-m", "robometa", "train", *words, "--folder", str(tmp_path / folder), *more]

    environment = os.environ | {"PYTHONPATH": str(Path(robometa.__file__).parents[1]), "TMPDIR": short}
    subprocess.run(training("here"), env=environment, check=True, capture_output=True)
    driver = subprocess.Popen(training("ray", "--collect", "ray"), env=environment, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 200
        while not [*(tmp_path / "ray").glob("checkpoints/*")]:
            assert driver.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        driver.kill()
        driver.wait()
        gone(f"{short}/robometa-ray-")
    finally:
        driver.kill()
        driver.wait()
    resume(tmp_path / "ray", collect="processes:2")
    assert content(tmp_path / "ray") == content(tmp_path / "here")

"""Trials on a Ray cluster: the same record, on machines that share the folder and the versions."""

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY_SUITE

from robometa.commands.main import main
from robometa.errors import Stopped, TrainingError, UserError
from robometa.search import cluster
from robometa.search.cluster import Cluster
from robometa.search.run import begin, planned, resume
from robometa.storage.open_folder import opened

pytest.importorskip("optuna")
ONE, TWO = "a" * 56, "b" * 56
"""Ray's names of two machines."""
SMALL = "\n[learner.maml-trpo]\ntasks = 2\nworlds = 2\nhidden = [4]\n"
SIZES = {"budget": "700", "training": "120", "generation": 3, "rungs": 2, "finalists": 1, "seeds": 1}


class FakeRay:
    """Ray's calls, carried out at once in this process; a machine may see other files or have other versions."""

    class exceptions:
        """Ray's errors."""

        RayError = type("RayError", (Exception,), {})
        RayTaskError = type("RayTaskError", (RayError,), {"cause": None})
        RaySystemError = type("RaySystemError", (RayError,), {})
        RuntimeEnvSetupError = type("RuntimeEnvSetupError", (RayError,), {})
        WorkerCrashedError = type("WorkerCrashedError", (RayError,), {})

    def __init__(self):
        self.apart, self.other, self.cancelled = set(), set(), []
        self.lost = self.stopped = False
        self.tasks, self.selected = {}, []

    def nodes(self):
        """The machines."""
        alive = [{"NodeID": one, "NodeManagerAddress": f"10.0.0.{place}"} for place, one in enumerate((ONE, TWO), 1)]
        return [one | {"Alive": True, "Resources": {"CPU": 1.0}} for one in alive]

    def put(self, value):
        """A value for all machines."""
        return value

    def remote(self, **_):
        """A function that machines can carry out."""
        return lambda function: SimpleNamespace(
            options=lambda label_selector: SimpleNamespace(remote=partial(self._begun, function, label_selector))
        )

    def _begun(self, function, selector, *given):
        place = selector.get("ray.io/node-id", "")
        self.selected.append(place)
        self.tasks[len(self.tasks)] = function, place, given
        return len(self.tasks) - 1

    def wait(self, tasks, num_returns, timeout):
        """The last task; a signal's error is wrapped as Ray's own code does it."""
        assert num_returns == len(tasks)
        if self.stopped:
            raise SystemError("returned a result with an exception set") from Stopped("stopped by SIGINT")
        return tasks[-1:], tasks[:-1]

    def get(self, task, timeout=None):
        """The result of a task."""
        function, place, given = self.tasks[task]
        if function is not cluster.seen:
            if self.lost:
                raise self.exceptions.WorkerCrashedError
            try:
                return function(*given)
            except Exception as error:
                wrapped = self.exceptions.RayTaskError(str(error))
                wrapped.cause = error
                raise wrapped from None
        content, versions = function(*given)
        return "" if place in self.apart else content, versions | ({"torch": "0.1"} if place in self.other else {})

    def cancel(self, task, force):
        """Counts tasks that are given up."""
        self.cancelled.append(task)


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """A faked Ray, and a working directory with the tiny suite."""
    fake = FakeRay()
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE + SMALL, encoding="utf-8")
    monkeypatch.setattr(cluster, "Session", lambda address, size: SimpleNamespace(ray=fake, close=lambda: None))
    monkeypatch.setattr(cluster._Begun, "name", "")
    monkeypatch.setattr(cluster.parallel, "use_threads", lambda count: None)
    monkeypatch.setattr(cluster.torch, "set_num_threads", lambda count: None)
    return fake


def search(folder, jobs):
    suite, made, _ = planned("tiny.toml", ("maml-trpo",), space={"hidden": {"width": [4, 8], "depth": [1, 2]}}, **SIZES)
    begin(suite, made, folder, jobs, silent=True)
    return (Path(folder) / "search.jsonl").read_bytes()


def test_a_search_on_a_cluster_has_the_same_record(ray):
    on_cluster = search("a", "ray:10.0.0.1:6379")
    assert len([place for place in ray.selected if not place]) == len(list(Path("a").glob("trials/*"))) + 3
    assert on_cluster == search("b", "ray")
    assert not list(Path("a").glob(".shared*"))


@pytest.mark.parametrize(
    ("kind", "why"), [("apart", "it does not share .*trials are trained"), ("other", "torch 0.1, here")]
)
def test_a_machine_that_cannot_train_gets_no_trial(ray, kind, why):
    getattr(ray, kind).add(TWO)
    Path("s").mkdir()
    with opened(Path("s").absolute()) as folder:
        carriers = Cluster(SimpleNamespace(begun=lambda: lambda order: 2 * order), "ray", folder)
        (said,) = carriers.remarks()
        assert re.match(f"machine 10.0.0.2 trains nothing: {why}", said)
        assert sorted(carriers.run([1, 2, 3])) == [(0, 2), (1, 4), (2, 6)]
        assert ray.selected[2:] == [f"!in({TWO})"] * 3
        getattr(ray, kind).add(ONE)
        with pytest.raises(UserError, match=f"no machine to train on: machine 10.0.0.1 trains nothing: {why}"):
            Cluster(SimpleNamespace(begun=lambda: None), "ray", folder)
        assert not folder.names()


def test_a_trial_that_is_always_lost_ends_the_search_with_a_sentence_and_the_rest_is_given_up(ray):
    ray.lost = True
    with pytest.raises(TrainingError, match=r"lost in the cluster again and again .*; go on with: robometa search"):
        search("a", "ray")
    assert len(ray.cancelled) == 2
    ray.lost = False
    resume("a", "ray", silent=True)


def test_a_stop_signal_gives_up_what_is_under_way(ray):
    ray.stopped = True
    with pytest.raises(Stopped):
        search("a", "ray")
    assert len(ray.cancelled) == 3


def test_an_error_of_the_work_reaches_the_user_as_it_is(ray):
    def broken(order):
        raise UserError("the file has changed")

    Path("s").mkdir()
    with opened(Path("s").absolute()) as folder:
        carriers = Cluster(SimpleNamespace(begun=lambda: broken), "ray", folder)
        with pytest.raises(UserError, match="the file has changed"):
            next(carriers.run([1]))


@pytest.mark.parametrize("jobs", ["ray:", "ray:host", "rays", "ray://host:x"])
def test_a_wrong_address_is_refused_before_anything_is_written(jobs, ray, capsys):
    assert main(["search", "tiny.toml", "maml-trpo", "--budget", "700", "--jobs", jobs, "--folder", "s"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"jobs must be a number, ray, ray:HOST:PORT or ray://HOST:PORT, not {jobs}" in said
    assert not Path("s").exists()


@pytest.mark.slow
def test_a_cluster_of_this_machine_searches_to_the_same_record(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE + SMALL, encoding="utf-8")
    assert search("a", "ray") == search("b", 2)

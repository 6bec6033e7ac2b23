"""Every learner over one Ray cluster of this machine: the same bytes as here."""

import pytest

from robometa.trials.collectors import ray_session
from robometa.trials.collectors.ray_session import Session
from tests.trials.collectors.test_processes import COLLECTING
from tests.trials.collectors.test_ray_cluster import gone, trained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A connection that the trainings find open, so that Ray starts once."""
    pytest.importorskip("ray")
    session = Session(None, 0)
    yield session.ray
    session.close()
    gone("robometa-ray-")


@pytest.mark.parametrize("name", COLLECTING)
def test_every_learner_trains_to_the_same_bytes_over_a_cluster(name, cluster, tiny_suite, tmp_path, monkeypatch):
    here = trained(tmp_path / "here", name, tiny_suite)
    connect = []
    monkeypatch.setattr(ray_session.Session, "_connect", lambda *_: connect.append(1))
    assert trained(tmp_path / "ray", name, tiny_suite, collect="ray") == here
    assert cluster.is_initialized()
    assert not connect  # one start for all learners

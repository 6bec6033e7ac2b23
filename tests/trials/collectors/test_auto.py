"""Collection by the faster form: both give the same bytes, and a sentence says which one stays."""

import pytest
from conftest import SMALL_OPTIONS

from robometa.training.train import train
from robometa.trials.collectors import auto


class Slow:
    """A form of collection that takes a while, and counts itself."""

    def __init__(self, there, seconds):
        self._there, self._seconds = there, seconds
        self.batches, self.closed, self.on_divergence = 0, False, None

    def collect(self, batch):
        """Collects here."""
        self.batches += 1
        self._there[0].now += self._seconds
        return self._there[1].collect(batch)

    def ready(self):
        """Starts at once."""
        return True

    def processor_seconds(self):
        """No time."""
        return 0.0

    def remarks(self):
        """Nothing."""
        return []

    def close(self):
        """Notes that it was closed."""
        self.closed = True


class Clock:
    """A clock that collecting moves."""

    now = 0.0

    def perf_counter(self):
        """The time, s."""
        return self.now


@pytest.fixture
def measured(monkeypatch):
    """Trains by a form here and one by processes that take so many seconds a batch; returns both, and the policy."""

    def run(suite, folder, here, others, iterations, count=2):
        clock, real, made = Clock(), auto.Here, {}

        def slow(name, seconds):
            def make(job, learner, *_):
                made[name] = Slow((clock, real(job, learner)), seconds)
                return made[name]

            return make

        monkeypatch.setattr(auto, "time", clock)
        monkeypatch.setattr(auto, "processors", lambda: count)
        monkeypatch.setattr(auto, "Here", slow("here", here))
        monkeypatch.setattr(auto, "Processes", slow("processes", others))
        options = SMALL_OPTIONS["random"] | {"iterations": iterations, "tasks": 4, "worlds": 2}
        train(suite, "random", options=options, folder=folder, collect="auto", piece=2, threads=1)
        return made

    return run


def test_processes_stay_where_they_are_faster(measured, tiny_suite, tmp_path, capfd):
    made = measured(tiny_suite, tmp_path / "run", 4.0, 2.5, 12)
    assert (made["here"].batches, made["processes"].batches) == (4, 8)
    assert made["here"].closed
    said = "2 processes will collect: a batch takes 4.00 s here, 2.50 s by 2 processes"
    assert said in capfd.readouterr().out.replace("\n", " ")


def test_this_process_stays_where_it_is_faster(measured, tiny_suite, tmp_path, capfd):
    made = measured(tiny_suite, tmp_path / "run", 4.0, 4.5, 12)
    assert (made["here"].batches, made["processes"].batches) == (8, 4)
    assert made["processes"].closed
    assert "this process will collect: a batch takes 4.00 s here" in capfd.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(("seconds", "count"), [(0.5, 2), (4.0, 1)])
def test_a_short_training_or_one_processor_starts_no_process(seconds, count, measured, tiny_suite, tmp_path):
    assert "processes" not in measured(tiny_suite, tmp_path / "run", seconds, 0.1, 12, count)

"""What is shown of work that takes long."""

from rich.progress import Progress

from robometa import progress


def test_phases_are_named_as_they_begin_and_counted_once_they_are_over(monkeypatch):
    bar = Progress(disable=True)
    monkeypatch.setattr(progress, "progress", lambda: bar)
    with progress.phases(2) as phase:
        for done, words in enumerate(("first", "second")):
            phase(words)
            (shown,) = bar.tasks
            assert (shown.description, shown.completed, shown.total) == (words, done, 2)

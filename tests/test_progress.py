"""What is shown of work that takes long."""

import io

from rich.console import Console
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


def test_a_bar_within_another_one_is_not_shown(monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=said, force_terminal=True))
    for _ in range(2):
        with progress.phases(1) as phase:
            phase("outer")
            with progress.progress() as inner:
                inner.add_task("inner", total=1)
    with progress.progress() as alone:
        alone.add_task("alone", total=1)
    assert "outer" in said.getvalue()
    assert "alone" in said.getvalue()
    assert "inner" not in said.getvalue()

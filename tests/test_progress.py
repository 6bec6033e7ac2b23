"""What is shown of work that takes long."""

import io

from rich.console import Console

from robometa import progress
from robometa.progress import phases


def test_phases_are_named_as_they_begin_and_counted_once_they_are_over(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(progress, "Console", lambda **settings: console)
    shown = []
    with phases(3) as phase:
        for words in ("first", "second", "third"):
            phase(words)
            shown.append(console.file.getvalue())
            console.file.truncate(0)
    whole = "".join(shown) + console.file.getvalue()
    assert all(words in whole for words in ("first", "second", "third"))
    assert "2/3" in whole

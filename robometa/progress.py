"""Progress bars, and output that may fail without ending the work."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def progress() -> Progress:
    """Makes a progress bar for work of more than a few seconds; silent without a terminal, and within another bar."""
    console = Console(stderr=True)
    return _OnlyBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


class _OnlyBar(Progress):
    """A progress bar that is not shown while another one is."""

    _shown: ClassVar[_OnlyBar | None] = None

    def start(self) -> None:
        """Shows it if no other one is shown."""
        self.disable = self.disable or _OnlyBar._shown is not None
        if not self.disable:
            _OnlyBar._shown = self
        super().start()

    def stop(self) -> None:
        """Clears it away."""
        super().stop()
        if _OnlyBar._shown is self:
            _OnlyBar._shown = None


@contextmanager
def phases(count: int) -> Iterator[Callable[[str], None]]:
    """Shows work of a few long phases; yields a function to call with a phase's words as it begins."""
    with progress() as bar:
        shown = bar.add_task("", total=count)
        begun = itertools.count()
        yield lambda words: bar.update(shown, description=words, completed=next(begun))


class FailsSilently:
    """A text stream that goes silent at its first failure, such as a full disk or a closed pipe."""

    def __init__(self, stream: TextIO | None) -> None:
        """Wraps a stream; None, which Python has for a closed one, is silent at once."""
        self._stream = stream
        self.failure: OSError | ValueError | None = None
        """The first failure, if there was one; a ValueError is that of a stream that was closed."""

    def write(self, text: str) -> int:
        """Writes a text if the stream still works; signs that its encoding lacks are written out."""
        self._try(lambda stream: stream.write(_encodable(text, stream)))
        return len(text)

    def flush(self) -> None:
        """Flushes the stream if it still works."""
        self._try(lambda stream: stream.flush())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None or self.failure is not None:
            return
        try:
            act(self._stream)
        except (OSError, ValueError) as error:
            self.failure = error

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)


def _encodable(text: str, stream: TextIO) -> str:
    """Writes signs that a stream's encoding lacks as escapes."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text

"""Rich consoles that show every text as it is: no markup, no control characters, no emoji codes."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from robometa.escape import lines


class PlainConsole(Console):
    """A console for untrusted text; styles come from `Text` objects only, such as those of `styled`."""

    def __init__(self, **settings: Any) -> None:
        """Makes a console without highlighting."""
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Makes the text that is shown for a string, in a table too."""
        return super().render_str(lines(text), **settings | {"markup": False, "emoji": False, "highlight": False})


def styled(text: object, style: str = "bold") -> Text:
    """A text in a style."""
    return Text(lines(text), style=style)

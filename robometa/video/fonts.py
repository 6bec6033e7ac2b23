"""Letters of one family in any size."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont

from robometa.compute.matplotlib_import import import_matplotlib


@cache
def typeface(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: its digits are equally wide, so that running numbers stand still.

    Args:
        size: Pixels.
        bold: The heavier cut.
    """
    import_matplotlib()
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, max(6, size))


def number(value: float, digits: int) -> str:
    """A number with as many digits after the point, and a true minus sign."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def fitted(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """The text, its end left out if it is wider than `room` pixels."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "\N{HORIZONTAL ELLIPSIS}") > room:
        text = text[:-1]
    return text.rstrip() + "\N{HORIZONTAL ELLIPSIS}"

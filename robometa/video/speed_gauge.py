"""A dial that shows a speed, and where it should be."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from robometa.video.fonts import number, typeface

FACE, INK, MUTED, TRACK = (255, 255, 255, 225), (28, 36, 46, 255), (104, 113, 124, 255), (214, 216, 216, 255)
TARGET = (214, 41, 77, 255)
FINE = 3
"""Supersampling factor, because Pillow's lines have no smooth edges."""
START, SWEEP = 150.0, 240.0
"""Angle of the dial's low end, clockwise from the right, and its length, degrees."""


class Gauge:
    """A dial of a fixed range with a mark at the target."""

    def __init__(self, width: int, span: tuple[float, float], target: float, tolerance: float) -> None:
        """Draws all but the needle.

        Args:
            width: Pixels.
            span: Lowest and highest speed shown, m/s.
            target: The speed to reach, m/s.
            tolerance: How far from it counts as reached, m/s.
        """
        self.width, self.span = width, span
        self.height = round(0.98 * width)
        self.size = width * FINE
        self.middle = (0.5 * self.size, 0.52 * self.size)
        self.radius = 0.36 * self.size
        self.face = Image.new("RGBA", (self.size, self.height * FINE))
        self._draw_face(ImageDraw.Draw(self.face), target, tolerance)

    def draw(self, page: Image.Image, corner: tuple[int, int], speed: float) -> None:
        """Puts the dial with its needle on a page, its upper left corner there."""
        face = self.face.copy()
        draw = ImageDraw.Draw(face)
        angle = self._angle(speed)
        draw.line((*self._at(angle, -0.12), *self._at(angle, 0.80)), INK, round(0.028 * self.size))
        x, y = self.middle
        hub = 0.045 * self.size
        draw.ellipse((x - hub, y - hub, x + hub, y + hub), INK)
        font = typeface(round(0.145 * self.size), bold=True)
        draw.text((x, 0.80 * self.size), number(speed, 1), INK, font, anchor="mm")
        small = face.resize((self.width, self.height), Image.Resampling.LANCZOS)
        page.paste(small, corner, small)

    def _draw_face(self, draw: ImageDraw.ImageDraw, target: float, tolerance: float) -> None:
        size, x, y = self.size, *self.middle
        draw.rounded_rectangle((0, 0, size - 1, self.height * FINE - 1), 0.09 * size, fill=FACE)
        ring = (x - self.radius, y - self.radius, x + self.radius, y + self.radius)
        thick = round(0.065 * size)
        draw.arc(ring, START, START + SWEEP, TRACK, thick)
        draw.arc(ring, self._angle(target - tolerance), self._angle(target + tolerance), (*TARGET[:3], 90), thick)
        self._draw_scale(draw)
        angle = self._angle(target)
        draw.line((*self._at(angle, 0.80), *self._at(angle, 1.04)), TARGET, round(0.03 * size))
        tip, left, right = self._at(angle, 1.03), self._at(angle - 8, 1.27), self._at(angle + 8, 1.27)
        draw.polygon((tip, left, right), TARGET)
        draw.text((x, 0.92 * size), "m/s", MUTED, typeface(round(0.095 * size)), anchor="mm")

    def _draw_scale(self, draw: ImageDraw.ImageDraw) -> None:
        low, high = self.span
        stride = max(1, math.ceil((high - low) / 6))
        font = typeface(round(0.105 * self.size))
        for speed in range(math.ceil(low), math.floor(high) + 1):
            if speed % stride == 0:
                draw.text(self._at(self._angle(speed), 0.64), number(speed, 0), MUTED, font, anchor="mm")

    def _angle(self, speed: float) -> float:
        """Angle of a speed on the dial, clockwise from the right, degrees."""
        low, high = self.span
        return START + SWEEP * min(1.0, max(0.0, (speed - low) / (high - low)))

    def _at(self, angle: float, share: float) -> tuple[float, float]:
        """A point at a share of the radius."""
        turn = math.radians(angle)
        return (
            self.middle[0] + share * self.radius * math.cos(turn),
            self.middle[1] + share * self.radius * math.sin(turn),
        )

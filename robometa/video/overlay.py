"""Overlay of a video's panels: titles, numbers, a speed gauge, the episode's progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from robometa.video.film import Array, Film, Panel
from robometa.video.fonts import fitted, number, typeface
from robometa.video.speed_gauge import Gauge

PAPER, INK, MUTED, LINE = (250, 249, 246), (28, 36, 46), (104, 113, 124), (222, 221, 215)
ACCENTS = ((112, 124, 140), (217, 132, 30), (14, 134, 124))
"""Colours of the panels: before any data, after the first shot, after the last."""
CHANGE = (150, 60, 160)
"""Colour of the moments at which a task changes."""
DESIGN = (1280, 480)
"""Reference width and height of the sizes below, pixels."""
MARGIN, GAP, HEADER, TITLE, FOOTER, BAR = 18, 14, 50, 32, 42, 5
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Position and size of a panel on the page, pixels."""

    left: int
    top: int
    width: int
    height: int


class Page:
    """Puts the panels' pictures on a page and writes on it."""

    def __init__(self, film: Film) -> None:
        """Draws all that does not change."""
        self.film = film
        self.scale = min(film.width / DESIGN[0], film.height / DESIGN[1])
        if len(film.panels) < 3:
            self.scale = min(film.height / DESIGN[1], 1.4 * film.width / DESIGN[0])
        self.places = self._places()
        self._gauges: dict[float, Gauge] = {}
        self.blank = self._blank()

    def compose(self, pictures: Sequence[Array], frame: int) -> Array:
        """A frame of the film. `[height, width, 3]`, uint8."""
        page = self.blank.copy()
        for index, picture in enumerate(pictures):
            panel, place = self.film.panels[index], self.places[index]
            shown = Image.fromarray(picture)
            if panel.over[frame]:
                shown = Image.blend(shown, Image.new("RGB", shown.size, PAPER), 0.5)
            page.paste(shown, (place.left, place.top))
            self._write_numbers(page, panel, place, frame)
            self._draw_progress(page, panel, place, frame, accent(index, len(pictures)))
            if self.film.target.kind == "speed":
                gauge = self._gauge(self.film.target_of(panel, frame).values[0])
                corner = (place.left + place.width - gauge.width - self._px(8), place.top + self._px(8))
                gauge.draw(page, corner, float(panel.measure[frame]))
            self._write_badge(page, panel, place, frame)
            if panel.news.size and panel.news[frame]:
                self._write_pill(page, str(panel.news[frame]), CHANGE, place, place.height - self._px(22))
        return np.asarray(page)

    def _gauge(self, speed: float) -> Gauge:
        """The dial with its mark at a speed, m/s."""
        if speed not in self._gauges:
            self._gauges[speed] = Gauge(round(108 * self.scale), self.film.span, speed, self.film.target.tolerance)
        return self._gauges[speed]

    def _px(self, size: float) -> int:
        return round(size * self.scale)

    def _places(self) -> list[Place]:
        count, margin, gap = len(self.film.panels), self._px(MARGIN), self._px(GAP)
        width = (self.film.width - 2 * margin - (count - 1) * gap) // count
        top = self._px(HEADER + TITLE)
        height = self.film.height - top - self._px(FOOTER + BAR)
        return [Place(margin + index * (width + gap), top, width, height) for index in range(count)]

    def _blank(self) -> Image.Image:
        film = self.film
        page = Image.new("RGB", (film.width, film.height), PAPER)
        draw = ImageDraw.Draw(page)
        big, middle = typeface(self._px(21), bold=True), typeface(self._px(17))
        left, right, line = self._px(MARGIN), film.width - self._px(MARGIN), self._px(27)
        draw.text((left, line), film.suite, INK, big, anchor="lm")
        after = left + draw.textlength(film.suite, big) + self._px(16)
        draw.text((right, line), film.learner, MUTED, middle, anchor="rm")
        room = right - draw.textlength(film.learner, middle) - self._px(16) - after
        draw.text((after, line), fitted(film.task, middle, room), MUTED, middle, anchor="lm")
        for index, (panel, place) in enumerate(zip(film.panels, self.places, strict=True)):
            self._write_title(draw, panel.title, place, accent(index, len(film.panels)))
        return page

    def _write_title(self, draw: ImageDraw.ImageDraw, title: str, place: Place, colour: Colour) -> None:
        font, line = typeface(self._px(17), bold=True), place.top - self._px(TITLE / 2)
        side = self._px(10)
        draw.rounded_rectangle(
            (place.left, line - side // 2, place.left + side, line + side // 2), self._px(3), fill=colour
        )
        left = place.left + side + self._px(8)
        draw.text((left, line), fitted(title, font, place.left + place.width - left), INK, font, anchor="lm")

    def _write_numbers(self, page: Image.Image, panel: Panel, place: Place, frame: int) -> None:
        """Time, the number that the target is about, and the return, under the picture."""
        draw, line = ImageDraw.Draw(page), place.top + place.height + self._px(BAR + FOOTER / 2)
        time = f"{self.film.times[frame]:.1f} s"
        measured = f"{number(float(panel.measure[frame]), 2)} {self.film.unit}"
        total = number(float(panel.returns[frame]), 1)
        left, right = place.left, place.left + place.width
        self._write_number(draw, "time", time, left, line)
        self._write_number(draw, self.film.measure, measured, left + 0.235 * place.width, line)
        self._write_number(draw, "return", total, right - self._width("return", total), line)

    def _write_number(self, draw: ImageDraw.ImageDraw, label: str, value: str, left: float, line: float) -> None:
        light, heavy = self._number_fonts()
        draw.text((left, line), label, MUTED, light, anchor="lm")
        draw.text((left + light.getlength(label) + self._px(6), line), value, INK, heavy, anchor="lm")

    def _width(self, label: str, value: str) -> float:
        light, heavy = self._number_fonts()
        return light.getlength(label) + self._px(6) + heavy.getlength(value)

    def _number_fonts(self) -> tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont]:
        return typeface(self._px(14)), typeface(self._px(15), bold=True)

    def _draw_progress(self, page: Image.Image, panel: Panel, place: Place, frame: int, colour: Colour) -> None:
        draw, top = ImageDraw.Draw(page), place.top + place.height
        bottom, right = top + self._px(BAR) - 1, place.left + place.width - 1
        draw.rectangle((place.left, top, right, bottom), fill=LINE)
        done = place.width * min(1.0, float(self.film.times[frame]) / self.film.duration)
        if done >= 1:
            draw.rectangle((place.left, top, place.left + round(done) - 1, bottom), fill=colour)
        for moment in panel.changed:
            middle, half = place.left + round(place.width * float(moment) / self.film.duration), self._px(1)
            draw.rectangle((middle - half, top - self._px(4), middle + half, bottom), fill=CHANGE)

    def _write_badge(self, page: Image.Image, panel: Panel, place: Place, frame: int) -> None:
        """Writes that the goal is reached, or that the episode ended early."""
        if panel.over[frame]:
            text, colour = "episode ended", INK
        elif self.film.target.kind == "goal" and panel.reached[frame]:
            text, colour = "at the goal", ACCENTS[2]
        elif self.film.target.kind == "place" and panel.reached[: frame + 1].any():
            text, colour = "success", ACCENTS[2] if panel.reached[frame] else MUTED
        else:
            return
        self._write_pill(page, text, colour, place, self._px(22))

    def _write_pill(self, page: Image.Image, text: str, colour: Colour, place: Place, down: int) -> None:
        """Writes a text in the middle of a panel, so many pixels below its upper end."""
        draw, font = ImageDraw.Draw(page), typeface(self._px(14), bold=True)
        middle, line = place.left + place.width // 2, place.top + down
        text = fitted(text, font, place.width - 2 * self._px(14))
        half = draw.textlength(text, font) / 2 + self._px(11)
        box = (middle - half, line - self._px(13), middle + half, line + self._px(13))
        draw.rounded_rectangle(box, self._px(13), fill=colour)
        draw.text((middle, line), text, PAPER, font, anchor="mm")


def accent(index: int, count: int) -> Colour:
    """The colour of a panel: the first and the last of `count` keep theirs."""
    return ACCENTS[index if index < count - 1 else 2]

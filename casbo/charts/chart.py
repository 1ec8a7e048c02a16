"""A chart: marks between two axes, with a title, ticks and a legend, as one SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

import numpy as np

from casbo.charts.frame import Frame
from casbo.charts.marks import Mark
from casbo.charts.scale import Linear, Scale, labels
from casbo.charts.svg import element

INK, SOFT, EDGE, GRID = "#1f2731", "#5b6572", "#9aa3ae", "#e6e9ed"
FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FONT_SIZE = 9.5  # points, as all lengths here
#: The mean width of a letter of such a font, as a share of its size.
LETTER = 0.55
LEFT, RIGHT, TOP, BOTTOM = 58.0, 9.0, 24.0, 36.0  # around the axes
#: How far apart ticks are, at least.
TICKS_ACROSS, TICKS_DOWN = 60.0, 32.0


@dataclass(frozen=True)
class Chart:
    """Marks between two axes; the first ones are drawn first.

    Arguments:
        marks: What is drawn.
        width, height: In points.
        title: Above, on the left.
        x_label, y_label: What the axes show.
        scale: The kind of the upright axis.
        y_low, y_high: Where the upright axis ends; None leaves it to the marks.
        whole: Whether the level axis counts something: then only whole numbers are named.
    """

    marks: Sequence[Mark]
    width: float = 317.0
    height: float = 180.0
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    scale: type[Scale] = Linear
    y_low: float | None = None
    y_high: float | None = None
    whole: bool = False

    def svg(self) -> str:
        """The chart as an SVG document; it needs nothing, and text is text."""
        root = element(
            "svg",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            width=f"{self.width:g}pt",
            height=f"{self.height:g}pt",
            font_family=FONT,
            font_size=FONT_SIZE,
        )
        frame = self._frame()
        root.extend(self._axes(frame))
        for mark in self.marks:
            root.extend(mark.draw(frame))
        root.extend(self._words(frame))
        root.extend(self._legend(frame))
        return tostring(root, encoding="unicode")

    def _frame(self) -> Frame:
        x, y = (
            np.concatenate([np.ravel(np.asarray(values, dtype=np.float64)) for values in column])
            for column in zip(((), ()), *(mark.extent() for mark in self.marks), strict=True)
        )
        return Frame(
            left=LEFT,
            right=self.width - RIGHT,
            top=TOP,
            bottom=self.height - BOTTOM,
            across=Linear.covering(x, margin=0.03, low=None, high=None),
            up=self.scale.covering(y, margin=0.05, low=self.y_low, high=self.y_high),
        )

    def _axes(self, frame: Frame) -> Iterator[Element]:
        """Grid, ticks and the two axes."""
        across = frame.across.ticks(int((frame.right - frame.left) / TICKS_ACROSS))
        if self.whole:
            across = [tick for tick in across if tick == round(tick)]
        up = frame.up.ticks(int((frame.bottom - frame.top) / TICKS_DOWN))
        for place, label in zip(frame.x(across), labels(across), strict=True):
            yield _stroke(f"M{place:.2f} {frame.top}V{frame.bottom}", GRID)
            yield _text(label, place, frame.bottom + 12, anchor="middle")
        for place, label in zip(frame.y(up), labels(up), strict=True):
            yield _stroke(f"M{frame.left} {place:.2f}H{frame.right}", GRID)
            yield _text(label, frame.left - 5, place + 3.3, anchor="end")
        yield _stroke(f"M{frame.left} {frame.top}V{frame.bottom}H{frame.right}", EDGE)

    def _words(self, frame: Frame) -> Iterator[Element]:
        """The title and the names of the axes."""
        if self.title:
            yield _text(self.title, frame.left, frame.top - 9, colour=INK, font_weight="bold")
        middle = (frame.left + frame.right) / 2
        yield _text(self.x_label, middle, self.height - 8, anchor="middle")
        if self.y_label:
            height = (frame.top + frame.bottom) / 2
            turned = f"rotate(-90 12 {height:g})"
            yield _text(self.y_label, 12, height, anchor="middle", transform=turned)

    def _legend(self, frame: Frame) -> Iterator[Element]:
        """Samples and names of the labelled marks, above on the right, where nothing is drawn."""
        named = [mark for mark in self.marks if mark.label]
        widths = [26 + LETTER * FONT_SIZE * len(mark.label) for mark in named]
        starts = frame.right - np.cumsum(widths[::-1])[::-1]
        for mark, start in zip(named, starts, strict=True):
            sample = _stroke(f"M{start:.2f} {frame.top - 12}h12", mark.colour)
            sample.set("stroke-width", "4" if mark.opacity < 1 else "2")
            sample.set("stroke-opacity", f"{mark.opacity:g}")
            yield sample
            yield _text(mark.label, start + 16, frame.top - 9)


def _stroke(path: str, colour: str) -> Element:
    return element("path", d=path, stroke=colour, fill="none", stroke_width=0.8)


def _text(
    content: str, x: float, y: float, *, anchor: str = "start", colour: str = SOFT, **options: str
) -> Element:
    return element("text", content, x=x, y=y, text_anchor=anchor, fill=colour, **options)

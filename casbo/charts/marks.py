"""Marks: what stands in a chart. Each says what it covers and draws itself in a frame.

A value that is not finite, or has no place on its axis, leaves a gap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import ArrayLike, NDArray

from casbo.charts.frame import Frame
from casbo.charts.svg import element, polyline

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Mark(ABC):
    """Something drawn from data.

    Arguments:
        colour: As SVG writes colours.
        opacity: From 0 to 1.
        label: Its name in the chart's legend; empty for none.
    """

    colour: str = "#2f6fb0"
    opacity: float = 1.0
    label: str = ""

    @abstractmethod
    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        """The values along either axis that have to be seen."""

    @abstractmethod
    def draw(self, frame: Frame) -> Iterator[Element]:
        """SVG elements."""


@dataclass(frozen=True)
class Line(Mark):
    """A curve through points (M,); with ``steps`` it keeps each value until the next one."""

    x: Sequence[float]
    y: Sequence[float]
    width: float = 1.6
    steps: bool = False

    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        return self.x, self.y

    def draw(self, frame: Frame) -> Iterator[Element]:
        x, y = frame.x(self.x), frame.y(self.y)
        for part in _unbroken(x, y):
            across, down = x[part], y[part]
            if self.steps:
                across, down = np.repeat(across, 2)[1:], np.repeat(down, 2)[:-1]
            yield element(
                "path",
                d=polyline(across, down) + ("h0" if len(across) == 1 else ""),
                fill="none",
                stroke=self.colour,
                stroke_width=self.width,
                stroke_opacity=self.opacity,
                stroke_linejoin="round",
                stroke_linecap="round",
            )


@dataclass(frozen=True)
class Band(Mark):
    """The area between two curves (M,)."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]

    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        return self.x, [*self.low, *self.high]

    def draw(self, frame: Frame) -> Iterator[Element]:
        x, low, high = frame.x(self.x), frame.y(self.low), frame.y(self.high)
        for part in _unbroken(x, low, high):
            outline = (
                np.concatenate([x[part], x[part][::-1]]),
                np.concatenate([high[part], low[part][::-1]]),
            )
            yield _filled(polyline(*outline) + "Z", self)


@dataclass(frozen=True)
class Bars(Mark):
    """Bars from 0 to ``heights`` (M,), ``width`` wide in units of x, centred on ``x``."""

    x: Sequence[float]
    heights: Sequence[float]
    width: float

    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        centres = np.asarray(self.x, dtype=np.float64)
        edges = np.concatenate([centres - self.width / 2, centres + self.width / 2])
        return edges, [0.0, *self.heights]

    def draw(self, frame: Frame) -> Iterator[Element]:
        centres = np.asarray(self.x, dtype=np.float64)
        left, right = frame.x(centres - self.width / 2), frame.x(centres + self.width / 2)
        top, base = frame.y(self.heights), frame.y(np.zeros(len(centres)))
        for sides in zip(left, right, top, base, strict=True):
            if np.isfinite(sides).all():
                a, b, high, low = sides
                yield _filled(polyline((a, a, b, b), (low, high, high, low)) + "Z", self)


@dataclass(frozen=True)
class Ranges(Mark):
    """Upright strokes from ``low`` to ``high`` (M,), ``width`` points wide."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    width: float = 2.0

    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        return self.x, [*self.low, *self.high]

    def draw(self, frame: Frame) -> Iterator[Element]:
        x, low, high = frame.x(self.x), frame.y(self.low), frame.y(self.high)
        for a, top, bottom in zip(x, high, low, strict=True):
            if np.isfinite((a, top, bottom)).all():
                yield element(
                    "path",
                    d=polyline((a, a), (bottom, top)),
                    stroke=self.colour,
                    stroke_width=self.width,
                    stroke_opacity=self.opacity,
                )


@dataclass(frozen=True)
class Dots(Mark):
    """Dots at points (M,), of a radius in points, filled with a colour of their own."""

    x: Sequence[float]
    y: Sequence[float]
    radius: float = 1.5
    fill: str | None = None

    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        return self.x, self.y

    def draw(self, frame: Frame) -> Iterator[Element]:
        for a, b in zip(frame.x(self.x), frame.y(self.y), strict=True):
            if np.isfinite((a, b)).all():
                yield element(
                    "circle",
                    cx=a,
                    cy=b,
                    r=self.radius,
                    fill=self.colour if self.fill is None else self.fill,
                    stroke=self.colour,
                )


@dataclass(frozen=True)
class Rule(Mark):
    """A dashed line across the chart at a value of y."""

    y: float

    def extent(self) -> tuple[ArrayLike, ArrayLike]:
        return (), (self.y,)

    def draw(self, frame: Frame) -> Iterator[Element]:
        (height,) = frame.y([self.y])
        if np.isfinite(height):
            across = polyline((frame.left, frame.right), (height, height))
            yield element("path", d=across, stroke=self.colour, stroke_dasharray="4 2")


def _unbroken(*columns: Array) -> Iterator[slice]:
    """The longest runs of rows in which every column has a value."""
    known = np.isfinite(np.stack(columns)).all(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    for first, last in edges.reshape(-1, 2):
        yield slice(int(first), int(last))


def _filled(outline: str, mark: Mark) -> Element:
    return element("path", d=outline, fill=mark.colour, fill_opacity=mark.opacity)

"""The frame of a chart: the rectangle between its axes, from data to points on the page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from casbo.charts.scale import Scale

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """A rectangle and the scales along its sides; what has no place on these becomes NaN.

    Arguments:
        left, right: In points from the page's left.
        top, bottom: In points from its top.
        across, up: The scales along the level and the upright axis.
    """

    left: float
    right: float
    top: float
    bottom: float
    across: Scale
    up: Scale

    def x(self, values: ArrayLike) -> Array:
        """Points from the page's left."""
        return self.left + (self.right - self.left) * self.across.places(values)

    def y(self, values: ArrayLike) -> Array:
        """Points from the page's top."""
        return self.bottom - (self.bottom - self.top) * self.up.places(values)

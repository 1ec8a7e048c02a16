"""Scores that pixels give without any model: examples, and cheap checks of a set-up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from casbo.errors import CandidateFailed, require
from casbo.scorer import Direction

from ..errors import ImageError
from .candidates import pixels, score_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

#: The share of red, green and blue in luminance (ITU-R BT.601, as in Pillow's mode "L").
LUMINANCE = np.array([0.299, 0.587, 0.114])


class PixelScore(ABC):
    """Scorer: N images -> (N,), a number computed from each picture's values in [0, 1]."""

    direction: Direction = "maximize"

    def __call__(self, samples: Sequence[Image]) -> list[float | CandidateFailed]:
        return score_pictures(
            samples, lambda pictures: [self.measure(pixels(picture)) for picture in pictures]
        )

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        return {"name": type(self).__name__}

    @abstractmethod
    def measure(self, values: NDArray[np.float64]) -> float:
        """The score of one picture's values, with shape (height, width, 3) in [0, 1]."""


class Brightness(PixelScore):
    """The mean luminance: 0 is black, 1 is white."""

    def measure(self, values: NDArray[np.float64]) -> float:
        return float((values @ LUMINANCE).mean())


class Contrast(PixelScore):
    """The standard deviation of the luminance: 0 is one grey, 0.5 is half black, half white."""

    def measure(self, values: NDArray[np.float64]) -> float:
        return float((values @ LUMINANCE).std())


class Colour(PixelScore):
    r"""How near all pixels are to a colour: 1 when each has it, 0 when each is its opposite corner.

    .. math:: 1 - \frac{1}{\sqrt{3} P} \sum_{p=1}^{P} \lVert x_p - c \rVert, \quad x_p, c \in [0, 1]^3

    Arguments:
        colour: Red, green and blue in 0..255, or a name or code that Pillow knows: "red", "#ff0000".

    Raises:
        ImageError: When it is no such colour.
    """

    def __init__(self, colour: str | Sequence[int]) -> None:
        self.colour = _colour(colour)

    def measure(self, values: NDArray[np.float64]) -> float:
        distances = np.linalg.norm(values - np.array(self.colour) / 255.0, axis=-1)
        return 1.0 - float(distances.mean()) / 3**0.5

    def describe(self) -> dict[str, Any]:
        return {"name": "Colour", "colour": list(self.colour)}


def _colour(colour: str | Sequence[int]) -> tuple[int, int, int]:
    """Red, green and blue in 0..255."""
    try:
        given = colour
        if isinstance(colour, str):
            given = require("PIL.ImageColor", "images").getrgb(colour)[:3]
        red, green, blue = (int(value) for value in given)
    except (TypeError, ValueError):
        red = green = blue = -1
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ImageError(
            "Expected a colour as three numbers in 0..255 or a name such as 'red', "
            f"got {colour!r}."
        )
    return red, green, blue

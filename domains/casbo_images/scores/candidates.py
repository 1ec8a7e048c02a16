"""Candidates as pictures: the one place that reads them and says how unreadable ones fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from casbo.errors import CandidateFailed, require

if TYPE_CHECKING:
    from PIL.Image import Image

Outcome = TypeVar("Outcome")


def score_pictures(
    samples: Sequence[object], score: Callable[[list[Image]], Sequence[Outcome | CandidateFailed]]
) -> list[Outcome | CandidateFailed]:
    """Score those of N samples that are pictures; the others' reasons take their places.

    Arguments:
        samples: N PIL images of any mode.
        score: RGB pictures -> as many outcomes; not called when there is no picture.
    """
    outcomes: dict[int, Outcome | CandidateFailed] = {}
    pictures: dict[int, Image] = {}
    for index, sample in enumerate(samples):
        try:
            pictures[index] = rgb(sample)
        except CandidateFailed as reason:
            outcomes[index] = reason
    if pictures:
        outcomes |= zip(pictures, score(list(pictures.values())), strict=True)
    return [outcomes[index] for index in range(len(samples))]


def rgb(sample: object) -> Image:
    """A picture as a new RGB image, what is transparent on white.

    Raises:
        CandidateFailed: When it is no PIL image, or one that cannot be decoded.
    """
    pil = require("PIL.Image", "images")
    if not isinstance(sample, pil.Image):
        raise CandidateFailed(f"expected a PIL image, got {type(sample).__name__}")
    image: Any = sample
    if min(image.size) < 1:
        raise CandidateFailed(f"expected a picture of at least 1 x 1 pixels, got {image.size}")
    try:
        image.load()  # a file opened but not yet read may turn out to be cut short
        if "A" in image.getbands() or "transparency" in image.info:
            white = pil.new("RGBA", image.size, "white")
            image = pil.alpha_composite(white, image.convert("RGBA"))
        picture: Image = image.convert("RGB").copy()
    except (OSError, ValueError, SyntaxError) as error:
        raise CandidateFailed(f"the picture cannot be read: {error}") from error
    picture.info = {}
    return picture


def pixels(picture: Image) -> NDArray[np.float64]:
    """An RGB picture's values in [0, 1], with shape (height, width, 3)."""
    return np.asarray(picture, dtype=np.float64) / 255.0

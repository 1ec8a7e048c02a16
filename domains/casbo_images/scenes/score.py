"""What the detector says of pictures, as a score to report beside the one that is steered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .caption import parse
from .detector import detect

if TYPE_CHECKING:
    from PIL.Image import Image


class SceneScore:
    """Agreement with a caption of the small world, and validity, by the detector.

    Components: ``agreement``, the share of the caption's attributes that a picture has, and
    ``valid``, 1 where it is a scene at all and 0 where it is none.

    Arguments:
        caption: Such as "a small yellow star at the top left on a dark background".
    """

    direction = "maximize"

    def __init__(self, caption: str) -> None:
        self.caption = caption
        self.wanted = parse(caption)

    def __call__(self, samples: Sequence[Image]) -> dict[str, NDArray[np.float64]]:
        """Named components, each with shape (N,)."""
        found = [detect(image) for image in samples]
        return {
            "agreement": np.array([d.agreement(self.wanted) for d in found]),
            "valid": np.array([float(d.valid) for d in found]),
        }

    def describe(self) -> dict[str, Any]:
        """The caption."""
        return {"name": "SceneScore", "caption": self.caption}

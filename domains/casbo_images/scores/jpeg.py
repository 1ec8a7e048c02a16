"""The size of a picture as a JPEG: how compressible it is.

Source: *Training Diffusion Models with Reinforcement Learning* (DDPO),
https://arxiv.org/abs/2305.13301, section 5.1.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from casbo.errors import CandidateFailed
from casbo.scorer import Direction

from ..errors import ImageError
from .candidates import score_pictures

if TYPE_CHECKING:
    from PIL.Image import Image


class JpegSize:
    """Scorer: N images -> (N,), kilobytes (1000 bytes) of each picture's JPEG.

    Arguments:
        quality: Pillow's JPEG quality, 1 to 100.
        direction: "minimize" asks for compressible pictures, "maximize" for incompressible ones.

    Raises:
        ImageError: On a quality outside its range.
    """

    def __init__(self, quality: int = 95, *, direction: Direction = "minimize") -> None:
        if not 1 <= quality <= 100:
            raise ImageError(f"Expected a JPEG quality in 1..100, got {quality}.")
        self.quality = int(quality)
        self.direction = direction

    def __call__(self, samples: Sequence[Image]) -> list[float | CandidateFailed]:
        return score_pictures(samples, lambda pictures: [self._size(p) for p in pictures])

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        return {"name": "JpegSize", "quality": self.quality}

    def _size(self, picture: Image) -> float | CandidateFailed:
        buffer = io.BytesIO()
        try:
            picture.save(buffer, format="JPEG", quality=self.quality)
        except (OSError, ValueError) as error:  # more than 65535 pixels wide or high
            return CandidateFailed(f"no JPEG of {picture.size} pixels: {error}")
        return len(buffer.getvalue()) / 1000.0

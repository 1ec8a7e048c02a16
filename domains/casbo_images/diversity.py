"""Diversity of pictures: a guard against steering that ends in one and the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


class Diversity:
    """Mean pairwise CLIP distance, 1 - cos, of a set of pictures: 0 when all are equal.

    A monitor for `casbo.steer(..., monitors={"diversity": Diversity(model)})`.

    Arguments:
        model: A CLIP or SigLIP folder or hub id.
    """

    def __init__(self, model: str) -> None:
        self.model = model

    def __call__(self, samples: Sequence[Image]) -> float:
        """The diversity of N pictures; NaN for fewer than two."""
        from .scores import ClipEmbedding

        N = len(samples)
        if N < 2:
            return math.nan
        features = ClipEmbedding(self.model).images(list(samples)).double()
        # the sum over all pairs, a picture with itself included, is that of the summed features
        total = float(features.sum(0).square().sum())
        return 1 - (total - N) / (N * (N - 1))

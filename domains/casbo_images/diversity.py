"""Diversity of pictures: a guard against steering that ends in one and the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


class Diversity:
    """Mean pairwise CLIP distance, 1 - cos, of a set of pictures: 0 when all are equal.

    A monitor for `casbo.steer(..., monitors={"diversity": Diversity(model)})`.

    Arguments:
        model: A CLIP or SigLIP folder or hub id.
        device: A torch device; None takes CUDA where there is one.

    Raises:
        ImageError: On a folder that does not exist.
    """

    def __init__(self, model: str | Path, *, device: str | None = None) -> None:
        from .scores import ClipEmbedding

        self.embedding = ClipEmbedding(model, device=device)

    def prepare(self) -> None:
        """Load the model.

        Raises:
            ImageError: When it cannot be loaded.
        """
        self.embedding.prepare()

    def __call__(self, samples: Sequence[Image]) -> float:
        """The diversity of N pictures; NaN for fewer than two."""
        N = len(samples)
        if N < 2:
            return math.nan
        features = self.embedding.images(list(samples)).double()
        # the sum over all pairs, a picture with itself included, is that of the summed features
        total = float(features.sum(0).square().sum())
        return 1 - (total - N) / (N * (N - 1))

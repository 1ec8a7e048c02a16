"""Aesthetic predictors: a small head on CLIP's picture features, trained on people's ratings.

Source: https://github.com/christophschuhmann/improved-aesthetic-predictor and
https://github.com/LAION-AI/aesthetic-predictor, whose weight files are read as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from casbo.errors import CandidateFailed
from casbo.scorer import Direction

from ..errors import ImageError
from .candidates import score_pictures
from .embedding import CLIP_L14, ClipEmbedding
from .head import read_head

if TYPE_CHECKING:
    from PIL.Image import Image


class AestheticScore:
    """Scorer: N images -> (N,), a rating of each picture, about 1 to 10 with LAION's heads.

    Arguments:
        head: A local file of linear layers on unit CLIP features: safetensors, or a state dict such
            as the official ``sac+logos+ava1-l14-linearMSE.pth`` and ``sa_0_4_vit_l_14_linear.pth``.
        model, device, dtype, batch: As for
            :class:`~casbo_images.scores.embedding.ClipEmbedding`; the CLIP that the head was
            trained on.
        activation: "relu" for heads trained with it (``ava+logos-l14-reluMSE.pth``).

    Raises:
        ImageError: When the head's file or an option cannot be used; when the model is loaded,
            if it cannot be, or its features do not fit the head.
    """

    direction: Direction = "maximize"

    def __init__(
        self,
        head: Path | str,
        model: str | Path = CLIP_L14,
        *,
        activation: Literal["relu"] | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        batch: int = 16,
    ) -> None:
        self.head = read_head(head, activation)
        self.file = Path(head).name
        self.embedding = ClipEmbedding(model, device=device, dtype=dtype, batch=batch)

    def prepare(self) -> None:
        """Load CLIP in this process and check that the head fits it."""
        self.embedding.prepare()
        self._check_width(self.embedding.images([]).shape[1])

    def __call__(self, samples: Sequence[Image]) -> list[float | CandidateFailed]:
        return score_pictures(samples, self._ratings)

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        head = {"file": self.file, "sha256": self.head.sha256, "activation": self.head.activation}
        return {"name": "AestheticScore", "head": head, **self.embedding.describe()}

    def _ratings(self, pictures: list[Image]) -> list[float]:
        features = self.embedding.images(pictures)
        self._check_width(features.shape[1])
        ratings: list[float] = self.head(features).tolist()
        return ratings

    def _check_width(self, width: int) -> None:
        if width != self.head.width:
            raise ImageError(
                f"{self.file} expects {self.head.width} features, {self.embedding.source} gives "
                f"{width}: give the model that the head was trained on ({CLIP_L14} for LAION's)."
            )

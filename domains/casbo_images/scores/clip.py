"""Likeness to a text or a picture, as CLIP and its relatives see it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from casbo.errors import CandidateFailed, require
from casbo.scorer import Direction

from ..errors import ImageError
from ..pictures import image_digest, read_image
from .candidates import rgb, score_pictures
from .embedding import CLIP_L14, ClipEmbedding

if TYPE_CHECKING:
    from PIL.Image import Image


class ClipScore:
    """Scorer: N images -> (N,), the cosine between each picture and the target, in [-1, 1].

    Models fine-tuned on people's choices with CLIP's architecture (PickScore, HPS in
    transformers' format) are scores of this kind too.

    Arguments:
        target: A text (``str``), or a picture: a PIL image or the ``pathlib.Path`` of a file.
        model, processor, device, dtype, batch: As for
            :class:`~casbo_images.scores.embedding.ClipEmbedding`.

    Raises:
        ImageError: When target, model or an option cannot be used; a model's own faults show when
            it is loaded, by :meth:`prepare` or the first call.
    """

    direction: Direction = "maximize"

    def __init__(
        self,
        target: str | Path | Image,
        model: str | Path = CLIP_L14,
        *,
        processor: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        batch: int = 16,
    ) -> None:
        self.target: str | Image = _target(target)
        self.embedding = ClipEmbedding(
            model, processor=processor, device=device, dtype=dtype, batch=batch
        )
        self._aimed_at: Tensor | None = None

    def prepare(self) -> None:
        """Load the model in this process and embed the target."""
        self.embedding.prepare()
        self._aim()

    def __call__(self, samples: Sequence[Image]) -> list[float | CandidateFailed]:
        return score_pictures(samples, self._cosines)

    def image_features(self, images: Sequence[Image]) -> Tensor:
        """The pictures' unit vectors, with shape (N, F)."""
        return self.embedding.images(images)

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values; a picture by its digest."""
        target = (
            {"text": self.target}
            if isinstance(self.target, str)
            else {"image": image_digest(self.target)}
        )
        return {"name": "ClipScore", "target": target, **self.embedding.describe()}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_aimed_at": None}

    def _cosines(self, pictures: list[Image]) -> list[float]:
        # element-wise, for a product of matrices would round by the size of the batch
        cosines: list[float] = (self.embedding.images(pictures) * self._aim()).sum(-1).tolist()
        return cosines

    def _aim(self) -> Tensor:
        """The target's unit vector, with shape (F,)."""
        if self._aimed_at is None:
            if isinstance(self.target, str):
                (self._aimed_at,) = self.embedding.texts([self.target])
            else:
                (self._aimed_at,) = self.embedding.images([self.target])
        return self._aimed_at


def _target(target: object) -> str | Image:
    """A text as it is, a picture in RGB."""
    if isinstance(target, Path):
        return read_image(target)
    if not isinstance(target, str):
        try:
            return rgb(target)
        except CandidateFailed as error:
            raise ImageError(
                "Expected a text (str) or a picture (PIL image or pathlib.Path) as the target, "
                f"got one that cannot be used: {error}."
            ) from error
    if not target.strip():
        raise ImageError("Expected a text or a picture as the target, got an empty text.")
    extensions = require("PIL.Image", "images").registered_extensions()
    if Path(target).suffix.lower() in extensions and Path(target).is_file():
        raise ImageError(
            f"The target {target!r} is a text, and there is a picture file of that name: give "
            f"pathlib.Path({target!r}) for the picture."
        )
    return target

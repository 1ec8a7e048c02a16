"""Images: steer any diffusers text-to-image pipeline with CLIP or any score of pictures.

    import casbo
    from casbo_images import ClipScore, DiffusersRollout

    rollout = DiffusersRollout.from_pretrained(
        "stable-diffusion-v1-5/stable-diffusion-v1-5", prompt="a photo of a man", steps=20
    )
    score = ClipScore("a close-up of a man with long hair", model="openai/clip-vit-large-patch14")
    result = casbo.steer(rollout, score, queries=1600, population=32, run="runs/long-hair")

Names are imported when they are first used: diffusers and transformers load with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .diversity import Diversity
    from .errors import ImageError
    from .rollout import DiffusersRollout
    from .scores import (
        AestheticScore,
        Brightness,
        ClipScore,
        Colour,
        CombinedScore,
        Contrast,
        HttpScore,
        JpegSize,
        VlmScore,
    )
    from .shipped import SHIPPED_CLIP, SHIPPED_PIPELINE
    from .spaces import low_frequencies

_SCORES = (
    "AestheticScore",
    "Brightness",
    "ClipScore",
    "Colour",
    "CombinedScore",
    "Contrast",
    "HttpScore",
    "JpegSize",
    "VlmScore",
)
_HOME = {
    "Diversity": "diversity",
    "DiffusersRollout": "rollout",
    "ImageError": "errors",
    "SHIPPED_CLIP": "shipped",
    "SHIPPED_PIPELINE": "shipped",
    "low_frequencies": "spaces",
    **dict.fromkeys(_SCORES, "scores"),
}

__all__ = [
    "SHIPPED_CLIP",
    "SHIPPED_PIPELINE",
    "AestheticScore",
    "Brightness",
    "ClipScore",
    "Colour",
    "CombinedScore",
    "Contrast",
    "DiffusersRollout",
    "Diversity",
    "HttpScore",
    "ImageError",
    "JpegSize",
    "VlmScore",
    "low_frequencies",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOME:
        raise AttributeError(f"module 'casbo_images' has no attribute {name!r}")
    return getattr(importlib.import_module(f"casbo_images.{_HOME[name]}"), name)

"""Image scores: N PIL images -> N numbers, or named numbers, each with shape (N,).

All are plain scorers for `casbo.steer`. Any picture mode is read as RGB, transparency on white; a
candidate that cannot be scored fails alone, with its reason. Importing this needs none of the
packages that the scores use.
"""

from __future__ import annotations

from .aesthetic import AestheticScore
from .clip import ClipScore
from .combined import CombinedScore
from .embedding import ClipEmbedding
from .http import HttpScore
from .jpeg import JpegSize
from .pixels import Brightness, Colour, Contrast
from .service import Retries
from .vlm import VlmScore

__all__ = [
    "AestheticScore",
    "Brightness",
    "ClipEmbedding",
    "ClipScore",
    "Colour",
    "CombinedScore",
    "Contrast",
    "HttpScore",
    "JpegSize",
    "Retries",
    "VlmScore",
]

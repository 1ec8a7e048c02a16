"""Inversion: learn a new word from a few pictures, by forward passes of the model alone.

    from diffusers import StableDiffusionPipeline
    from casbo_inversion import TokenInversion, invert

    pipe = StableDiffusionPipeline.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5")
    inversion = TokenInversion(pipe, "pictures/", "<thing>", clip="openai/clip-vit-large-patch14")
    learned = invert(inversion, queries=2000, run="runs/thing")
    pipe.load_textual_inversion("runs/thing/learned_embeds.safetensors")

Names are imported when they are first used: diffusers and transformers load with them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cma_optimizer import CmaOptimizer
    from .denoising import DenoisingLoss
    from .errors import InversionError
    from .generation import ClipImageSimilarity, GeneratedPictures, ImageSimilarity
    from .init import Attention, MeanToken, Word
    from .inversion_run import invert
    from .keeping import Learned
    from .rollout import TokenInversion
    from .subspace import MatrixSubspace, PcaSubspace, RandomSubspace
    from .token import LearnedToken, load_token

_HOME = {
    "Attention": "init",
    "ClipImageSimilarity": "generation",
    "CmaOptimizer": "cma_optimizer",
    "DenoisingLoss": "denoising",
    "GeneratedPictures": "generation",
    "ImageSimilarity": "generation",
    "InversionError": "errors",
    "Learned": "keeping",
    "LearnedToken": "token",
    "MatrixSubspace": "subspace",
    "MeanToken": "init",
    "PcaSubspace": "subspace",
    "RandomSubspace": "subspace",
    "TokenInversion": "rollout",
    "Word": "init",
    "invert": "inversion_run",
    "load_token": "token",
}

__all__ = [
    "Attention",
    "ClipImageSimilarity",
    "CmaOptimizer",
    "DenoisingLoss",
    "GeneratedPictures",
    "ImageSimilarity",
    "InversionError",
    "Learned",
    "LearnedToken",
    "MatrixSubspace",
    "MeanToken",
    "PcaSubspace",
    "RandomSubspace",
    "TokenInversion",
    "Word",
    "invert",
    "load_token",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOME:
        raise AttributeError(f"module 'casbo_inversion' has no attribute {name!r}")
    return getattr(importlib.import_module(f"casbo_inversion.{_HOME[name]}"), name)

"""TargetDiff, the pocket-conditioned diffusion model of 3D molecules (arXiv 2303.03543)."""

from __future__ import annotations

from .config import TargetDiffConfig
from .errors import TargetDiffError
from .model import TargetDiffModel
from .pocket import Pocket
from .rollout import TargetDiffRollout
from .sampler import Sampler

__all__ = [
    "Pocket",
    "Sampler",
    "TargetDiffConfig",
    "TargetDiffError",
    "TargetDiffModel",
    "TargetDiffRollout",
]

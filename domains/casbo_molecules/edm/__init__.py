"""EDM, the E(3)-equivariant diffusion model for molecules, from an official checkpoint folder.

Hoogeboom, Satorras, Vignac and Welling 2022, arXiv 2203.17003;
github.com/ehoogeboom/e3_diffusion_for_molecules. Unconditional models of QM9 and GEOM-drugs:
molecules with explicit hydrogens, without a pocket.
"""

from __future__ import annotations

from .checkpoint import load_model
from .configuration import EdmConfig
from .dataset import Dataset
from .model import EdmModel
from .rollout import EdmRollout
from .sampler import Sampler
from .stability import Stability, stability

__all__ = [
    "Dataset",
    "EdmConfig",
    "EdmModel",
    "EdmRollout",
    "Sampler",
    "Stability",
    "load_model",
    "stability",
]

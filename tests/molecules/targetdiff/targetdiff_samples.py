"""Small models and pockets for the tests of TargetDiff."""

from __future__ import annotations

import torch

from casbo_molecules.targetdiff import Pocket, TargetDiffConfig
from casbo_molecules.targetdiff.vocabulary import PROTEIN_FEATURES

TINY = TargetDiffConfig(hidden_dim=8, num_layers=3, n_heads=2, knn=6, num_diffusion_timesteps=40)


def random_pocket(atoms: int, seed: int, spread: float = 4.0) -> Pocket:
    """Atoms with random places and features, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    positions = spread * torch.randn(atoms, 3, generator=generator, dtype=torch.float64) + 30
    features = torch.randint(0, 2, (atoms, PROTEIN_FEATURES), generator=generator).float()
    return Pocket(positions, features)


def random_ligands(
    count: int, atoms: int, types: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (B, n, 3) around the origin and types (B, n)."""
    generator = torch.Generator().manual_seed(seed)
    positions = 2 * torch.randn(count, atoms, 3, generator=generator)
    return positions, torch.randint(0, types, (count, atoms), generator=generator)


def noise_for(rollout, count: int, seed: int = 0) -> torch.Tensor:
    """Standard-normal noise (N, K, D) for a rollout."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *rollout.shape, generator=generator, dtype=torch.float64)

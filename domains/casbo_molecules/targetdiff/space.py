"""The control space of TargetDiff: directions that renumbering the atoms leaves alone.

Atoms are exchangeable, so a shift of one atom's noise means something else in every molecule. What
means the same each time, in the frame of a pocket: the noise of positions summed over all atoms
(where the ligand drifts to), and the noise of one type summed over all atoms (how much of it there
is). Each is taken over a block of consecutive rows. Everything else stays N(0, I).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from casbo.spaces import Space, Subspace

BLOCKS = 5  # of rows
POSITION_SCALE, TYPE_SCALE = 1.5, 5.0  # a direction over n numbers moves each by 1 / sqrt(n) only


def symmetric_space(
    shape: tuple[int, int],
    atoms: int,
    types: int,
    *,
    blocks: int = BLOCKS,
    position_scale: float = POSITION_SCALE,
    type_scale: float = TYPE_SCALE,
) -> Space:
    """One Gaussian for each block of rows, over 3 + C directions.

    Parameters
    ----------
    shape, atoms, types
        (K, D) of the rollout, D = n (3 + C); n; and C, 0 where types are not steered.
    blocks
        Blocks of consecutive rows, as even as K allows.
    position_scale, type_scale
        Exploration scales: the standard deviations along the directions at the start.
    """
    rows = shape[0]
    edges = [round(rows * index / min(blocks, rows)) for index in range(min(blocks, rows) + 1)]
    bases = [
        (slice(first, last), _basis(last - first, atoms, types)) for first, last in pairwise(edges)
    ]
    return Subspace.blocks(bases, torch.tensor([position_scale] * 3 + [type_scale] * types))


def _basis(rows: int, atoms: int, types: int) -> Tensor:
    """Orthonormal directions (rows D, 3 + C), D = n (3 + C)."""
    positions = torch.eye(3, 3 + types, dtype=torch.float64)
    channels = torch.eye(types, 3 + types, dtype=torch.float64).roll(3, dims=1)
    row = torch.cat([positions.repeat(atoms, 1), channels.repeat(atoms, 1)])
    whole = row.repeat(rows, 1)
    return whole / (rows * atoms) ** 0.5

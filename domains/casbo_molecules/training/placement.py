"""A toy pocket, and ligands placed in it without docking.

Four atoms stand for a protein's pocket, so that a processor can train a pocket-conditioned model.
Where ligands lie is no toy: of many random poses in the whole protein, each has the one with the
most contacts and no clash.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from ..targetdiff import Pocket

NEAREST, CORNERS = 24, 4  # protein atoms around the site, and how many of them stand for it
POSES = 128
SHIFT = 1.0  # Å, standard deviation of a pose's centre along each axis
CLASH, CONTACT = 3.2, 4.5  # Å between heavy atoms
NEIGHBOURHOOD = 12.0  # Å around the site: the protein that a pose can touch


def toy_pocket(pocket: Pocket, site: Tensor) -> Pocket:
    """The four atoms around a site (3,) whose mean is nearest to it."""
    nearest = (pocket.positions - site).norm(dim=1).topk(NEAREST, largest=False).indices
    sets = nearest[torch.tensor(list(combinations(range(NEAREST), CORNERS)))]
    off = (pocket.positions[sets].mean(dim=1) - site).norm(dim=1)
    chosen = sets[off.argmin()]
    return Pocket(pocket.positions[chosen], pocket.features[chosen])


def placed(positions: Tensor, pocket: Pocket, site: Tensor, generator: torch.Generator) -> Tensor:
    """Centred molecules (M, n, 3) in Å, each turned and moved to the best of its random poses."""
    near = (pocket.positions - site).norm(dim=1) < NEIGHBOURHOOD
    protein = pocket.positions[near].to(positions)
    return torch.stack([_placed(one, protein, site, generator) for one in positions])


def _placed(one: Tensor, protein: Tensor, site: Tensor, generator: torch.Generator) -> Tensor:
    turns = _rotations(torch.randn(POSES, 4, generator=generator))
    shifts = SHIFT * torch.randn(POSES, 1, 3, generator=generator)
    poses = one @ turns + shifts + site.to(one)
    distance = torch.cdist(poses, protein)
    contacts = (distance < CONTACT).sum(dim=(1, 2))
    clashes = (distance < CLASH).sum(dim=(1, 2))
    return poses[(contacts - 10 * clashes).argmax()]


def _rotations(quaternions: Tensor) -> Tensor:
    """Rotation matrices (B, 3, 3) of quaternions (B, 4) of any length; uniform if those are normal."""
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

"""The training molecules, grouped by size so that batches need no padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor


class Molecules(NamedTuple):
    """B molecules of one size: positions (B, n, 3) in Å, element channels (B, n), and their numbers (B,)."""

    positions: Tensor
    elements: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Conformers:
    """What :func:`.conformers.write_conformers` wrote.

    Parameters
    ----------
    groups
        The molecules of each size, smallest first.
    descriptors
        Of all molecules, (M, G).
    """

    groups: Sequence[Molecules]
    descriptors: Tensor

    @classmethod
    def read(cls, path: Path) -> Conformers:
        """Group the molecules of a file."""
        data = load_file(path)
        sizes = data["sizes"]
        positions = data["positions"].split(sizes.tolist())
        elements = data["elements"].long().split(sizes.tolist())
        groups = []
        for size in sizes.unique():
            rows = (sizes == size).nonzero().squeeze(1)
            chosen = rows.tolist()
            groups.append(
                Molecules(
                    torch.stack([positions[row] for row in chosen]),
                    torch.stack([elements[row] for row in chosen]),
                    rows,
                )
            )
        return cls(tuple(groups), data["descriptors"])

    @property
    def sizes(self) -> dict[int, int]:
        """Heavy atoms -> number of molecules."""
        return {group.positions.shape[1]: len(group.rows) for group in self.groups}

    def batch(self, size: int, generator: torch.Generator) -> Molecules:
        """Draw molecules of one size; sizes in proportion to their number."""
        weights = torch.tensor(list(self.sizes.values()), dtype=torch.double)
        group = self.groups[int(torch.multinomial(weights, 1, generator=generator))]
        chosen = torch.randint(len(group.rows), (size,), generator=generator)
        return Molecules(*(part[chosen] for part in group))

"""What all rollouts whose samples are molecules have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from casbo.rollout import Rollout

from .molecule import Molecule

#: Elements that count in a molecule's point; all others are one more.
TOLD_APART = (6, 7, 8, 9, 15, 16, 17, 35, 53)


class MoleculesRollout(Rollout):
    """A rollout of :class:`.molecule.Molecule`: how they are written, named and shown."""

    def export(
        self, samples: Sequence[Molecule], scores: Sequence[Mapping[str, float]], folder: Path
    ) -> list[Path]:
        """Write the samples that are molecules, in the rollout's frame, to ``samples.sdf``."""
        from .tables import write_poses

        folder.mkdir(parents=True, exist_ok=True)
        pairs = [
            (sample.mol, row)
            for sample, row in zip(samples, scores, strict=True)
            if sample.mol is not None
        ]
        path = folder / "samples.sdf"
        return [write_poses([mol for mol, _ in pairs], [row for _, row in pairs], path)]

    def identify(self, sample: Molecule) -> str | None:
        """The canonical SMILES, or None if the atoms make no molecule."""
        return sample.smiles

    def picture(self, sample: Molecule) -> str | None:
        """The structural formula as SVG, or None if the atoms make no molecule."""
        from .depiction import formula

        return None if sample.mol is None else formula(sample.mol)

    def point(self, sample: Molecule) -> Tensor:
        """Positions in Å, then for every atom which element it is: (n (3 + 10),).

        In the order and the frame that the model gave the atoms: molecules of one search have both
        in common where they descend from the same noise.
        """
        numbers = torch.tensor(sample.atomic_numbers)
        known = numbers[:, None] == torch.tensor(TOLD_APART)
        elements = torch.cat([known, ~known.any(1, keepdim=True)], 1)
        return torch.cat(
            [torch.from_numpy(sample.positions).flatten(), elements.double().flatten()]
        )

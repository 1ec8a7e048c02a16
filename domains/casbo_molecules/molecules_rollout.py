"""What all rollouts whose samples are molecules have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from casbo.rollout import Rollout

from .molecule import Molecule


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

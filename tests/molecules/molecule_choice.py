"""In the model's place, for tests of everything around it: molecules chosen by the noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from casbo.rollout import FunctionRollout
from casbo_molecules.molecule import Molecule


def chosen(molecules: Sequence[Molecule], numbers: torch.Tensor, first: int = 0) -> list[Molecule]:
    """A molecule for each of N numbers; counted from another ``first`` they are others."""
    return [molecules[(first + int(abs(n) * 1000)) % len(molecules)] for n in numbers.tolist()]


class MoleculeChoice(FunctionRollout):
    """Noise of 2 steps and 3 coordinates -> molecules, which the ledger knows by their SMILES."""

    def __init__(self, molecules: Sequence[Molecule], first: int = 0) -> None:
        super().__init__(lambda noise: chosen(molecules, noise[:, 0, 0], first), (2, 3))

    def identify(self, sample: Molecule) -> str | None:
        return sample.smiles

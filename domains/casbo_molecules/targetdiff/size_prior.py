"""How many atoms a ligand has, given the size of its pocket, in TargetDiff's training data.

``size_prior.json`` holds the authors' table: bounds of pocket sizes in Å and, for each bin between
them, the share of training ligands with each number of heavy atoms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).parent / "size_prior.json"


@dataclass(frozen=True)
class SizeDistribution:
    """Numbers of atoms, ascending, and their probabilities, which add up to 1."""

    atoms: tuple[int, ...]
    probabilities: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The expected number of atoms."""
        return float(np.dot(self.atoms, self.probabilities))

    def quantile(self, share: float) -> int:
        """The smallest number of atoms that at least this share of ligands do not exceed."""
        reached = np.cumsum(self.probabilities) >= min(share, 1.0) - 1e-9
        return self.atoms[int(reached.argmax())]

    def draw(self, count: int, *, seed: int) -> list[int]:
        """Independent numbers of atoms."""
        generator = np.random.default_rng(seed)
        return generator.choice(self.atoms, size=count, p=self.probabilities).tolist()


def size_distribution(pocket_size: float) -> SizeDistribution:
    """The ligands of pockets of this size.

    Parameters
    ----------
    pocket_size
        Å, as :attr:`.pocket.Pocket.size`.
    """
    table = _table()
    number = sum(bound <= pocket_size for bound in table["bounds"])
    row = table["bins"][number]
    shares = np.array(list(row.values()))
    return SizeDistribution(tuple(map(int, row)), tuple((shares / shares.sum()).tolist()))


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table

"""Docking energy together with chemistry: what is steered, so that steering makes no grease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from casbo.objective import Clip, Term, WeightedSum

from .candidates import score_each
from .molecule import Molecule
from .properties import COMPONENTS, properties
from .vina import VinaScore

#: kcal/mol for a whole unit. With less, steering trades drug-likeness for energy: docs/molecules.md.
QED_WEIGHT, SA_WEIGHT = 8.0, 3.0


class DockingScore:
    """Scorer: N molecules -> ``vina`` (kcal/mol) and the components of ``Properties``, each (N,).

    A candidate fails as one: where docking fails, every component is NaN.

    Raises
    ------
    casbo.errors.CandidateFailed
        If the only sample of a call fails.
    """

    direction = "minimize"
    components = ("vina", *COMPONENTS)

    def __init__(self, vina: VinaScore) -> None:
        self.vina = vina

    def prepare(self) -> None:
        """Compute Vina's maps in this process."""
        self.vina.prepare()

    def __call__(self, samples: Sequence[Molecule]) -> dict[str, np.ndarray]:
        return score_each(samples, self.components, self._score)

    def effort(self, molecule: Molecule) -> float:
        """Vina's: the rest is quick."""
        return self.vina.effort(molecule)

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        return {"name": "DockingScore", "vina": self.vina.describe()}

    def _score(self, molecule: Molecule) -> dict[str, float]:
        chemistry = properties(molecule.require())  # cheap, and fails before docking is paid for
        return {"vina": self.vina.energy(molecule), **chemistry}


def docking_objective(
    qed_weight: float = QED_WEIGHT,
    sa_weight: float = SA_WEIGHT,
    *,
    enough_qed: float = 1.0,
    enough_sa: float = 1.0,
) -> WeightedSum:
    """The default objective, to be minimised: Vina, with QED and SA as a counterweight.

    ``cost = vina - qed_weight * min(qed, enough_qed) - sa_weight * min(sa_normalised, enough_sa)``

    Parameters
    ----------
    qed_weight, sa_weight
        kcal/mol that a whole unit of QED or of normalised synthetic accessibility is worth.
    enough_qed, enough_sa
        The values above which more of it is worth nothing.
    """
    return WeightedSum(
        {
            "vina": Term(1.0),
            "qed": Term(-qed_weight, Clip(low=0.0, high=enough_qed)),
            "sa_normalised": Term(-sa_weight, Clip(low=0.0, high=enough_sa)),
        }
    )

"""Chemistry scores that need no receptor: drug-likeness, synthetic accessibility, logP, weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .candidates import score_each
from .molecule import Molecule

if TYPE_CHECKING:
    from rdkit.Chem import Mol

COMPONENTS: tuple[str, ...] = ("qed", "sa", "sa_normalised", "logp", "molecular_weight")
"""Names of the components, in the order in which tables show them."""


class Properties:
    """Scorer: N molecules -> the five components of :data:`COMPONENTS`, each with shape (N,).

    - ``qed``: quantitative estimate of drug-likeness, 0 .. 1, higher is better
      (Bickerton et al. 2012).
    - ``sa``: synthetic accessibility, 1 easy .. 10 hard (Ertl and Schuffenhauer 2009).
    - ``sa_normalised``: (10 - sa) / 9, higher is better: the "SA" of papers on molecule generation.
    - ``logp``: Crippen's estimate of the octanol-water partition coefficient.
    - ``molecular_weight``: g/mol, hydrogens included.

    Raises
    ------
    casbo.errors.CandidateFailed
        If called with one sample that is no molecule; among several it becomes NaN.
    """

    components = COMPONENTS

    def __call__(self, samples: Sequence[Molecule]) -> dict[str, np.ndarray]:
        return score_each(samples, COMPONENTS, lambda molecule: properties(molecule.require()))


def properties(mol: Mol) -> dict[str, float]:
    """Return :data:`COMPONENTS` of one sanitised RDKit molecule."""
    from rdkit.Chem import QED, Crippen, Descriptors
    from rdkit.Contrib.SA_Score import sascorer

    accessibility = float(sascorer.calculateScore(mol))
    return {
        "qed": float(QED.qed(mol)),
        "sa": accessibility,
        "sa_normalised": (10.0 - accessibility) / 9.0,
        "logp": float(Crippen.MolLogP(mol)),
        "molecular_weight": float(Descriptors.MolWt(mol)),
    }


def lipinski(mol: Mol) -> int:
    """How many of five rules a molecule obeys, 0 .. 5.

    Weight below 500 g/mol, at most 5 hydrogen-bond donors, at most 10 acceptors, logP from -2 to 5
    (Lipinski et al. 1997), at most 10 rotatable bonds (Veber et al. 2002): the count that
    TargetDiff and its relatives report as "Lipinski".
    """
    from rdkit.Chem import Crippen, Descriptors, Lipinski, rdMolDescriptors

    return sum(
        (
            Descriptors.ExactMolWt(mol) < 500.0,
            Lipinski.NumHDonors(mol) <= 5,
            Lipinski.NumHAcceptors(mol) <= 10,
            -2.0 <= Crippen.MolLogP(mol) <= 5.0,
            rdMolDescriptors.CalcNumRotatableBonds(mol) <= 10,
        )
    )

"""Atoms with explicit hydrogens -> the heavy-atom molecule that docking and chemistry take.

EDM makes hydrogens, and how many an atom has decides bond orders far better than lengths do: atoms
are joined by distance, orders fill the valences up (xyz2mol, Kim and Kim 2015, as in RDKit), and
then the hydrogens are taken away, for Vina and the rest of this package place their own. Where
hydrogens and valences do not fit together (one hydrogen floats off, one is missing) the heavy atoms
decide alone, as in models without hydrogens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..molecule import Molecule
from ..perception import PerceptionError, connected_bonds, require_neutral

if TYPE_CHECKING:
    from rdkit.Chem import Mol

MOST_TRIALS = 1_000  # of bond orders in one molecule; a fraction of a second


def molecule_with_hydrogens(positions: np.ndarray, atomic_numbers: Sequence[int]) -> Molecule:
    """The molecule of all atoms, its hydrogens implicit; its ``problem`` if they make none.

    Parameters
    ----------
    positions
        Coordinates of all atoms in Å with shape (n, 3).
    atomic_numbers
        n atomic numbers, hydrogens' among them.
    """
    numbers = np.asarray(atomic_numbers)
    heavy = numbers > 1
    if heavy.any() and not heavy.all():
        try:
            return Molecule.from_mol(_heavy_molecule(positions, numbers.tolist()))
        except PerceptionError:
            pass  # the heavy atoms alone may do
    return Molecule.from_atoms(positions[heavy], numbers[heavy].tolist())


def _heavy_molecule(positions: np.ndarray, atomic_numbers: list[int]) -> Mol:
    """The neutral molecule with exactly these hydrogens, which are then left out."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    if not np.isfinite(positions).all():
        raise PerceptionError("coordinates are not finite")
    joined = Chem.RWMol()
    conformer = Chem.Conformer(len(atomic_numbers))
    for index, number in enumerate(atomic_numbers):
        joined.AddAtom(Chem.Atom(number))
        conformer.SetAtomPosition(index, positions[index].tolist())
    for begin, end, _ in connected_bonds(positions, atomic_numbers):
        joined.AddBond(begin, end, Chem.BondType.SINGLE)
    joined.AddConformer(conformer, assignId=True)
    if len(Chem.GetMolFrags(joined)) != 1:
        raise PerceptionError("several pieces")
    with rdBase.BlockLogs():
        try:
            rdDetermineBonds.DetermineBondOrders(joined, charge=0, maxIterations=MOST_TRIALS)
            Chem.SanitizeMol(joined)
        except (ValueError, RuntimeError) as error:
            raise PerceptionError(str(error).strip()) from error
        require_neutral(joined)
        Chem.AssignStereochemistryFrom3D(joined)
        heavy = Chem.RemoveAllHs(joined)
    for atom in heavy.GetAtoms():
        atom.SetNoImplicit(False)
        if not atom.GetIsAromatic():
            atom.SetNumExplicitHs(0)
    Chem.SanitizeMol(heavy)
    return heavy

"""Positions and elements -> an RDKit molecule: bonds perceived by Open Babel, chemistry by RDKit.

The diffusion model makes heavy atoms only. Open Babel joins them by distance and assigns bond
orders from angles and lengths; RDKit then checks valences, perceives aromaticity and knows how
many hydrogens are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rdkit.Chem import Mol


class PerceptionError(ValueError):
    """The atoms do not make one sanitised, neutral, connected molecule; the message says why."""


def perceive(positions: np.ndarray, atomic_numbers: Sequence[int]) -> Mol:
    """Return the molecule that these atoms form, with its conformer and implicit hydrogens.

    Parameters
    ----------
    positions
        Heavy-atom coordinates in Å with shape (n, 3).
    atomic_numbers
        n atomic numbers.

    Raises
    ------
    PerceptionError
        If coordinates are not finite, atoms stay in several pieces, a valence is impossible,
        aromatic rings cannot be kekulised, or a charge or radical is left.
    """
    from rdkit import Chem, rdBase
    from rdkit.Geometry import Point3D

    positions = np.asarray(positions, dtype=float)
    if not np.isfinite(positions).all():
        raise PerceptionError("coordinates are not finite")
    molecule = Chem.RWMol()
    conformer = Chem.Conformer(len(positions))
    for index, (number, xyz) in enumerate(zip(atomic_numbers, positions, strict=True)):
        molecule.AddAtom(Chem.Atom(int(number)))
        conformer.SetAtomPosition(index, Point3D(*map(float, xyz)))
    for begin, end, order in connected_bonds(positions, atomic_numbers):
        molecule.AddBond(begin, end, Chem.BondType.values[order])
    molecule.AddConformer(conformer, assignId=True)
    fragments = len(Chem.GetMolFrags(molecule))
    if fragments != 1:
        raise PerceptionError(f"{fragments} separate pieces instead of one molecule")
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(molecule)
        except (Chem.MolSanitizeException, ValueError) as error:
            raise PerceptionError(str(error).strip()) from error
    require_neutral(molecule)
    Chem.AssignStereochemistryFrom3D(molecule)
    return molecule.GetMol()


def connected_bonds(
    positions: np.ndarray, atomic_numbers: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Open Babel's bonds as (begin, end, order) with indices from 0."""
    from openbabel import openbabel

    openbabel.obErrorLog.SetOutputLevel(openbabel.obError)
    molecule = openbabel.OBMol()
    molecule.BeginModify()
    for number, xyz in zip(atomic_numbers, positions, strict=True):
        atom = molecule.NewAtom()
        atom.SetAtomicNum(int(number))
        atom.SetVector(*map(float, xyz))
    molecule.EndModify()
    molecule.ConnectTheDots()
    molecule.PerceiveBondOrders()
    return [
        (bond.GetBeginAtomIdx() - 1, bond.GetEndAtomIdx() - 1, bond.GetBondOrder())
        for bond in openbabel.OBMolBondIter(molecule)
    ]


def require_neutral(molecule: Mol) -> None:
    """Refuse a molecule with a charged atom or a radical.

    Raises
    ------
    PerceptionError
        With the first such atom.
    """
    for atom in molecule.GetAtoms():
        if atom.GetFormalCharge() or atom.GetNumRadicalElectrons():
            raise PerceptionError(
                f"atom {atom.GetIdx()} ({atom.GetSymbol()}) is charged or a radical"
            )

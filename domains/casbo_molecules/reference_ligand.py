"""The ligand that a user gives to say where the pocket is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from casbo.errors import CandidateFailed

from .errors import DockingInputError
from .molecule import Molecule
from .text_file import text_of

if TYPE_CHECKING:
    from rdkit.Chem import Mol

FORMATS: tuple[str, ...] = (".sdf", ".mol", ".mol2", ".pdb")


@dataclass(frozen=True)
class ReferenceLigand:
    """Where a known ligand sits.

    Parameters
    ----------
    path
        The file it was read from.
    positions
        Coordinates in Å of all its atoms, hydrogens included, with shape (n, 3).
    heavy_atoms
        The number of its non-hydrogen atoms.
    """

    path: Path
    positions: np.ndarray
    heavy_atoms: int


def read_reference_ligand(path: Path | str) -> ReferenceLigand:
    """Read the first molecule of an SDF, MOL, MOL2 or PDB file; missing hydrogens are added.

    Bonds, charges and query features do not matter here: the file is read without chemistry
    where RDKit's chemistry refuses it.

    Raises
    ------
    DockingInputError
        If the file is missing, of another format, empty or damaged, holds fewer than two atoms,
        or has no finite 3D coordinates.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise DockingInputError(
            f"{path}: expected a reference ligand as one of {', '.join(FORMATS)}, "
            f"got {path.suffix or 'no suffix'!r}; convert it with Open Babel: "
            f"obabel {path.name} -O ligand.sdf"
        )
    mol = _with_hydrogens(_read(path, _text(path)))
    positions = np.asarray(mol.GetConformer().GetPositions(), dtype=float)
    _require_three_dimensions(path, mol, positions)
    heavy = sum(atom.GetAtomicNum() > 1 for atom in mol.GetAtoms())
    return ReferenceLigand(path.resolve(), positions, heavy)


def reference_molecule(path: Path | str) -> Molecule:
    """The reference ligand as a sample, to be scored as samples are.

    Bonds are the file's own where RDKit's chemistry accepts them (and the file states orders, as
    PDB files do not), else perceived from the heavy atoms.

    Raises
    ------
    DockingInputError
        As :func:`read_reference_ligand`.
    casbo.errors.CandidateFailed
        If the file's bonds are not sound and none can be perceived.
    """
    from rdkit import Chem, rdBase

    path = Path(path)
    read_reference_ligand(path)
    mol = _read(path, _text(path))
    if path.suffix.lower() != ".pdb":
        try:
            with rdBase.BlockLogs():
                sane = Chem.Mol(mol)
                Chem.SanitizeMol(sane)
            return Molecule.from_mol(sane)
        except (ValueError, RuntimeError):
            pass  # perceived below
    heavy = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]
    numbers = [mol.GetAtomWithIdx(index).GetAtomicNum() for index in heavy]
    molecule = Molecule.from_atoms(mol.GetConformer().GetPositions()[heavy], numbers)
    if molecule.mol is None:
        raise CandidateFailed(f"{path.name}: {molecule.problem}")
    return molecule


def _text(path: Path) -> str:
    text = text_of(path, "reference ligand")
    if not text.strip():
        raise DockingInputError(f"{path}: the file is empty; give a ligand with 3D coordinates")
    return text


def _read(path: Path, text: str) -> Mol:
    """The first molecule, not sanitised."""
    from rdkit import Chem, rdBase

    suffix = path.suffix.lower()
    with rdBase.BlockLogs():
        try:
            if suffix in {".sdf", ".mol"}:
                mol = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False)
            elif suffix == ".mol2":
                mol = Chem.MolFromMol2Block(text, sanitize=False, removeHs=False)
            else:
                mol = Chem.MolFromPDBBlock(text, sanitize=False, removeHs=False)
        except (RuntimeError, ValueError):
            mol = None
    if mol is None:
        raise DockingInputError(
            f"{path}: not a readable {suffix[1:].upper()} file; write it anew, for example with "
            f"obabel {path.name} -O ligand.sdf"
        )
    if mol.GetNumAtoms() < 2 or mol.GetNumConformers() == 0:
        raise DockingInputError(
            f"{path}: expected a molecule with at least two atoms, got {mol.GetNumAtoms()}; "
            "give the file of the ligand that marks the pocket"
        )
    return mol


def _with_hydrogens(mol: Mol) -> Mol:
    """The molecule with its hydrogens placed, or as it is where its chemistry is not sound."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            sane = Chem.Mol(mol)
            Chem.SanitizeMol(sane)
            return Chem.AddHs(sane, addCoords=True)
        except (ValueError, RuntimeError):
            return mol


def _require_three_dimensions(path: Path, mol: Mol, positions: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if len(broken):
        symbol = mol.GetAtomWithIdx(int(broken[0])).GetSymbol()
        raise DockingInputError(
            f"{path}: atom {broken[0] + 1} ({symbol}) has no finite coordinates; "
            "give the ligand as it sits in the receptor"
        )
    extent = np.ptp(positions, axis=0)
    if not extent.any():
        raise DockingInputError(f"{path}: all atoms sit at one point; give 3D coordinates")
    if extent[2] == 0.0 and not positions[:, 2].any() and len(positions) > 4:
        raise DockingInputError(
            f"{path}: the ligand is a flat drawing (every z is 0); "
            "give it with the 3D coordinates it has in the receptor"
        )

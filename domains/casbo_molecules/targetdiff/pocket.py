"""The part of a protein around a ligand, as TargetDiff sees it.

The authors' recipe ("pocket10"): the residues whose centre of mass is less than 10 Å from an atom
of the reference ligand, whole. Waters, hetero groups and hydrogens are left out, as in the data
that the published model was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import DockingInputError
from ..protein.residues import standard_name
from ..reference_ligand import read_reference_ligand
from ..structure_file import StructureCleaning, cleaned_pdb, read_text
from .graph import squared_distances
from .vocabulary import BACKBONE, PROTEIN_ELEMENTS, PROTEIN_FEATURES, RESIDUES

if TYPE_CHECKING:
    import gemmi

RADIUS = 10.0  # Å
MOST_ATOMS = 4000  # of a pocket; more is a whole protein
FARTHEST_PAIRS = 10  # whose median distance is the size of a pocket
WITHOUT_HYDROGENS = StructureCleaning(hydrogens=False)


@dataclass(frozen=True, eq=False)
class Pocket:
    """P protein atoms.

    Parameters
    ----------
    positions
        Å, in the frame of the protein's file, (P, 3), float64.
    features
        One-hot element, one-hot residue and backbone flag, (P, 27): :mod:`.vocabulary`.
    """

    positions: Tensor
    features: Tensor

    @classmethod
    def from_file(
        cls,
        protein: str | Path,
        ligand: str | Path | None = None,
        *,
        radius: float = RADIUS,
        cleaning: StructureCleaning = WITHOUT_HYDROGENS,
    ) -> Pocket:
        """Read a protein and cut out its pocket; a pocket that is cut already stays as it is.

        Parameters
        ----------
        protein
            A PDB or mmCIF file.
        ligand
            SDF, MOL, MOL2 or PDB file of a ligand in the pocket; None for the whole file.
        radius
            Å from the ligand's heavy atoms to a residue's centre of mass.
        cleaning
            What of the file is used. The published model has never seen hydrogens.

        Raises
        ------
        casbo_molecules.errors.DockingInputError
            If a file cannot be read, nothing or too much of the protein is near the ligand, or a
            residue there is none of the twenty amino acids.
        """
        import gemmi

        path = Path(protein)
        if path.suffix.lower() == ".pdbqt":
            raise DockingInputError(
                f"{path}: TargetDiff needs the protein as PDB or mmCIF, for the names of its atoms"
            )
        text = cleaned_pdb(path, read_text(path), cleaning).pdb
        residues = [
            residue
            for chain in gemmi.read_pdb_string(text)[0]
            for residue in chain
            if residue.het_flag != "H"
        ]
        if ligand is not None:
            around = heavy_positions(Path(ligand))
            residues = [residue for residue in residues if _distance(residue, around) < radius]
        if not residues:
            near = "" if ligand is None else f" within {radius:g} Å of {ligand}"
            raise DockingInputError(
                f"{path}: no amino acid{near}; give the protein in the frame of its ligand"
            )
        count = sum(map(len, residues))
        if count > MOST_ATOMS:
            raise DockingInputError(
                f"{path}: {count} atoms, expected a pocket of at most {MOST_ATOMS}; give the file of a "
                "ligand in the pocket, around which it is cut out"
            )
        rows = [(atom, residue) for residue in residues for atom in residue]
        positions = torch.tensor([atom.pos.tolist() for atom, _ in rows], dtype=torch.float64)
        return cls(positions, torch.stack([_features(path, *row) for row in rows]))

    @cached_property
    def center(self) -> Tensor:
        """The mean of the atoms, (3,): the origin of the model's frame."""
        return self.positions.mean(dim=0)

    @cached_property
    def size(self) -> float:
        """Median of the ten largest distances between two atoms, Å."""
        squared = squared_distances(self.positions, self.positions)
        above = squared[tuple(torch.triu_indices(*squared.shape, offset=1))]
        largest = above.topk(min(FARTHEST_PAIRS, len(above))).values.sqrt()
        return float(np.median(largest.numpy())) if len(largest) else 0.0


def heavy_positions(path: Path) -> np.ndarray:
    """Positions in Å of a reference ligand's heavy atoms, (n, 3).

    Raises
    ------
    casbo_molecules.errors.DockingInputError
        As :func:`~casbo_molecules.reference_ligand.read_reference_ligand`.
    """
    from rdkit import Chem, rdBase

    read_reference_ligand(path)  # says what is wrong with the file, if anything is
    readers = {".mol2": Chem.MolFromMol2File, ".pdb": Chem.MolFromPDBFile}
    with rdBase.BlockLogs():
        reader = readers.get(path.suffix.lower(), Chem.MolFromMolFile)
        mol = reader(str(path), sanitize=False, removeHs=False)
    heavy = [atom.GetAtomicNum() > 1 for atom in mol.GetAtoms()]
    return np.asarray(mol.GetConformer().GetPositions(), dtype=float)[heavy]


def _distance(residue: gemmi.Residue, around: np.ndarray) -> float:
    """From a residue's centre of mass to the nearest of some positions, Å."""
    weights = [atom.element.weight for atom in residue]
    center = np.average([atom.pos.tolist() for atom in residue], axis=0, weights=weights)
    return float(np.linalg.norm(around - center, axis=1).min())


def _features(path: Path, atom: gemmi.Atom, residue: gemmi.Residue) -> Tensor:
    name = standard_name(residue.name)
    if name not in RESIDUES:
        raise DockingInputError(
            f"{path}: residue {residue.name} {residue.seqid} is none of the twenty amino acids "
            f"that TargetDiff knows; remove it with --drop {residue.name}, or say --modified standard"
        )
    features = torch.zeros(PROTEIN_FEATURES)
    number = atom.element.atomic_number
    if number in PROTEIN_ELEMENTS:
        features[PROTEIN_ELEMENTS.index(number)] = 1.0
    features[len(PROTEIN_ELEMENTS) + RESIDUES.index(name)] = 1.0
    features[-1] = float(atom.name in BACKBONE)
    return features

"""Which residues a pose touches and how: interaction fingerprints by ProLIF.

Bouysset and Fiorucci, J. Cheminform. 2021, 13, 72; the interactions' geometric thresholds are
ProLIF's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DockingInputError
from .pdbqt import to_pdb
from .text_file import text_of

if TYPE_CHECKING:
    from rdkit.Chem import Mol

KINDS: tuple[str, ...] = (
    "Hydrophobic",
    "HBDonor",
    "HBAcceptor",
    "PiStacking",
    "Anionic",
    "Cationic",
    "CationPi",
    "PiCation",
    "XBDonor",
    "MetalDonor",
    "MetalAcceptor",
)
"""The interactions looked for, by ProLIF's names: the ligand's part comes first."""


@dataclass(frozen=True, order=True)
class Interaction:
    """One kind of contact with one residue, such as ``Interaction("ASP129.A", "Cationic")``."""

    residue: str
    kind: str


def interactions(
    poses: Sequence[Mol], receptor: Path | str, kinds: Sequence[str] = KINDS
) -> list[tuple[Interaction, ...]]:
    """Each pose's interactions, sorted by residue.

    Parameters
    ----------
    poses
        Sanitised molecules with one conformer each in the receptor's frame; missing hydrogens are
        placed.
    receptor
        PDB or PDBQT file with hydrogens.
    kinds
        Names of :data:`KINDS` or others of ProLIF's.

    Raises
    ------
    DockingInputError
        If a kind is not one of ProLIF's, or the receptor near the poses cannot be read.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside what ProLIF imports
        import prolif
    from rdkit import Chem, rdBase

    unknown = sorted(set(kinds) - set(prolif.Fingerprint.list_available()))
    if unknown:
        raise DockingInputError(f"expected interactions of {', '.join(KINDS)}, got {unknown[0]!r}")
    if not poses:
        return []
    with rdBase.BlockLogs(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ligands = [prolif.Molecule.from_rdkit(Chem.AddHs(mol, addCoords=True)) for mol in poses]
        protein = prolif.Molecule.from_rdkit(_protein(Path(receptor)))
        fingerprint = prolif.Fingerprint(list(kinds))
        return [
            _of_one(fingerprint.generate(ligand, protein, metadata=True)) for ligand in ligands
        ]


def _of_one(found: dict) -> tuple[Interaction, ...]:
    return tuple(
        sorted(
            Interaction(str(residue), kind)
            for (_, residue), kinds in found.items()
            for kind, contacts in kinds.items()
            if contacts
        )
    )


def _protein(path: Path) -> Mol:
    """The receptor, its bonds from residue templates and distances, its bare acids charged.

    A PDBQT file has polar hydrogens only, which are the ones that interactions need.
    """
    from rdkit import Chem

    text = text_of(path, "receptor")
    pdb = to_pdb(text) if path.suffix.lower() == ".pdbqt" else text
    mol = Chem.MolFromPDBBlock(pdb, removeHs=False)
    if mol is None or mol.GetNumAtoms() == 0:
        raise DockingInputError(
            f"{path}: RDKit cannot make sense of the receptor's bonds, so its interactions are "
            "not known; prepare the receptor with casbo, or repair the residue it names"
        )
    for _, _, oxygen in mol.GetSubstructMatches(Chem.MolFromSmarts("[CX3](=O)[OD1;!$(O=*)]")):
        atom = mol.GetAtomWithIdx(oxygen)
        if atom.GetTotalNumHs() and not atom.GetNumExplicitHs():
            atom.SetFormalCharge(-1)  # a proton would be in the file
    Chem.SanitizeMol(mol)
    return mol

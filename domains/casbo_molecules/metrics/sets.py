"""Measures of a set of molecules as a set: how different its members are, and how new.

Novelty as in GuacaMol (Brown et al. 2019) and MOSES (Polykovskiy et al. 2020). Diversity is the
mean over pairs of one minus the Tanimoto similarity; what differs between papers is the
fingerprint: MOSES takes Morgan's (radius 2), TargetDiff (Guan et al. 2023) and its relatives
RDKit's path fingerprint.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from casbo_molecules.errors import DockingInputError
from casbo_molecules.text_file import text_of

from .numbers import share

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Fingerprint = Literal["morgan", "rdkit"]
BITS = 2048
RADIUS = 2


def diversity(mols: Sequence[Mol], fingerprint: Fingerprint = "morgan") -> float:
    """One minus the mean Tanimoto similarity over all pairs; NaN for fewer than two.

    Parameters
    ----------
    mols
        Sanitised molecules.
    fingerprint
        "morgan": radius 2, 2,048 bits; "rdkit": paths of up to seven bonds, 2,048 bits.
    """
    from rdkit.DataStructs import BulkTanimotoSimilarity

    if len(mols) < 2:
        return math.nan
    prints = _fingerprints(mols, fingerprint)
    total = sum(
        sum(BulkTanimotoSimilarity(prints[index], prints[:index]))
        for index in range(1, len(prints))
    )
    return 1.0 - float(total) / (len(prints) * (len(prints) - 1) / 2)


def novelty(mols: Sequence[Mol], known: Collection[str]) -> float:
    """Share of the different constitutions that are not in ``known``; NaN for no molecule."""
    found = {constitution(mol) for mol in mols}
    return share(len(found - set(known)), len(found))


def constitution(mol: Mol) -> str:
    """Canonical SMILES without stereochemistry."""
    from rdkit import Chem

    return str(Chem.MolToSmiles(mol, isomericSmiles=False))


def read_known(path: Path | str) -> frozenset[str]:
    """The constitutions in a file of SMILES: one a line, the first word or comma-separated field.

    Lines that begin with ``#`` and a header named "smiles" are passed over.

    Raises
    ------
    DockingInputError
        If the file cannot be read, or a line holds no SMILES: the line is named.
    """
    from rdkit import Chem, rdBase

    path = Path(path)
    found = set()
    with rdBase.BlockLogs():
        for number, line in enumerate(text_of(path, "file of SMILES").splitlines(), start=1):
            words = line.replace(",", " ").split()
            if not words or words[0].startswith("#"):
                continue
            if not found and words[0].strip('"').lower() == "smiles":
                continue
            mol = Chem.MolFromSmiles(words[0].strip('"'))
            if mol is None or mol.GetNumAtoms() == 0:
                raise DockingInputError(
                    f"{path}, line {number}: expected a SMILES first, got {words[0]!r:.60}; put "
                    "one molecule on each line"
                )
            found.add(constitution(mol))
    if not found:
        raise DockingInputError(f"{path}: no SMILES; put one molecule on each line")
    return frozenset(found)


def _fingerprints(mols: Sequence[Mol], fingerprint: Fingerprint) -> list[Any]:
    from rdkit.Chem import rdFingerprintGenerator

    made = {
        "morgan": lambda: rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS),
        "rdkit": lambda: rdFingerprintGenerator.GetRDKitFPGenerator(fpSize=BITS),
    }
    if fingerprint not in made:
        raise DockingInputError(
            f"expected a fingerprint of {', '.join(made)}, got {fingerprint!r}"
        )
    generator = made[fingerprint]()
    return [generator.GetFingerprint(mol) for mol in mols]

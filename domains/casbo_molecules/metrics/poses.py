"""Whether poses are physically plausible: the checks of PoseBusters (Buttenschoen et al. 2024)."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rdkit.Chem import Mol

AROUND = 12.0  # Å; PoseBusters looks no further than 6 Å from a pose, and is slow with the rest


def posebusters_pass_rate(mols: Sequence[Mol], receptor: Path | str | None = None) -> float:
    """Share of molecules (one conformer each) that pass every check; NaN for none.

    Parameters
    ----------
    mols
        Sanitised molecules; hydrogens are placed on the given heavy atoms first.
    receptor
        PDB or PDBQT file that they are posed in, for PoseBusters' ``dock`` checks; without it the
        ``mol`` checks are made.
    """
    checks = pose_checks(mols, receptor)
    return float(np.mean([all(row.values()) for row in checks])) if checks else math.nan


def pose_checks(mols: Sequence[Mol], receptor: Path | str | None = None) -> list[dict[str, bool]]:
    """Every check of every molecule, by PoseBusters' names; about a second for each.

    Parameters
    ----------
    mols, receptor
        As in :func:`posebusters_pass_rate`.
    """
    from posebusters import PoseBusters
    from rdkit import Chem, rdBase

    if not mols:
        return []
    _reopen_rdkit_log()
    with rdBase.BlockLogs():
        hydrogenated = [Chem.AddHs(mol, addCoords=True) for mol in mols]
        protein = None if receptor is None else _around(_receptor(Path(receptor)), mols)
        checker = PoseBusters(config="mol" if protein is None else "dock")
        table = checker.bust(hydrogenated, None, protein, full_report=False)
    return [
        {str(name): bool(value) for name, value in row.items()}
        for row in table.to_dict(orient="records")
    ]


def _reopen_rdkit_log() -> None:
    """Give RDKit's log a stream that is open.

    PoseBusters leaves it whatever sys.stderr was at the time; where that has been closed since,
    as notebooks and test runners do, its next checks fail without a word.
    """
    import rdkit

    handler = getattr(rdkit, "log_handler", None)
    if handler is not None and getattr(handler.stream, "closed", False):
        handler.stream = sys.stderr


def _receptor(path: Path) -> Mol:
    """The receptor's atoms; their bonds play no part in the checks."""
    from rdkit import Chem

    from casbo_molecules.pdbqt import to_pdb

    text = path.read_text(encoding="utf-8")
    pdb = to_pdb(text) if path.suffix.lower() == ".pdbqt" else text
    return Chem.MolFromPDBBlock(pdb, sanitize=False, removeHs=False, proximityBonding=False)


def _around(receptor: Mol, mols: Sequence[Mol]) -> Mol:
    """The receptor's atoms near any of the molecules; all of them where none is near."""
    from rdkit import Chem
    from scipy.spatial import cKDTree

    tree = cKDTree(np.concatenate([mol.GetConformer().GetPositions() for mol in mols]))
    distances, _ = tree.query(receptor.GetConformer().GetPositions())
    if distances.min() > AROUND:
        return receptor
    near = Chem.RWMol(receptor)
    near.BeginBatchEdit()
    for index in np.flatnonzero(distances > AROUND):
        near.RemoveAtom(int(index))
    near.CommitBatchEdit()
    return near.GetMol()

"""Whether poses are physically plausible: the checks of PoseBusters (Buttenschoen et al. 2024)."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Sequence
from functools import cache
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
    from rdkit import Chem, rdBase

    if not mols:
        return []
    _reopen_rdkit_log()
    with rdBase.BlockLogs():
        hydrogenated = [Chem.AddHs(mol, addCoords=True) for mol in mols]
        protein = None if receptor is None else _around(_receptor(Path(receptor)), mols)
        return [_checks(mol, protein) for mol in hydrogenated]


def _checks(mol: Mol, protein: Mol | None) -> dict[str, bool]:
    """The checks of one molecule with its hydrogens."""
    from posebusters import PoseBusters

    checker = PoseBusters(config="mol" if protein is None else "dock")
    undecided: dict[str, bool] = {}
    if not has_conformers(mol):
        modules = checker.config["modules"]
        checker.config["modules"] = [m for m in modules if m["function"] != "energy_ratio"]
        undecided["internal_energy"] = True  # what PoseBusters leaves open does not fail
    (row,) = checker.bust(mol, None, protein, full_report=False).to_dict(orient="records")
    return {**{str(name): bool(value) for name, value in row.items()}, **undecided}


def has_conformers(mol: Mol) -> bool:
    """Whether PoseBusters can find conformers to compare the molecule's energy with.

    It wants fifty, all of them, and after the first has failed goes on trying for minutes; the same
    search for one tells beforehand. What fails otherwise fails at once, and PoseBusters says so.
    """
    from posebusters.tools.inchi import get_inchi

    try:
        return _has_conformers(get_inchi(copy.copy(mol)))
    except Exception:  # noqa: BLE001 - whatever PoseBusters meets in it
        return True


@cache
def _has_conformers(inchi: str) -> bool:
    from posebusters.modules.energy_ratio import get_energies

    try:
        get_energies(inchi, 1)
    except AssertionError:
        return False
    return True


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

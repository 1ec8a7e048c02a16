"""PDBQT text of receptors: made by Open Babel, checked before Vina sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import DockingInputError

VINA_TYPES: frozenset[str] = frozenset(
    {
        "H",
        "HD",
        "C",
        "A",
        "N",
        "NA",
        "O",
        "OA",
        "S",
        "SA",
        "P",
        "F",
        "Cl",
        "Br",
        "I",
        "Mg",
        "Mn",
        "Zn",
        "Ca",
        "Fe",
        "Si",
        "At",
        "Na",
        "K",
        "Cu",
        "Co",
        "Ni",
        "Hg",
        "Cd",
        "U",
        "Se",
        "G0",
        "G1",
        "G2",
        "G3",
        "CG0",
        "CG1",
        "CG2",
        "CG3",
        "W",
    }
)
"""AutoDock atom types that Vina 1.2.7 accepts; any other makes it refuse the receptor."""

_ELEMENTS = {"HD": "H", "A": "C", "NA": "N", "OA": "O", "SA": "S"}  # where the type is none

SAME_ATOM = 2e-3  # Å, the rounding of coordinates in a PDB file


def to_pdbqt(path: Path, pdb: str, ph: float | None) -> str:
    """Open Babel's rigid PDBQT of a PDB text, with hydrogens added where a pH is given.

    Raises
    ------
    DockingInputError
        If Open Babel cannot read the text; ``path`` is named.
    """
    from openbabel import openbabel

    openbabel.obErrorLog.SetOutputLevel(openbabel.obError)
    conversion = openbabel.OBConversion()
    conversion.SetInAndOutFormats("pdb", "pdbqt")
    conversion.AddOption("r", openbabel.OBConversion.OUTOPTIONS)  # rigid: no torsion tree
    molecule = openbabel.OBMol()
    if not conversion.ReadString(molecule, pdb) or molecule.NumAtoms() == 0:
        raise DockingInputError(f"{path}: Open Babel cannot read the cleaned structure")
    if ph is not None:
        molecule.AddHydrogens(False, True, ph)  # not polar ones only; corrected for pH
    return _with_names(conversion.WriteString(molecule), pdb)


def to_pdb(pdbqt: str) -> str:
    """The atoms of a PDBQT text as PDB records, each with its element in columns 77-78."""
    lines = []
    for line in pdbqt.splitlines():
        if _is_atom(line):
            kind = line[77:].strip()
            element = _ELEMENTS.get(kind, kind)
            lines.append(f"{line[:66]:<76}{element.upper():>2}")
    return "\n".join([*lines, "END", ""])


def _with_names(pdbqt: str, pdb: str) -> str:
    """Give atoms the names, residues and chains of the PDB text back.

    Adding hydrogens makes Open Babel renumber residues and chains. A hydrogen takes the residue
    of the heavy atom beside it.
    """
    from scipy.spatial import cKDTree

    heavy = [
        line
        for line in pdb.splitlines()
        if _is_atom(line) and line[76:78].strip() not in ("H", "D")
    ]
    tree = cKDTree([_coordinates(line) for line in heavy])
    lines, serial = [], 0
    for line in pdbqt.splitlines():
        if not _is_atom(line):
            lines.append(line)
            continue
        serial += 1
        distance, index = tree.query(_coordinates(line))
        name = heavy[index][12:17] if distance < SAME_ATOM else line[12:17]
        lines.append(f"{line[:6]}{serial:>5} {name}{heavy[index][17:27]}{line[27:]}")
    return "\n".join(lines) + "\n"


def _is_atom(line: str) -> bool:
    return line.startswith(("ATOM", "HETATM"))


def _coordinates(line: str) -> list[float]:
    """x, y, z in Å of a PDB or PDBQT record."""
    return [float(line[start : start + 8]) for start in (30, 38, 46)]


def receptor_positions(path: Path, pdbqt: str) -> np.ndarray:
    """Coordinates in Å, shape (n, 3), of a receptor's PDBQT text whose every atom Vina accepts.

    Raises
    ------
    DockingInputError
        Naming the line of ``path`` that Vina would refuse.
    """
    positions: list[list[float]] = []
    for number, line in enumerate(pdbqt.splitlines(), start=1):
        if line.startswith(("ROOT", "BRANCH", "TORSDOF")):
            raise DockingInputError(
                f"{path}, line {number}: {line.split()[0]} belongs to a ligand, not to a "
                "receptor; give the rigid receptor's PDBQT"
            )
        if not _is_atom(line):
            continue
        try:
            xyz = _coordinates(line)
        except ValueError:
            xyz = [np.nan]
        if not np.isfinite(xyz).all():
            raise DockingInputError(
                f"{path}, line {number}: atom {line[12:26].strip()} has coordinates "
                f"{line[30:54].strip()!r}; expected three finite numbers"
            )
        kind = line[77:].strip()
        if kind not in VINA_TYPES:
            raise DockingInputError(
                f"{path}, line {number}: atom {line[12:26].strip()} has the AutoDock type "
                f"{kind!r}, which Vina does not know; remove the residue or rename the type"
            )
        positions.append(xyz)
    if not positions:
        raise DockingInputError(f"{path}: no atoms; give a file with ATOM records")
    return np.array(positions)


def residue_positions(path: Path, pdbqt: str, residues: Sequence[str]) -> np.ndarray:
    """Coordinates in Å, shape (n, 3), of the atoms of residues such as ``A:45``.

    Raises
    ------
    DockingInputError
        Naming the residue that is not of this form or not there, and what ``path`` has.
    """
    if not residues:
        raise DockingInputError("expected at least one residue, such as A:45, got none")
    found: dict[tuple[str, str], list[list[float]]] = {}
    for line in filter(_is_atom, pdbqt.splitlines()):
        found.setdefault((line[21].strip(), line[22:27].strip()), []).append(_coordinates(line))
    positions: list[list[float]] = []
    for residue in residues:
        match = re.fullmatch(r"(\S?):(-?\d+[A-Za-z]?)", residue.strip())
        if match is None:
            raise DockingInputError(
                f"expected a residue as chain:number, such as A:45, got {residue!r:.40}"
            )
        if match.groups() not in found:
            numbers = [number for chain, number in found if chain == match[1]]
            chains = ", ".join(sorted({chain or "(no name)" for chain, _ in found}))
            known = f"chain {match[1]} goes from {numbers[0]} to {numbers[-1]}" if numbers else ""
            raise DockingInputError(
                f"{path}: no residue {residue}; {known or f'its chains are {chains}'}"
            )
        positions += found[match[1], match[2]]
    return np.array(positions)

"""What a run leaves for a chemist: every query in one table, the best molecules docked."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from casbo.atomic import write_atomically
from casbo.ledger import FINAL, Kind, Ledger

from .properties import COMPONENTS

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@dataclass(frozen=True)
class ScoredMolecule:
    """One query of a run and the molecule it was about.

    Parameters
    ----------
    iteration, number
        The candidate's place in the run.
    smiles
        Canonical SMILES, None if the sample is no molecule.
    score
        The objective's value, NaN if the candidate failed.
    components
        Named scores.
    problem
        Why the candidate failed, None if it did not.
    """

    iteration: int
    number: int
    smiles: str | None
    score: float
    components: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None

    @property
    def failed(self) -> bool:
        """Whether there is no score."""
        return math.isnan(self.score)


def scored_molecules(run: Path, kind: Kind = "steering", label: str = "") -> list[ScoredMolecule]:
    """Read every completed query of a run from its ledger, in the order of the run.

    Raises
    ------
    casbo.errors.RunFolderError
        If the ledger cannot be read.
    """
    ledger = Ledger(run / "ledger.sqlite")
    try:
        return [
            ScoredMolecule(
                iteration=row["iteration"],
                number=row["number"],
                smiles=row["sample"],
                score=math.nan if row["score"] is None else row["score"],
                components=row["components"],
                problem=row["message"],
            )
            for row in ledger.rows(kind, label)
            if row["step"] == FINAL and row["status"] != "sent"
        ]
    finally:
        ledger.close()


def write_all(molecules: Sequence[ScoredMolecule], path: Path) -> Path:
    """Write one line per query: iteration, number, smiles, score, components, problem."""
    names = ["vina", *COMPONENTS]
    names += sorted({name for row in molecules for name in row.components} - set(names))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["iteration", "number", "smiles", "score", *names, "problem"])
    for row in molecules:
        values = [_cell(row.components.get(name, math.nan)) for name in names]
        place = [row.iteration, row.number]
        table.writerow(
            [*place, row.smiles or "", _cell(row.score), *values, _plain(row.problem or "")]
        )
    write_atomically(path, text.getvalue().encode())
    return path


def write_poses(mols: Sequence[Mol], scores: Sequence[Mapping[str, float]], path: Path) -> Path:
    """Write molecules in 3D as one SD file, best first.

    Parameters
    ----------
    mols
        RDKit molecules with one conformer each: docked poses, or samples as they were made.
    scores
        Named numbers for each; they become its SD fields, besides ``smiles`` and ``rank``.
    """
    from rdkit import Chem

    text = io.StringIO()
    with Chem.SDWriter(text) as writer:
        for rank, (original, row) in enumerate(zip(mols, scores, strict=True), start=1):
            mol = Chem.Mol(original)
            mol.SetProp("_Name", f"rank {rank}")
            mol.SetIntProp("rank", rank)
            mol.SetProp("smiles", Chem.MolToSmiles(Chem.RemoveHs(mol)))
            for name, value in row.items():
                mol.SetProp(name, _cell(value))
            writer.write(mol)
    write_atomically(path, text.getvalue().encode())
    return path


def read_poses(path: Path) -> list[Mol]:
    """The molecules of an SD file, hydrogens included; none where it is missing or damaged."""
    from rdkit import Chem, rdBase

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    with rdBase.BlockLogs():
        supplier = Chem.SDMolSupplier()
        supplier.SetData(text, removeHs=False)
        return [mol for mol in supplier if mol is not None and mol.GetNumConformers()]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

"""The ledger names every query's molecule; files for chemists."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import torch
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem

from casbo.ledger import FINAL, Batch, Ledger
from casbo.scorer import Reply
from casbo_molecules.molecule import Molecule
from casbo_molecules.properties import properties
from casbo_molecules.tables import (
    ScoredMolecule,
    scored_molecules,
    write_all,
    write_poses,
)

BROKEN = Molecule.from_atoms(np.array([[0.0, 0, 0], [9.0, 0, 0]]), (6, 6))
CHOICES = [*(Molecule.from_mol(conformer(smiles)) for smiles in DRUG_LIKE), BROKEN]
SHAPE = (2, 3)


def choose(noise: torch.Tensor) -> list[Molecule]:
    """A molecule for each row of noise (N, K, D), by its first number."""
    return [CHOICES[int(abs(row[0, 0]) * 1000) % len(CHOICES)] for row in noise]


def population(seed: int, size: int = 6) -> torch.Tensor:
    return torch.randn(size, *SHAPE, generator=torch.Generator().manual_seed(seed))


def score(ledger: Ledger, iteration: int, molecules: list[Molecule], docked: bool = True) -> None:
    """Complete one iteration's queries as the docking scorer would."""
    batch = Batch("steering", iteration)
    names = {(number, FINAL): molecule.smiles for number, molecule in enumerate(molecules)}
    sent = ledger.send(batch, names, names)
    for query, (number, _) in sent.items():
        molecule = molecules[number]
        if molecule.mol is None:
            ledger.complete(query, Reply(message=molecule.problem), math.nan)
        elif not docked:
            ledger.complete(query, Reply(message="Vina: no"), math.nan)
        else:
            values = {"vina": -5.0 - number, **properties(molecule.mol)}
            ledger.complete(query, Reply(values), -5.0 - number)


def test_docking_failures_keep_their_molecule_and_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    made = [choose(population(seed)) for seed in range(3)]
    for iteration, molecules in enumerate(made):
        score(ledger, iteration, molecules, docked=iteration != 1)
    ledger.close()
    rows = scored_molecules(tmp_path)
    assert [row.smiles for row in rows] == [m.smiles for molecules in made for m in molecules]
    assert {row.problem for row in rows if row.iteration == 1} <= {"Vina: no", BROKEN.problem}


def test_table_of_all_queries(tmp_path: Path) -> None:
    rows = [
        ScoredMolecule(0, 0, "CCO", -6.5, {"vina": -5.25, "qed": 0.4, "novel": 1.0}),
        ScoredMolecule(0, 1, None, math.nan, {}, '=cmd(); 2 pieces, "quoted"\nline'),
    ]
    with write_all(rows, tmp_path / "all.csv").open() as file:
        first, second = csv.DictReader(file)
    assert first["smiles"] == "CCO"
    assert float(first["vina"]) == -5.25
    assert first["novel"] == "1"
    assert first["sa"] == first["problem"] == ""
    assert second["smiles"] == second["score"] == ""
    assert second["problem"].startswith("'=cmd")


def test_sd_file_is_read_back(tmp_path: Path) -> None:
    mols = [Chem.AddHs(conformer(smiles), addCoords=True) for smiles in DRUG_LIKE[:3]]
    scores = [{"vina": -7.0 + n, "qed": 0.5, "score": math.nan} for n in range(3)]
    path = write_poses(mols, scores, tmp_path / "best.sdf")
    with Chem.SDMolSupplier(str(path), removeHs=False) as supplier:
        read = list(supplier)
    assert len(read) == 3
    for rank, (mol, original, smiles) in enumerate(zip(read, mols, DRUG_LIKE, strict=False)):
        assert mol.GetProp("smiles") == Chem.CanonSmiles(smiles)
        assert float(mol.GetProp("vina")) == -7.0 + rank
        assert int(mol.GetProp("rank")) == rank + 1
        np.testing.assert_allclose(
            mol.GetConformer().GetPositions(), original.GetConformer().GetPositions(), atol=1e-4
        )

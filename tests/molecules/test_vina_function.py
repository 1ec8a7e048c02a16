"""The scoring function against Vina itself, and its own laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from molecule_samples import DRUG_LIKE, conformer, placed
from rdkit import Chem

from casbo_molecules.docking import DockingSettings, engine_for, ligand_pdbqt
from casbo_molecules.molecule import Molecule
from casbo_molecules.receptor import prepare_receptor
from casbo_molecules.vina import VinaScore
from casbo_molecules.vina_function import (
    CLASSES,
    Atoms,
    read_atoms,
    score_in_place,
    sum_of_atoms,
)

CENTER = (3.0, 0.5, 10.0)  # in the pocket of the embedded receptor
MORE = (
    "OCC(I)CBr",
    "COP(C)(=O)O",
    "CC(C)(C)c1ccc(S)cc1",
    "N=C(N)NCC(O)C(F)(F)F",
    "CC(C)C[C@H](NC(=O)c1ccc(C#N)cc1)C(=O)NCCN1CCOCC1",
    "CCN(CC)CC",
    "CCC(CC)(CC)CC",
    "CS(=O)(=O)c1ccc2[nH]ccc2c1",
)


@pytest.fixture(scope="module")
def settings(
    target_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> DockingSettings:
    receptor = prepare_receptor(target_files[0], folder=tmp_path_factory.mktemp("receptor"))
    return DockingSettings(str(receptor.pdbqt), CENTER, (20.0, 20.0, 20.0), "score_only")


def by_vina(settings: DockingSettings, ligand: str) -> np.ndarray:
    """Total and intermolecular energy before Vina rounds them."""
    vina = engine_for(settings)
    vina.set_ligand_from_string(ligand)
    return np.array(vina._vina.score()[:2])


@pytest.mark.parametrize("smiles", [*DRUG_LIKE, *MORE])
def test_it_is_vinas(settings: DockingSettings, smiles: str) -> None:
    """Bit by bit but for the order of sums: clashing, touching and half out of the pocket."""
    draw = np.random.default_rng(5)
    for _ in range(3):
        center = tuple(np.array(CENTER) + draw.uniform(-3.0, 3.0, 3))
        ligand = ligand_pdbqt(placed(smiles, center).require())
        total, inter = by_vina(settings, ligand)
        found = score_in_place(settings.receptor, settings.center, settings.size, ligand)
        assert found == round(float(total), 3)
        atoms = read_atoms(ligand)
        assert atoms is not None
        assert total * (1 + 0.05846 * atoms.rotors) == pytest.approx(inter, rel=1e-12)


def test_the_scorer_never_sets_a_ligand(
    settings: DockingSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import casbo_molecules.docking as docking

    monkeypatch.setattr(docking, "engine_for", lambda _: pytest.fail("Vina was asked"))
    docking.warm(settings)
    docked = docking.dock(settings, placed("CC(=O)Nc1ccccc1", CENTER).require())
    assert np.isfinite(docked.energy)


def test_what_it_does_not_know_is_left_to_vina(settings: DockingSettings) -> None:
    ligand = ligand_pdbqt(placed("CC(=O)Nc1ccccc1", CENTER).require())
    lines = ligand.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("ATOM"))
    lines[first] = lines[first][:77] + "Si"
    strange = "\n".join(lines)
    assert read_atoms(strange) is None
    assert score_in_place(settings.receptor, settings.center, settings.size, strange) is None


@pytest.mark.parametrize("target", ["1h36", "3rfm", "1iep"])
def test_on_other_receptors(shared: Path, target: str) -> None:
    import json

    folder = shared / "receptors"
    known = json.loads((folder / "vina_reference_scores.json").read_text())[target]
    sdf = folder / target / known["sdf"]
    score = VinaScore(folder / target / known["pdb"], ligand=sdf, mode="score_only")
    mol = Molecule.from_mol(Chem.MolFromMolFile(str(sdf))).require()
    ligand = ligand_pdbqt(mol)
    vina = by_vina(score.settings, ligand)
    own = score.settings
    assert score_in_place(own.receptor, own.center, own.size, ligand) == round(float(vina[0]), 3)


def atoms(seed: int, count: int) -> Atoms:
    draw = np.random.default_rng(seed)
    positions = draw.uniform(-5, 5, (count, 3))
    return Atoms(positions, draw.integers(0, len(CLASSES), count), 0.0)


def test_the_sum_knows_no_order_and_adds_over_ligand_atoms() -> None:
    ligand, receptor = atoms(1, 12), atoms(2, 60)
    whole = sum_of_atoms(ligand, receptor)
    order = np.random.default_rng(3).permutation(60)
    mixed = Atoms(receptor.positions[order], receptor.classes[order], 0.0)
    assert sum_of_atoms(ligand, mixed) == pytest.approx(whole)
    parts = [
        sum_of_atoms(Atoms(ligand.positions[i : i + 1], ligand.classes[i : i + 1], 0.0), receptor)
        for i in range(12)
    ]
    assert sum(parts) == pytest.approx(whole)
    far = Atoms(receptor.positions + 40.0, receptor.classes, 0.0)
    assert sum_of_atoms(ligand, far) == 0.0


def test_hydrogens_do_not_count() -> None:
    ligand = read_atoms(ligand_pdbqt(conformer("CCO")))
    assert ligand is not None
    assert len(ligand.positions) == 3

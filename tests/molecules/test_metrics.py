"""Metrics by their definitions, on sets whose answers can be counted."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from casbo_molecules.errors import DockingInputError
from casbo_molecules.metrics import (
    Success,
    chemistry_metrics,
    diversity,
    high_affinity,
    molecule_metrics,
    pose_checks,
    posebusters_pass_rate,
    read_known,
    success_rate,
)
from casbo_molecules.metrics.table import ROWS, metrics_table, to_json
from casbo_molecules.molecule import Molecule
from casbo_molecules.properties import lipinski, properties
from casbo_molecules.run_metrics import query_metrics
from casbo_molecules.tables import ScoredMolecule

BROKEN = Molecule.from_atoms(np.array([[0.0, 0, 0], [9.0, 0, 0]]), (6, 6))


@pytest.fixture(scope="module")
def molecules() -> list[Molecule]:
    return [Molecule.from_mol(conformer(smiles)) for smiles in DRUG_LIKE]


def test_counts(molecules: list[Molecule]) -> None:
    samples = [*molecules, molecules[0], molecules[1], BROKEN, BROKEN]
    known = {molecules[0].smiles, molecules[1].smiles, "C"}
    measured = molecule_metrics(samples, known=known)
    assert measured.count == 12
    assert measured.validity == 10 / 12
    assert measured.uniqueness == 8 / 10
    assert measured.novelty == 6 / 8
    expected = [properties(sample.mol)["qed"] for sample in samples if sample.mol is not None]
    assert measured.qed == pytest.approx(np.mean(expected))


def test_energies_ignore_failures(molecules: list[Molecule]) -> None:
    measured = molecule_metrics(molecules[:4], vina=[-5.0, math.nan, -9.0, -7.0])
    assert (measured.vina_mean, measured.vina_median, measured.vina_best) == (-7.0, -7.0, -9.0)


def test_diversity_is_the_mean_over_pairs(molecules: list[Molecule]) -> None:
    mols = [molecule.require() for molecule in molecules]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(mol) for mol in mols]
    pairs = [
        DataStructs.TanimotoSimilarity(prints[i], prints[j])
        for i in range(len(mols))
        for j in range(i)
    ]
    assert diversity(mols) == pytest.approx(1 - np.mean(pairs))
    assert diversity([mols[0], mols[0]]) == 0.0
    assert math.isnan(diversity(mols[:1]))


def test_nothing_to_measure() -> None:
    for samples in ([], [BROKEN]):
        measured = molecule_metrics(samples, known=set())
        assert math.isnan(measured.qed)
        assert math.isnan(measured.vina_best)
        assert set(measured.as_dict()) >= {"validity", "diversity"}
    assert molecule_metrics([BROKEN]).validity == 0.0


def test_posebusters_tells_sound_from_squeezed(molecules: list[Molecule]) -> None:
    pytest.importorskip("posebusters")
    sound = molecules[0].require()
    squeezed = Chem.Mol(sound)
    conformer_ = squeezed.GetConformer()
    for index, xyz in enumerate(conformer_.GetPositions() * 0.6):
        conformer_.SetAtomPosition(index, xyz.tolist())
    assert posebusters_pass_rate([sound]) == 1.0
    assert posebusters_pass_rate([sound, squeezed]) == 0.5
    assert math.isnan(posebusters_pass_rate([]))


def test_checks_are_those_of_posebusters(molecules: list[Molecule]) -> None:
    posebusters = pytest.importorskip("posebusters")
    mols = [molecule.require() for molecule in molecules[:2]]
    checker = posebusters.PoseBusters(config="mol")
    table = checker.bust([Chem.AddHs(mol, addCoords=True) for mol in mols], None, None)
    assert pose_checks(mols) == table.astype(bool).to_dict(orient="records")


def test_no_fifty_conformers_are_tried_where_the_first_fails(
    molecules: list[Molecule], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("posebusters")
    from posebusters.modules import energy_ratio

    asked: list[int] = []

    def embed(mol: Chem.Mol, count: int, parameters: object) -> list[int]:
        asked.append(count)
        return []

    (whole,) = pose_checks([molecules[0].require()])
    strained = conformer("OCC1CC1c1ccncc1")  # no other test has asked for its conformers
    monkeypatch.setattr(energy_ratio, "EmbedMultipleConfs", embed)
    for _ in range(2):
        (found,) = pose_checks([strained])
        assert found.keys() == whole.keys()
        assert found["internal_energy"]  # undecided is not failed
    assert asked == [1]


def test_posebusters_outlives_a_stderr_that_was_closed(
    molecules: list[Molecule], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("posebusters")
    sound = molecules[0].require()
    with io.TextIOWrapper(io.BytesIO()) as passing, monkeypatch.context() as patched:
        patched.setattr("sys.stderr", passing)
        assert posebusters_pass_rate([sound]) == 1.0
    assert posebusters_pass_rate([sound]) == 1.0


def test_diversity_by_paths_is_the_mean_over_pairs(molecules: list[Molecule]) -> None:
    prints = [Chem.RDKFingerprint(molecule.require()) for molecule in molecules]
    pairs = [
        DataStructs.TanimotoSimilarity(prints[i], prints[j])
        for i in range(len(prints))
        for j in range(i)
    ]
    mols = [molecule.require() for molecule in molecules]
    assert diversity(mols, "rdkit") == pytest.approx(1 - np.mean(pairs))
    with pytest.raises(DockingInputError, match="morgan"):
        diversity(mols, "maccs")  # type: ignore[arg-type]


def test_shares_of_the_docked() -> None:
    vina = [-9.0, -8.18, -8.19, math.nan, -12.0]
    assert high_affinity(vina, -9.0) == 2 / 4
    assert math.isnan(high_affinity([math.nan], -9.0))
    qed, sa = [0.5, 0.9, 0.26, 0.9, 0.25], [0.6, 0.9, 0.591, 0.9, 0.9]
    assert success_rate(vina, qed, sa) == 2 / 4  # -8.18 and 0.25 are not beyond the limits
    assert success_rate(vina, qed, sa, Success(vina=-8.0, qed=0.2)) == 4 / 4


@given(st.lists(st.floats(-15, 0), min_size=1), st.floats(-15, 0))
def test_affinity_falls_with_a_better_reference(vina: list[float], reference: float) -> None:
    assert 0 <= high_affinity(vina, reference - 1) <= high_affinity(vina, reference) <= 1


@pytest.mark.parametrize(
    ("smiles", "obeyed"),
    [
        ("CC(=O)Nc1ccc(O)cc1", 5),
        ("C" * 16, 3),  # logP, rotatable bonds
        ("C" * 40, 2),  # weight, logP, rotatable bonds
        ("OCC(O)C(O)C(O)C(O)CO", 3),  # donors, logP
    ],
)
def test_rules_obeyed(smiles: str, obeyed: int) -> None:
    assert lipinski(Chem.MolFromSmiles(smiles)) == obeyed


def test_queries_of_a_run_become_the_metrics_of_their_mode() -> None:
    rows = [
        ScoredMolecule(0, 0, "CC(=O)Nc1ccccc1", -7.0, {"vina": -7.0}),
        ScoredMolecule(0, 1, "CC(=O)Nc1ccccc1", math.nan, {}, "outside"),
        ScoredMolecule(0, 2, None, math.nan, {}, "no molecule"),
        ScoredMolecule(0, 3, "CCO", -5.0, {"vina": -5.0}),
    ]
    docked = query_metrics(rows, reference=-6.0, known={"CCO"})
    assert (docked.count, docked.validity, docked.uniqueness) == (4, 3 / 4, 2 / 3)
    assert (docked.vina_mean, docked.vina_best, docked.high_affinity) == (-6.0, -7.0, 0.5)
    assert docked.novelty == 0.5
    minimised = query_metrics(rows, "minimize")
    assert (minimised.vina_min_mean, minimised.vina_min_median) == (-6.0, -6.0)
    assert math.isnan(minimised.vina_mean)
    assert math.isnan(minimised.success_rate)


def test_tables_show_what_was_measured() -> None:
    measured = chemistry_metrics([Chem.MolFromSmiles("CCO"), None], vina=[-3.0, math.nan])
    assert {row.name for row in ROWS} == set(measured.as_dict())
    text = metrics_table(measured.as_dict())
    assert "-3.00 kcal/mol" in text
    assert "50.0%" in text
    assert "nan" not in text
    assert "novel" not in text
    assert to_json(measured.as_dict())["novelty"] is None


def test_known_molecules_are_read_whatever_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "known.smi"
    path.write_text("# a comment\nsmiles,name\nOCC,ethanol\nC[C@H](N)O x\n\nc1ccccc1\n")
    assert read_known(path) == {"CCO", "CC(N)O", "c1ccccc1"}
    path.write_text("CCO\nnot-a-smiles\n")
    with pytest.raises(DockingInputError, match="line 2"):
        read_known(path)
    path.write_text("\n")
    with pytest.raises(DockingInputError, match="no SMILES"):
        read_known(path)
    with pytest.raises(DockingInputError, match="no such file"):
        read_known(tmp_path / "absent.smi")


@given(st.binary(max_size=80))
def test_any_file_of_known_molecules_is_read_or_refused(tmp_path_factory, content: bytes) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("known") / "known.smi"
    path.write_bytes(content)
    with contextlib.suppress(DockingInputError):
        assert read_known(path)


def test_dock_checks_see_the_receptor(target_files: tuple[Path, Path]) -> None:
    pytest.importorskip("posebusters")
    from rdkit.Chem import rdMolAlign

    from casbo_molecules.reference_ligand import reference_molecule

    receptor, ligand = target_files
    known = reference_molecule(ligand).require()
    sitting = conformer("c1ccccc1")  # where the ligand's phenyl is
    ring = next(match for match in known.GetSubstructMatches(sitting))
    rdMolAlign.AlignMol(sitting, known, atomMap=list(enumerate(ring)))
    buried = Chem.Mol(sitting)
    for index, xyz in enumerate(sitting.GetConformer().GetPositions() + 5.0):
        buried.GetConformer().SetAtomPosition(index, xyz.tolist())
    here, there = pose_checks([sitting, buried], receptor)
    assert here["minimum_distance_to_protein"]
    assert not there["minimum_distance_to_protein"]
    assert not there["volume_overlap_with_protein"]
    assert here["bond_lengths"] == there["bond_lengths"]

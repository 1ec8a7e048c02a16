"""The commands: one clear line for bad input before any work, real files for good input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from molecule_choice import MoleculeChoice
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem

import casbo.cli
import casbo.domains
from casbo.rollout import Rollout
from casbo_molecules import docking_run
from casbo_molecules.docking_run import DockingOptions, default_atoms, vina_score
from casbo_molecules.errors import DockingInputError
from casbo_molecules.molecule import Molecule

CHOICES = [Molecule.from_mol(conformer(smiles)) for smiles in DRUG_LIKE[:4]]


def stand_in(options: DockingOptions) -> Rollout:
    """In the model's place: these tests are about everything around it."""
    del options
    return MoleculeChoice(CHOICES)


@pytest.fixture(autouse=True)
def _no_model(only_this_domain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docking_run, "molecule_rollout", stand_in)


@pytest.fixture
def ligand(tmp_path: Path) -> Path:
    path = tmp_path / "ligand.sdf"
    path.write_text(Chem.MolToMolBlock(conformer("CC(=O)Nc1ccccc1")))
    return path


def sdf_at(path: Path, shift: float) -> Path:
    mol = conformer("CC(=O)Nc1ccccc1")
    conformer_ = mol.GetConformer()
    for index, xyz in enumerate(conformer_.GetPositions() + shift):
        conformer_.SetAtomPosition(index, xyz.tolist())
    path.write_text(Chem.MolToMolBlock(mol))
    return path


BOX = ["--center=2,1,1", "--size=12,12,12"]
BAD = {
    "missing receptor": (["--receptor=absent.pdb", *BOX], "absent.pdb: no such file"),
    "no atoms": (["--receptor=empty.pdb", *BOX], "no atoms"),
    "unknown element": (["--receptor=element.pdb", *BOX], "unknown element"),
    "not a number": (["--receptor=nan.pdb", *BOX], "line 1: atom N GLY A 1"),
    "no box": (["--receptor=protein.pdb"], "--ligand"),
    "half a box": (["--receptor=protein.pdb", "--center=0,0,0"], "one of them"),
    "box of two": (
        ["--receptor=protein.pdb", "--center=0,0", "--size=9,9,9"],
        "--center as three",
    ),
    "box of words": (["--receptor=protein.pdb", "--center=0,0,0", "--size=a,b,c"], "--size as"),
    "endless box": (["--receptor=protein.pdb", "--center=0,0,0", "--size=inf,9,9"], "finite"),
    "far box": (["--receptor=protein.pdb", "--center=90,0,0", "--size=9,9,9"], "far from the rec"),
    "missing ligand": (["--receptor=protein.pdb", "--ligand=absent.sdf"], "absent.sdf: no such"),
    "far ligand": (["--receptor=protein.pdb", "--ligand=far.sdf"], "same frame"),
    "ligand outside": (["--receptor=protein.pdb", "--ligand=near.sdf", *BOX], "outside the box"),
    "flat ligand": (["--receptor=protein.pdb", "--ligand=flat.sdf"], "flat drawing"),
    "no chain": (["--receptor=protein.pdb", *BOX, "--chains=Z"], "no chain Z"),
    "hydrogens": (["--receptor=protein.pdb", *BOX, "--hydrogens=maybe"], "'auto', 'add'"),
    "seed 0": (["--receptor=protein.pdb", *BOX, "--vina-seed=0"], "random"),
    "exhaustiveness": (["--receptor=protein.pdb", *BOX, "--exhaustiveness=0"], "exhaustiveness"),
    "padding": (["--receptor=protein.pdb", "--ligand=ligand.sdf", "--padding=nan"], "padding"),
    "weight": (["--receptor=protein.pdb", *BOX, "--qed-weight=nan"], "finite"),
    "few queries": (["--receptor=protein.pdb", *BOX, "--queries=3"], "at least 32 queries"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_costs_one_line_and_nothing_else(
    case: str,
    tmp_path: Path,
    protein: Path,
    ligand: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    text = protein.read_text()
    (tmp_path / "empty.pdb").write_text("HEADER\n")
    (tmp_path / "element.pdb").write_text(text[:76] + " X\n" + text[79:])
    (tmp_path / "nan.pdb").write_text(text[:30] + "     nan" + text[38:])
    (tmp_path / "flat.sdf").write_text(Chem.MolToMolBlock(Chem.MolFromSmiles("c1ccccc1CCO")))
    sdf_at(tmp_path / "far.sdf", 200.0)
    sdf_at(tmp_path / "near.sdf", 6.0)
    arguments, words = BAD[case]
    monkeypatch.chdir(tmp_path)
    assert casbo.cli.run(["dock", "--out=run", *arguments]) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "run").exists()


def test_foreign_folder_is_left_alone(
    tmp_path: Path, protein: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    arguments = [f"--receptor={protein}", *BOX, f"--out={folder}"]
    assert casbo.cli.run(["dock", *arguments]) == 2
    assert "Choose another folder" in capfd.readouterr().err
    assert {path.name for path in folder.iterdir()} <= {"thesis.txt", "lock"}


def test_default_number_of_atoms(tmp_path: Path, protein: Path) -> None:
    def wanted(**options: object) -> int:
        asked = DockingOptions(out=str(tmp_path), receptor=str(protein), **options)
        return default_atoms(vina_score(asked), asked.ligand)

    ten = sdf_at(tmp_path / "ten.sdf", 3.0)
    assert wanted(ligand=str(ten)) == 10
    assert wanted(center=(2.0, 1.0, 1.0), size=(30.0, 30.0, 30.0)) == 20
    assert wanted(center=(2.0, 1.0, 1.0), size=(6.0, 6.0, 6.0)) == 8


def test_options_survive_json() -> None:
    options = DockingOptions("out", "r.pdb", center=(1.0, 2.0, 3.0), keep=("ZN",), sampler={})
    assert DockingOptions.from_json(options.to_json()) == options
    with pytest.raises(DockingInputError, match="unknown"):
        DockingOptions.from_json({**options.to_json(), "colour": "red"})


def test_receptor_changed_since_the_run_began(protein: Path) -> None:
    options = DockingOptions(
        "out", str(protein), center=(2.0, 1.0, 1.0), size=(9.0, 9.0, 9.0), receptor_sha256="0"
    )
    with pytest.raises(DockingInputError, match="no longer the receptor"):
        vina_score(options)


def test_dock_then_resume_then_sample(
    tmp_path: Path, target_files: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole command on a real receptor: every promised file, every query named."""
    run = tmp_path / "run"
    arguments = [f"--receptor={target_files[0]}", "--center=3,0.5,10", "--size=12,12,12"]
    search = ["--exhaustiveness=1", "--max-evals=2000", "--population=4", "--workers=1"]
    assert casbo.cli.run(["dock", f"--out={run}", *arguments, *search, "--queries=8"]) == 0
    printed = capfd.readouterr().out
    assert "1. -" in printed
    for name in ("best.sdf", "all.csv", "receptor.pdbqt", "report.html"):
        assert (run / name).stat().st_size > 0
        assert str(run / name) in printed
    with Chem.SDMolSupplier(str(run / "best.sdf")) as supplier:
        best = [(float(mol.GetProp("score")), mol.GetProp("smiles")) for mol in supplier]
    assert best == sorted(best)
    known = {molecule.smiles for molecule in CHOICES}
    assert {smiles for _, smiles in best} <= known
    rows = list(csv.DictReader((run / "all.csv").open()))
    assert len(rows) == 8
    assert {row["smiles"] for row in rows} <= known
    assert min(float(row["score"]) for row in rows) == pytest.approx(best[0][0], abs=1e-4)

    assert casbo.cli.run(["resume", str(run), "--queries", "12"]) == 0
    again = list(csv.DictReader((run / "all.csv").open()))
    assert len(again) == 12
    assert again[:8] == rows

    out = tmp_path / "samples"
    assert casbo.cli.run(["sample", str(run), "-n", "3", "--out", str(out)]) == 0
    assert len(json.loads((out / "samples.json").read_text())) == 3


@pytest.mark.slow
def test_demo_compares_at_the_same_number_of_dockings(
    tmp_path: Path, target_files: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    del target_files
    out = tmp_path / "demo"
    options = ["--queries=16", "--population=4", "--workers=2"]
    assert casbo.cli.run(["demo", f"--out={out}", *options]) == 0
    printed = capfd.readouterr().out
    assert "best of plain" in printed
    assert (out / "comparison.txt").read_text().strip() in printed
    assert (out / "steered" / "best.sdf").stat().st_size > 0
    (dockings,) = (line.split() for line in printed.splitlines() if line.startswith("dockings"))
    assert dockings[1:] == ["16", "16", "16"]
    (samples,) = (line.split() for line in printed.splitlines() if line.startswith("samples"))
    assert samples[1:] == ["16", "4", "4"]

"""Interactions of the embedded complex, known from its structure."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from molecule_samples import conformer
from rdkit import Chem

from casbo_molecules.errors import DockingInputError
from casbo_molecules.interactions import Interaction, interactions
from casbo_molecules.pose_analysis import PoseAnalysis
from casbo_molecules.receptor import prepare_receptor

pytest.importorskip("prolif")


@pytest.fixture(scope="module")
def ergotamine(target_files: tuple[Path, Path]) -> Chem.Mol:
    """With its amine protonated, as the structure's file has it."""
    import prolif

    path = Path(prolif.__file__).parent / "data" / "vina" / "vina_output.sdf"
    mol = Chem.MolFromPDBFile(str(target_files[1]), removeHs=False)
    template = next(iter(Chem.SDMolSupplier(str(path), removeHs=False)))
    from rdkit.Chem import AllChem

    return AllChem.AssignBondOrdersFromTemplate(template, mol)


def test_ergotamine_holds_its_aspartate(
    ergotamine: Chem.Mol, target_files: tuple[Path, Path]
) -> None:
    """ASP129 (3.32) is the anchor of amines in this receptor family."""
    (found,) = interactions([ergotamine], target_files[0])
    kinds = {one.kind for one in found if one.residue == "ASP129.A"}
    assert {"Cationic", "HBDonor"} <= kinds


def test_the_prepared_receptor_gives_the_same(
    ergotamine: Chem.Mol, target_files: tuple[Path, Path]
) -> None:
    prepared = prepare_receptor(target_files[0])
    assert interactions([ergotamine], prepared.pdbqt) == interactions(
        [ergotamine], target_files[0]
    )


def test_far_away_there_is_nothing(target_files: tuple[Path, Path]) -> None:
    far = conformer("CCO")
    for index, xyz in enumerate(far.GetConformer().GetPositions() + 300.0):
        far.GetConformer().SetAtomPosition(index, xyz.tolist())
    assert interactions([far], target_files[0]) == [()]
    assert interactions([], target_files[0]) == []


def test_bad_input(tmp_path: Path, target_files: tuple[Path, Path]) -> None:
    with pytest.raises(DockingInputError, match="interactions of"):
        interactions([conformer("CCO")], target_files[0], ["Love"])
    empty = tmp_path / "empty.pdb"
    empty.write_text("END\n")
    with pytest.raises(DockingInputError, match="bonds"):
        interactions([conformer("CCO")], empty)


def test_an_analysis_is_read_as_it_was_written() -> None:
    one = PoseAnalysis(("bond_lengths",), math.nan, (Interaction("ASP129.A", "Cationic"),))
    again = PoseAnalysis.from_json(one.to_json())
    assert math.isnan(again.strain)
    assert (again.failed_checks, again.interactions) == (one.failed_checks, one.interactions)
    assert not again.plausible

"""Pockets: the authors' features, the cut around a ligand, errors; sizes of ligands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from molecule_samples import conformer, glycine
from rdkit import Chem

from casbo_molecules.errors import DockingInputError
from casbo_molecules.structure_file import StructureCleaning
from casbo_molecules.targetdiff import Pocket
from casbo_molecules.targetdiff.pocket import heavy_positions
from casbo_molecules.targetdiff.size_prior import size_distribution
from casbo_molecules.targetdiff.vocabulary import MODES, RESIDUES, mode_with


def test_features_are_the_authors(site, inputs):
    found = Pocket.from_file(*site)
    torch.testing.assert_close(found.positions.float(), inputs["pocket.pos"], rtol=0, atol=1e-5)
    assert torch.equal(found.features.long(), inputs["pocket.feature"])


def test_a_pocket_that_is_cut_already_stays_whole(site):
    """Its residues are those whose centre of mass is within 10 Å: the recipe itself."""
    assert len(Pocket.from_file(*site).positions) == len(Pocket.from_file(site[0]).positions)
    assert len(Pocket.from_file(*site, radius=9.9).positions) < 572


def test_the_pocket_of_a_whole_protein(shared):
    folder = shared / "receptors" / "3rfm"
    ligand = folder / "3rfm_B_CFF.sdf"
    found = Pocket.from_file(folder / "3rfm.pdb", ligand)
    assert 200 < len(found.positions) < 500
    distance = np.linalg.norm(found.positions.numpy() - heavy_positions(ligand).mean(0), axis=1)
    assert distance.max() < 25
    assert (found.features[:, 6:26].sum(1) == 1).all()


@pytest.fixture
def ligand(tmp_path):
    path = tmp_path / "ligand.sdf"
    path.write_text(Chem.MolToMolBlock(conformer("CC(=O)Nc1ccccc1")))
    return path


def test_residues_far_from_the_ligand_are_cut_away(tmp_path, ligand):
    path = tmp_path / "protein.pdb"
    path.write_text(glycine(1, 0.0) + glycine(2, 60.0, serial=5))
    assert len(Pocket.from_file(path).positions) == 8
    assert len(Pocket.from_file(path, ligand).positions) == 4
    path.write_text(glycine(2, 60.0))
    with pytest.raises(DockingInputError, match="no amino acid within 10 Å"):
        Pocket.from_file(path, ligand)


def test_names_of_residues(tmp_path):
    path = tmp_path / "protein.pdb"
    path.write_text(glycine(1, 0.0).replace("GLY", "HIE"))
    features = Pocket.from_file(path).features
    assert features[:, 6 + RESIDUES.index("HIS")].tolist() == [1.0] * 4
    path.write_text(glycine(1, 0.0).replace("GLY", "UNK"))
    with pytest.raises(DockingInputError, match=r"residue UNK 1 .* --drop UNK"):
        Pocket.from_file(path)


def test_a_modified_residue_as_what_it_was_made_from(tmp_path):
    path = tmp_path / "protein.pdb"
    path.write_text(glycine(1, 0.0).replace("GLY", "GL3"))  # thioglycine's name, glycine's atoms
    with pytest.raises(DockingInputError, match=r"residue GL3 1 .* --modified standard"):
        Pocket.from_file(path)
    cleaning = StructureCleaning(modified="standard", hydrogens=False)
    features = Pocket.from_file(path, cleaning=cleaning).features
    assert features[:, 6 + RESIDUES.index("GLY")].tolist() == [1.0] * 4


def test_files_that_do_not_serve_are_refused(tmp_path, ligand):
    path = tmp_path / "protein.pdbqt"
    path.write_text(glycine(1, 0.0))
    with pytest.raises(DockingInputError, match="PDB or mmCIF"):
        Pocket.from_file(path)
    with pytest.raises(DockingInputError, match="no such file"):
        Pocket.from_file(tmp_path / "absent.pdb")
    whole = tmp_path / "whole.pdb"
    whole.write_text("".join(glycine(1 + n, 5.0 * n, serial=1 + 4 * n) for n in range(1001)))
    with pytest.raises(DockingInputError, match="4004 atoms, expected a pocket"):
        Pocket.from_file(whole)
    assert len(Pocket.from_file(whole, ligand).positions) < 40


def test_size_of_a_pocket_against_all_pairs(site, reference, pocket):
    theirs = json.loads((reference / "atom_num_prior.json").read_text())
    assert Pocket.from_file(*site).size == pytest.approx(theirs["space_size"], abs=1e-4)
    pairs = np.linalg.norm(pocket.positions[:, None] - pocket.positions[None], axis=-1)
    largest = np.sort(pairs[np.triu_indices(40, 1)])[-10:]
    assert pocket.size == pytest.approx(np.median(largest))


def test_the_table_of_sizes_is_the_authors(reference):
    theirs = json.loads((reference / "atom_num_prior.json").read_text())
    middles = [theirs["bounds"][0] - 1, *(bound + 1e-3 for bound in theirs["bounds"])]
    for size, row in zip(middles, theirs["bins"], strict=True):
        found = dict(zip(*vars(size_distribution(size)).values(), strict=True))
        wanted = dict(zip(row["n_atoms"], row["prob"], strict=True))
        assert found == pytest.approx(wanted, abs=1e-6)
    assert size_distribution(theirs["space_size"]).mean == pytest.approx(34.1, abs=0.05)


def test_sizes_are_drawn_from_their_distribution():
    found = size_distribution(30.0)
    drawn = found.draw(4000, seed=3)
    assert drawn == found.draw(4000, seed=3)
    assert set(drawn) <= set(found.atoms)
    assert abs(np.mean(drawn) - found.mean) < 6 * np.std(drawn) / 4000**0.5
    middle = found.quantile(0.5)
    assert np.mean(np.array(drawn) <= middle) == pytest.approx(0.5, abs=0.1)
    assert found.quantile(1.0) == max(found.atoms)


def test_atom_types():
    assert [len(mode) for mode in MODES.values()] == [8, 13, 23]
    assert {mode_with(count) for count in (8, 13, 23)} == set(MODES)
    assert mode_with(9) is None
    plain = [(kind.atomic_number, kind.aromatic) for kind in MODES["add_aromatic"]]
    assert plain[:3] == [(1, False), (6, False), (6, True)]
    assert plain[12] == (17, False)
    for mode in MODES.values():
        assert len(set(mode)) == len(mode)
        assert {kind.atomic_number for kind in mode} == {1, 6, 7, 8, 9, 15, 16, 17}

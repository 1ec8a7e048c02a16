"""A sample is a molecule or says why it is none; it survives the way to a worker."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem

from casbo.errors import CandidateFailed
from casbo_molecules.molecule import Molecule


@pytest.mark.parametrize("smiles", DRUG_LIKE)
def test_atoms_of_a_conformer_make_its_molecule(smiles: str) -> None:
    mol = conformer(smiles)
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    molecule = Molecule.from_atoms(mol.GetConformer().GetPositions(), numbers)
    assert molecule.problem is None
    assert molecule.smiles == Chem.CanonSmiles(smiles)
    assert molecule.atomic_numbers == tuple(numbers)


def test_from_mol_drops_hydrogens_and_keeps_positions() -> None:
    mol = conformer("CCO")
    molecule = Molecule.from_mol(Chem.AddHs(mol, addCoords=True))
    assert molecule.atomic_numbers == (6, 6, 8)
    np.testing.assert_array_equal(molecule.positions, mol.GetConformer().GetPositions())


def test_query_features_are_left_out() -> None:
    """A bond's topology field makes RDKit read a query, which Meeko refuses."""
    block = Chem.MolToMolBlock(conformer("COc1ccc(C[C@H](C)N)cc1"))
    lines = block.splitlines()
    first_bond = 4 + 12
    lines[first_bond] = f"{lines[first_bond].rstrip()[:9]:<9}  0  0  2"
    mol = Chem.MolFromMolBlock("\n".join(lines))
    assert any(bond.HasQuery() for bond in mol.GetBonds())
    molecule = Molecule.from_mol(mol)
    assert not any(bond.HasQuery() for bond in molecule.require().GetBonds())
    assert molecule.smiles == Chem.CanonSmiles("COc1ccc(C[C@H](C)N)cc1")
    np.testing.assert_array_equal(molecule.positions, mol.GetConformer().GetPositions())


def test_pickled_molecule_is_the_same() -> None:
    molecule = Molecule.from_mol(conformer("COc1ccc(CCN)cc1"))
    copy = pickle.loads(pickle.dumps(molecule))
    assert copy.smiles == molecule.smiles
    np.testing.assert_array_equal(copy.positions, molecule.positions)
    # RDKit pickles conformers in single precision
    np.testing.assert_allclose(
        copy.require().GetConformer().GetPositions(), molecule.positions, atol=1e-5
    )


def test_what_is_no_molecule_fails_with_its_problem() -> None:
    molecule = Molecule.from_atoms(np.array([[0.0, 0, 0], [9.0, 0, 0]]), (6, 6))
    assert molecule.mol is None
    assert molecule.smiles is None
    with pytest.raises(CandidateFailed, match="2 separate pieces"):
        molecule.require()


def test_positions_given_are_not_shared() -> None:
    positions = conformer("CCO").GetConformer().GetPositions()
    molecule = Molecule.from_atoms(positions, (6, 6, 8))
    positions[:] = 0.0
    assert molecule.positions.any()


coordinate = st.floats(allow_nan=True, allow_infinity=True, width=32)
atoms = st.lists(
    st.tuples(coordinate, coordinate, coordinate, st.sampled_from([6, 7, 8, 9, 16, 17])),
    min_size=1,
    max_size=6,
)
close_atoms = st.lists(
    st.tuples(*[st.floats(-2.0, 2.0)] * 3, st.sampled_from([6, 7, 8, 9, 16, 17])),
    min_size=1,
    max_size=8,
)


@given(st.one_of(atoms, close_atoms))
@settings(max_examples=150)
def test_any_atoms_make_a_molecule_or_a_problem(
    rows: list[tuple[float, float, float, int]],
) -> None:
    molecule = Molecule.from_atoms(np.array([row[:3] for row in rows]), [row[3] for row in rows])
    assert (molecule.mol is None) == (molecule.problem is not None)
    if molecule.mol is not None:
        assert "." not in molecule.smiles
        assert molecule.mol.GetNumHeavyAtoms() == len(rows)

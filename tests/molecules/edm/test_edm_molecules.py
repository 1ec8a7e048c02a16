"""From atoms with hydrogens to molecules, and how stable they are."""

from __future__ import annotations

import numpy as np
import pytest
from edm_samples import small_model  # noqa: F401 - skips without the extra
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from casbo_molecules.edm import stability
from casbo_molecules.edm.molecules import molecule_with_hydrogens
from casbo_molecules.edm.stability import bond_orders
from casbo_molecules.molecule import Molecule

SMILES = (
    "CC(=O)Nc1ccccc1",
    "OC(=O)/C=C/C#N",
    "N=Cc1ccco1",
    "C[C@H](N)C(=O)O",
    "CS(=O)(=O)NC",
    "O",
)


def atoms_of(smiles: str) -> tuple[np.ndarray, list[int]]:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=1000)
    return mol.GetConformer().GetPositions(), [atom.GetAtomicNum() for atom in mol.GetAtoms()]


@pytest.mark.parametrize("smiles", SMILES)
@pytest.mark.parametrize("blur", [0.0, 0.05])
def test_the_molecule_is_the_one_the_atoms_came_from(smiles, blur) -> None:
    positions, numbers = atoms_of(smiles)
    positions += blur * np.random.default_rng(3).normal(size=positions.shape)
    molecule = molecule_with_hydrogens(positions, numbers)
    found = Chem.MolToSmiles(Chem.MolFromSmiles(molecule.smiles), isomericSmiles=False)
    assert found == Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False)
    assert Chem.AddHs(molecule.mol).GetNumAtoms() == len(numbers)
    heavy = np.array(numbers) > 1
    np.testing.assert_allclose(molecule.positions, positions[heavy])
    assert 1 not in molecule.atomic_numbers


@pytest.mark.parametrize("smiles", ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "C/C=C/F", "C/C=C\\F"])
def test_stereochemistry_is_that_of_the_atoms(smiles) -> None:
    assert molecule_with_hydrogens(*atoms_of(smiles)).smiles == Chem.CanonSmiles(smiles)


def test_hydrogens_decide_where_lengths_do_not() -> None:
    """A long C=C of ethene: with its four hydrogens it is no ethane."""
    positions, numbers = atoms_of("C=C")
    assert molecule_with_hydrogens(positions, numbers).smiles == "C=C"
    heavy = np.array(numbers) > 1
    stretched = positions.copy()
    axis = np.diff(positions[heavy], axis=0)[0]
    stretched[positions @ axis > (positions[heavy] @ axis).mean()] += 0.13 * axis / 1.33
    alone = Molecule.from_atoms(stretched[heavy], [6, 6]).smiles
    assert alone == "CC"
    assert molecule_with_hydrogens(stretched, numbers).smiles == "C=C"


def test_a_hydrogen_that_floats_off_costs_no_molecule() -> None:
    positions, numbers = atoms_of("CCO")
    positions[-1] += 30.0
    assert molecule_with_hydrogens(positions, numbers).smiles == "CCO"


@pytest.mark.parametrize(
    ("positions", "numbers", "problem"),
    [
        (np.array([[0.0, 0, 0], [0, 0, 0.74]]), [1, 1], "0 separate pieces"),
        (np.array([[0.0, 0, 0], [9, 0, 0], [0, 1, 0]]), [6, 6, 1], "2 separate pieces"),
        (np.full((2, 3), np.nan), [6, 1], "not finite"),
    ],
)
def test_atoms_that_make_none_carry_the_reason(positions, numbers, problem) -> None:
    molecule = molecule_with_hydrogens(positions, numbers)
    assert molecule.mol is None
    assert problem in molecule.problem


@given(st.permutations(range(9)), st.integers(0, 5))
def test_stability_ignores_order_and_place(order, seed) -> None:
    positions, numbers = ETHANOL
    generator = np.random.default_rng(seed)
    turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    moved = (positions @ turn + generator.normal(size=3))[list(order)]
    assert stability(moved, [numbers[index] for index in order]).stable


ETHANOL = atoms_of("CCO")


def test_bond_orders_of_known_bonds() -> None:
    for smiles, order in (("C#N", 3), ("C=O", 2), ("CO", 1), ("C=C", 2), ("CF", 1)):
        positions, numbers = atoms_of(smiles)
        assert bond_orders(positions, numbers)[0, 1] == order
        assert stability(positions, numbers).stable


def test_an_atom_too_few_or_too_many_is_unstable() -> None:
    positions, numbers = atoms_of("C")
    lacking = stability(positions[:-1], numbers[:-1])
    assert (lacking.stable_atoms, lacking.atoms, lacking.stable) == (3, 4, False)
    charged = stability(*atoms_of("[NH4+]"))
    assert (charged.stable_atoms, charged.atoms) == (4, 5)


def test_unknown_elements_are_refused() -> None:
    with pytest.raises(KeyError):
        stability(np.zeros((1, 3)), [2])

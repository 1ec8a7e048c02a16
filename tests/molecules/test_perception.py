"""Bond perception sees shapes, not frames or orders, and refuses what is no neutral molecule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem
from scipy.spatial.transform import Rotation

from casbo_molecules.perception import PerceptionError, perceive


def numbers_of(mol: Chem.Mol) -> np.ndarray:
    return np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])


@given(st.sampled_from(DRUG_LIKE), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_frame_and_order_do_not_matter(smiles: str, seed: int) -> None:
    mol = conformer(smiles)
    generator = np.random.default_rng(seed)
    rotation = Rotation.random(rng=generator)
    order = generator.permutation(mol.GetNumAtoms())
    moved = rotation.apply(mol.GetConformer().GetPositions()) + generator.normal(0, 30, 3)
    perceived = perceive(moved[order], numbers_of(mol)[order])
    assert Chem.MolToSmiles(perceived) == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("smiles", ["C[C@H](N)c1ccccc1", "C[C@@H](N)c1ccccc1", r"C/C=C/CO"])
def test_stereochemistry_comes_from_the_geometry(smiles: str) -> None:
    mol = conformer(smiles)
    perceived = perceive(mol.GetConformer().GetPositions(), numbers_of(mol))
    assert Chem.MolToSmiles(perceived) == Chem.CanonSmiles(smiles)


def test_mirror_image_is_the_other_enantiomer() -> None:
    mol = conformer("C[C@H](N)c1ccccc1")
    mirrored = perceive(mol.GetConformer().GetPositions() * [-1, 1, 1], numbers_of(mol))
    assert Chem.MolToSmiles(mirrored) == Chem.CanonSmiles("C[C@@H](N)c1ccccc1")


@pytest.mark.parametrize(
    ("positions", "numbers", "words"),
    [
        ([[0, 0, 0], [np.nan, 0, 0]], [6, 6], "not finite"),
        ([[0, 0, 0], [np.inf, 0, 0]], [6, 6], "not finite"),
        ([[0, 0, 0], [8, 0, 0], [16, 0, 0]], [6, 6, 6], "3 separate pieces"),
    ],
)
def test_refused_with_the_reason(
    positions: list[list[float]], numbers: list[int], words: str
) -> None:
    with pytest.raises(PerceptionError, match=words):
        perceive(np.array(positions), numbers)

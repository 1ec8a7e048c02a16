"""Strain against what MMFF says of poses made to be relaxed or strained."""

from __future__ import annotations

import numpy as np
import pytest
from molecule_samples import conformer
from rdkit import Chem
from rdkit.Chem import rdMolTransforms

from casbo.errors import CandidateFailed
from casbo_molecules.errors import DockingInputError
from casbo_molecules.strain import StrainSettings, strain_energy

QUICK = StrainSettings(conformers=10)
NARROW = StrainSettings(conformers=10, well=0.05)  # small molecules turn a lot within 0.3 Å


def turned(smiles: str, bond: tuple[int, int, int, int], angle: float) -> Chem.Mol:
    mol = Chem.AddHs(conformer(smiles), addCoords=True)
    rdMolTransforms.SetDihedralDeg(mol.GetConformer(), *bond, angle)
    return mol


def test_a_rigid_molecule_in_its_minimum_is_not_strained() -> None:
    assert strain_energy(conformer("c1ccccc1"), QUICK) == pytest.approx(0.0, abs=0.05)
    assert strain_energy(conformer("C1CC1"), QUICK) == pytest.approx(0.0, abs=0.05)


def test_an_eclipsed_butane_costs_more_than_a_gauche_one() -> None:
    """MMFF94: gauche 0.8, eclipsed (syn) 5 kcal/mol above anti, less what the wells take out."""
    anti, gauche, syn = (
        strain_energy(turned("CCCC", (0, 1, 2, 3), angle), NARROW) for angle in (180.0, 65.0, 0.0)
    )
    assert anti == pytest.approx(0.0, abs=0.05)
    assert gauche == pytest.approx(0.8, abs=0.25)
    assert 2.0 < syn < 6.0


def test_a_twisted_amide_is_strained() -> None:
    flat = turned("CC(=O)NC", (0, 1, 3, 4), 180.0)
    twisted = turned("CC(=O)NC", (0, 1, 3, 4), 90.0)
    assert strain_energy(flat, NARROW) < 1.0
    assert strain_energy(twisted, NARROW) > strain_energy(twisted, QUICK) > 2.0
    assert strain_energy(twisted, NARROW) > 5.0


def test_strain_ignores_the_frame_and_the_numbering() -> None:
    mol = conformer("Cc1nnc(SCC(=O)N2CCNCC2)o1")
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    moved = Chem.Mol(mol)
    for index, xyz in enumerate(mol.GetConformer().GetPositions() @ rotation.T + 20.0):
        moved.GetConformer().SetAtomPosition(index, xyz.tolist())
    order = [int(i) for i in np.random.default_rng(2).permutation(mol.GetNumAtoms())]
    known = strain_energy(mol, QUICK)
    assert strain_energy(moved, QUICK) == pytest.approx(known, abs=0.1)
    assert strain_energy(Chem.RenumberAtoms(mol, order), QUICK) == pytest.approx(known, abs=0.1)
    assert known >= 0.0


def test_what_cannot_be_measured() -> None:
    boron = conformer("CCO")
    boron = Chem.RWMol(boron)
    boron.GetAtomWithIdx(0).SetAtomicNum(5)
    Chem.SanitizeMol(boron)
    with pytest.raises(CandidateFailed, match="MMFF"):
        strain_energy(boron.GetMol(), QUICK)
    for wrong in ({"conformers": 0}, {"well": 0.0}, {"well": float("nan")}):
        with pytest.raises(DockingInputError, match="expected"):
            StrainSettings(**wrong)  # type: ignore[arg-type]

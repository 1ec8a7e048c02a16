"""From SMILES to a trained model, on a handful of molecules."""

from __future__ import annotations

import argparse
import random

import numpy as np
import pytest
import torch
from rdkit import Chem
from safetensors.numpy import load_file

from casbo_molecules.elements import ELEMENTS, LARGEST_MOLECULE, SMALLEST_MOLECULE
from casbo_molecules.model import ModelError, MoleculeModel
from casbo_molecules.training import train as training
from casbo_molecules.training.conformers import read_smiles, write_conformers
from casbo_molecules.training.fragments import fragments
from casbo_molecules.training.prepare import whole

DRUGS = [
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "CC(=O)Nc1ccc(O)cc1",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "O=C(Nc1ccc(Cl)cc1)c1cccs1",
    "Cc1ccc(cc1)S(=O)(=O)NCCc1c[nH]c2ccccc12",
    "COc1ccc(CCN(C)CCC(=O)Nc2ccccc2F)cc1OC",
]


@pytest.fixture(scope="module")
def conformers(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "conformers.safetensors"
    found = write_conformers(fragments(DRUGS, seed=0), path, seed=1, workers=1)
    assert found >= 6
    return path


def arguments(data, out, **changes) -> argparse.Namespace:
    options = {"steps": 6, "batch": 4, "rate": 1e-3, "seed": 0, "minutes": float("inf"), "memory": 0.9995,
               "device": "cpu", "compile": False, "threads": 1, "data": data, "out": out}  # fmt: skip
    return argparse.Namespace(**options | changes)


def test_fragments_are_parts_of_their_molecules_and_keep_the_rules():
    found = list(fragments(DRUGS, seed=0))
    assert len(found) == len(set(found)) > 5
    for smiles in found:
        molecule = Chem.MolFromSmiles(smiles)
        assert Chem.MolToSmiles(molecule) == smiles
        assert SMALLEST_MOLECULE <= molecule.GetNumAtoms() <= LARGEST_MOLECULE
        assert {atom.GetSymbol() for atom in molecule.GetAtoms()} <= set(ELEMENTS)
        assert any(Chem.MolFromSmiles(drug).HasSubstructMatch(molecule) for drug in DRUGS)
        assert not molecule.HasSubstructMatch(Chem.MolFromSmarts("[CX3H1](=O)"))


def test_fragments_depend_on_the_seed_alone():
    random.seed(1)
    first = list(fragments(DRUGS, seed=3))
    random.seed(2)
    assert first == list(fragments(DRUGS, seed=3))


def test_whole_molecules_of_suitable_sizes_are_kept_as_they_are():
    found = list(whole(["CCO", "not a molecule", "CC(=O)Nc1ccc(O)cc1", "CC(=O)Nc1ccc(Br)cc1"]))
    assert found == ["CC(=O)Nc1ccc(O)cc1"]


def test_conformers_are_centred_bonded_and_described(conformers):
    data = load_file(conformers)
    names = conformers.with_suffix(".smi").read_text().split()
    assert data["sizes"].sum() == len(data["positions"]) == len(data["elements"])
    assert len(names) == len(data["sizes"]) == len(data["descriptors"])
    pieces = np.split(data["positions"], np.cumsum(data["sizes"])[:-1])
    for name, positions, size in zip(names, pieces, data["sizes"], strict=True):
        assert Chem.MolFromSmiles(name).GetNumAtoms() == size
        np.testing.assert_allclose(positions.mean(0), 0, atol=1e-4)
        distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
        nearest = (distances + 10 * np.eye(size)).min(axis=1)
        assert (nearest > 1.1).all()
        assert (nearest < 1.9).all()


def test_read_smiles_takes_plain_and_gzipped_tables(tmp_path):
    import gzip

    (tmp_path / "a.smi").write_text("smiles\tname\nCCO\tethanol\n\nc1ccccc1 benzene\n")
    with gzip.open(tmp_path / "a.csv.gz", "wt") as file:
        file.write("smiles,heavy_atoms\nCCO,3\nc1ccccc1,6\n")
    expected = ["CCO", "c1ccccc1"]
    assert list(read_smiles(tmp_path / "a.smi")) == expected
    assert list(read_smiles(tmp_path / "a.csv.gz")) == expected


def test_an_interrupted_training_ends_as_an_unbroken_one(conformers, tmp_path):
    training.train(arguments(conformers, tmp_path / "whole"))
    training.train(arguments(conformers, tmp_path / "parts", minutes=0))  # stops after one step
    training.train(arguments(conformers, tmp_path / "parts"))
    whole, parts = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")
    )
    assert whole == parts


def test_training_learns(conformers):
    """On a few molecules the loss falls well below that of the untrained network."""
    data = training.Conformers.read(conformers)
    torch.manual_seed(0)
    config = training.NetworkConfig(6, 12, node_width=32, edge_width=16, layers=2)
    denoiser = training.Denoiser(training.EquivariantNetwork(config))
    optimizer = torch.optim.Adam(denoiser.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(150):
        value = training.loss(denoiser, training.clean_batch(data, 16, generator), generator)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert np.mean(values[-30:]) < 0.75 * np.mean(values[:5])


def test_a_written_model_loads_and_damaged_ones_are_refused(conformers, tmp_path):
    folder = tmp_path / "model"
    training.train(arguments(conformers, folder, steps=1))
    model = MoleculeModel.from_pretrained(folder)
    data = training.Conformers.read(conformers)
    clean = training.clean_batch(data, 3, torch.Generator().manual_seed(0))
    raw = load_file(conformers)["descriptors"]
    distances = np.abs(model.descriptors(clean.descriptors).numpy()[:, None] - raw).max(-1)
    assert (distances.min(1) < 1e-3).all(), "channels turn back into the descriptors of the data"

    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(ModelError, match="cannot be read"):
        MoleculeModel.from_pretrained(folder)
    with pytest.raises(ModelError, match=r"expected config\.json"):
        MoleculeModel.from_pretrained(tmp_path / "nowhere")

"""The official implementation's own numbers, where they lie beside the repository."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from casbo_molecules.edm import EdmConfig, EdmModel, Sampler, load_model, stability
from casbo_molecules.edm.dataset import ATOMIC_NUMBERS, DATASETS, GEOM_DRUGS, QM9, Dataset
from casbo_molecules.edm.model import advance, centred_noise
from casbo_molecules.edm.molecules import molecule_with_hydrogens
from casbo_molecules.edm.network import centred
from casbo_molecules.edm.schedule import NoiseSchedule, polynomial_gamma
from casbo_molecules.edm.stability import _longest

TOLERANCE = 2e-5
RELEASED = {"edm_qm9": QM9, "edm_geom_drugs": GEOM_DRUGS}


@pytest.fixture(scope="module")
def reference(shared: Path) -> Path:
    folder = shared / "reference" / "edm"
    if not folder.is_dir():
        pytest.skip(f"needs the reference data in {folder}")
    return folder


@pytest.fixture(scope="module")
def inputs(reference: Path) -> dict[str, torch.Tensor]:
    return load_file(reference / "inputs.safetensors")


@pytest.fixture(scope="module")
def outputs(reference: Path) -> dict[str, torch.Tensor]:
    return load_file(reference / "outputs.safetensors")


@pytest.fixture(scope="module")
def model(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> EdmModel:
    folder = tmp_path_factory.mktemp("edm")
    arguments = json.loads((reference / "edm_qm9_args.json").read_text())
    arguments |= json.loads((reference / "small_config.json").read_text())
    (folder / "args.json").write_text(json.dumps(arguments))
    torch.save(
        load_file(reference / "small_state_dict.safetensors"), folder / "generative_model_ema.npy"
    )
    return load_model(folder)


@pytest.mark.parametrize("time", [0, 1, 100, 1000])
def test_predicted_noise(model, inputs, outputs, time) -> None:
    state, mask = inputs[f"t{time}.z_t"], inputs["node_mask"]
    predicted = model.predict_noise(state, time / 1000, mask)
    torch.testing.assert_close(predicted, outputs[f"t{time}.eps_pred"], rtol=0, atol=TOLERANCE)
    exact = outputs[f"t{time}.f64.eps_pred"]
    torch.testing.assert_close(predicted.double(), exact, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("time", [0, 1, 100, 1000])
def test_padding_changes_nothing(model, inputs, outputs, time) -> None:
    for row, atoms in enumerate(inputs["n_nodes"].tolist()):
        alone = model.predict_noise(inputs[f"t{time}.z_t"][row : row + 1, :atoms], time / 1000)
        expected = outputs[f"t{time}.eps_pred"][row, :atoms]
        torch.testing.assert_close(alone[0], expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("time", [0, 1, 100, 1000])
def test_forward_process(model, inputs, time) -> None:
    noisy = model.diffuse(inputs["xh_normalized"], inputs[f"t{time}.eps"], time)
    torch.testing.assert_close(noisy, inputs[f"t{time}.z_t"], rtol=0, atol=1e-6)


def test_clean_states(model, inputs) -> None:
    mask, onehot = inputs["node_mask"], inputs["one_hot_clean"]
    state = model.encode(inputs["x_clean"], onehot.argmax(-1)) * mask
    torch.testing.assert_close(state, inputs["xh_normalized"], rtol=0, atol=1e-6)
    positions, elements = model.decode(state)
    torch.testing.assert_close(positions, inputs["x_clean"], rtol=0, atol=1e-6)
    assert torch.equal(elements, onehot.argmax(-1))


def test_the_first_reverse_steps(model, inputs, outputs) -> None:
    mask, state = inputs["node_mask"], inputs["sample_first5.z_init"]
    schedule = Sampler(steps=1000).schedule(model.noise_schedule())
    for index, following in enumerate(inputs["sample_first5.s"].tolist()):
        step = schedule[index]
        assert round(step.time * 1000) == following + 1
        positions = centred(inputs["sample_first5.raw_noise_x"][index], mask)
        noise = torch.cat([positions, inputs["sample_first5.raw_noise_h"][index] * mask], dim=-1)
        predicted = model.predict_noise(state, step.time, mask)
        # the mean over padded atoms is a share of zero: centre as the masked one
        state = step.keep * state + step.drift * predicted + step.up * noise
        state = torch.cat([centred(state[..., :3], mask), state[..., 3:]], dim=-1)
        expected = outputs["sample_first5.z_traj"][index]
        torch.testing.assert_close(state, expected, rtol=0, atol=TOLERANCE)


def test_the_first_reverse_steps_of_molecules_alone(model, inputs, outputs) -> None:
    schedule = Sampler(steps=1000).schedule(model.noise_schedule())
    for row, atoms in enumerate(inputs["n_nodes"].tolist()):
        state = inputs["sample_first5.z_init"][row : row + 1, :atoms]
        for index, step in enumerate(schedule[:5]):
            raw = [inputs[f"sample_first5.raw_noise_{k}"][index, row, :atoms] for k in "xh"]
            noise = centred_noise(torch.cat(raw, dim=-1)[None])
            state = advance(state, model.predict_noise(state, step.time), noise, step)
            expected = outputs["sample_first5.z_traj"][index, row, :atoms]
            torch.testing.assert_close(state[0], expected, rtol=0, atol=TOLERANCE)


def test_training_loss(model, inputs, outputs) -> None:
    """Half the mean squared error of the noise over padded coordinates, and the prior's term."""
    mask, clean = inputs["node_mask"], inputs["xh_normalized"]
    noise = torch.cat(
        [centred(inputs["loss.raw_noise_x"], mask), inputs["loss.raw_noise_h"] * mask], dim=-1
    )
    schedule = model.noise_schedule()
    for row, time in enumerate(inputs["loss.t_int"].flatten().tolist()):
        one = slice(row, row + 1)
        predicted = model.predict_noise(
            model.diffuse(clean[one], noise[one], time), time / 1000, mask[one]
        )
        error = 0.5 * (noise[one] - predicted).square().mean()
        prior = 0.5 * (schedule.alpha(1000) * clean[row]).square().sum()
        found, expected = float(error + prior), float(outputs["loss.per_molecule"][row])
        assert found == pytest.approx(expected, rel=0, abs=TOLERANCE)


def test_schedule(reference) -> None:
    stored = load_file(reference / "schedule_polynomial_2.safetensors")
    gamma = polynomial_gamma(1000, 2, 1e-5)
    np.testing.assert_allclose(gamma, stored["gamma"].numpy(), rtol=0, atol=TOLERANCE)
    schedule = NoiseSchedule(stored["gamma"].numpy())
    for name in ("alpha", "sigma"):
        values = [getattr(schedule, name)(time) for time in range(1001)]
        np.testing.assert_allclose(values, stored[name].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", RELEASED)
def test_released_models(reference, name) -> None:
    """Every official key with its shape, and the number of trainable parameters."""
    official = json.loads((reference / f"{name}_official_keys.json").read_text())
    arguments = json.loads((reference / f"{name}_args.json").read_text())
    with torch.device("meta"):
        model = EdmModel(EdmConfig.from_arguments(arguments), RELEASED[name])
    ours = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert ours == {key: value["shape"] for key, value in official["keys"].items()}
    trainable = sum(value.numel() for value in model.parameters() if value.requires_grad)
    assert trainable == official["n_trainable_parameters"]


@pytest.mark.parametrize("name", RELEASED)
def test_data_sets(reference, name) -> None:
    info = json.loads((reference / f"{name}_dataset_info.json").read_text())
    assert Dataset.from_json(info) == RELEASED[name] == DATASETS[info["name"]]
    assert RELEASED[name].largest == info["max_n_nodes"]


def test_bond_tables(reference) -> None:
    tables = json.loads((reference / "bond_tables.json").read_text())
    for index, longest in enumerate(_longest()):
        official = np.zeros_like(longest)
        for first, partners in tables[f"bonds{index + 1}"].items():
            for second, length in partners.items():
                pair = ATOMIC_NUMBERS[first], ATOMIC_NUMBERS[second]
                # one entry of the official tables lacks its mirror image
                official[pair] = official[pair[::-1]] = length + tables["margins_pm"][index]
        np.testing.assert_array_equal(longest, official)


def stability_rows(reference: Path):
    rows = json.loads((reference / "stability.json").read_text())["rows"]
    tensors = load_file(reference / "stability_inputs.safetensors")
    for index, row in enumerate(rows):
        numbers = np.array(QM9.numbers)[tensors[f"{index}.type"].numpy()]
        yield row, tensors[f"{index}.pos"].numpy(), numbers.tolist()


def test_stability(reference) -> None:
    for (smiles, stable, atoms, whole), positions, numbers in stability_rows(reference):
        verdict = stability(positions, numbers)
        assert (verdict.stable_atoms, verdict.atoms, verdict.stable) == (stable, atoms, whole), (
            smiles
        )


def test_bonds_perceived_with_hydrogens(reference) -> None:
    from rdkit import Chem

    for (smiles, *_), positions, numbers in stability_rows(reference):
        molecule = molecule_with_hydrogens(positions, numbers)
        found = Chem.MolToSmiles(Chem.MolFromSmiles(molecule.smiles), isomericSmiles=False)
        assert found == Chem.CanonSmiles(smiles)
        assert len(molecule.positions) == sum(number > 1 for number in numbers)
        assert 1 not in molecule.atomic_numbers


def test_official_names_load_strictly(reference, tmp_path) -> None:
    """The released GEOM-drugs configuration with random weights of the official names and shapes."""
    official = json.loads((reference / "edm_geom_drugs_official_keys.json").read_text())["keys"]
    generator = torch.Generator().manual_seed(0)
    tensors = {
        key: 0.01 * torch.randn(value["shape"], generator=generator)
        for key, value in official.items()
    }
    tensors["gamma.gamma"] = torch.from_numpy(polynomial_gamma(1000, 2, 1e-5)).float()
    arguments = (reference / "edm_geom_drugs_args.json").read_text()
    (tmp_path / "args.json").write_text(arguments)
    save_file(tensors, tmp_path / "generative_model_ema.safetensors")
    loaded = load_model(tmp_path).state_dict()
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)

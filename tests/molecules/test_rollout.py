"""The molecule model as a function of its noise: symmetries and independence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import casbo
from casbo.stand_in import StandIn
from casbo.testing import check_rollout
from casbo_molecules.diffusion import Denoiser, Sampler
from casbo_molecules.elements import ELEMENTS
from casbo_molecules.model import ModelError, MoleculeModel
from casbo_molecules.network import EquivariantNetwork, NetworkConfig
from casbo_molecules.rollout import CHUNK, MoleculeRollout

ATOMS, STEPS = 9, 6


@pytest.fixture(scope="module")
def rollout():
    """An untrained model: every law here is one of the code, not of the weights."""
    torch.manual_seed(0)
    network = EquivariantNetwork(NetworkConfig(6, 12, node_width=16, edge_width=8, layers=2))
    model = MoleculeModel(
        Denoiser(network.double().eval()), torch.zeros(12).double(), torch.ones(12)
    )
    return MoleculeRollout(model, ATOMS, Sampler(steps=STEPS))


def noise(rollout, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *rollout.shape, generator=generator, dtype=torch.double)


def positions(rollout, values):
    return np.stack([molecule.positions for molecule in rollout(values).samples])


def test_shape_counts_every_noise(rollout):
    assert rollout.shape == (STEPS, ATOMS * (3 + len(ELEMENTS)) + 12)


def test_it_keeps_the_contract(rollout):
    check_rollout(rollout)


def test_molecules_do_not_depend_on_how_many_are_made(rollout):
    values = noise(rollout, CHUNK + 3)
    together = rollout(values).samples
    for row in (0, CHUNK - 1, CHUNK, CHUNK + 2):
        alone = rollout(values[row : row + 1]).samples[0]
        assert alone.atomic_numbers == together[row].atomic_numbers
        np.testing.assert_array_equal(alone.positions, together[row].positions)


def test_turned_noise_makes_turned_molecules(rollout):
    values = noise(rollout, 2)
    turn = torch.linalg.qr(noise(rollout, 1, seed=1)[0, :3, :3]).Q
    turned = values.clone()
    xyz = turned[..., : 3 * ATOMS].unflatten(-1, (ATOMS, 3)) @ turn
    turned[..., : 3 * ATOMS] = xyz.flatten(-2)
    expected = positions(rollout, values) @ turn.numpy()
    np.testing.assert_allclose(positions(rollout, turned), expected, atol=1e-8)


def test_renumbered_noise_makes_renumbered_molecules(rollout):
    values = noise(rollout, 1)
    order = torch.randperm(ATOMS, generator=torch.Generator().manual_seed(3))
    blocks = values.split([3 * ATOMS, len(ELEMENTS) * ATOMS, 12], dim=-1)
    renumbered = torch.cat(
        [
            blocks[0].unflatten(-1, (ATOMS, 3))[..., order, :].flatten(-2),
            blocks[1].unflatten(-1, (ATOMS, len(ELEMENTS)))[..., order, :].flatten(-2),
            blocks[2],
        ],
        dim=-1,
    )
    before, after = rollout(values).samples[0], rollout(renumbered).samples[0]
    np.testing.assert_allclose(after.positions, before.positions[order.numpy()], atol=1e-8)
    assert after.atomic_numbers == tuple(np.array(before.atomic_numbers)[order.numpy()])


def test_every_row_and_kind_of_noise_matters(rollout):
    values = noise(rollout, 1)
    start = positions(rollout, values)
    for row in range(STEPS):
        for column in (0, 3 * ATOMS, rollout.shape[1] - 1):
            changed = values.clone()
            changed[0, row, column] += 1
            assert np.abs(positions(rollout, changed) - start).max() > 1e-9, (row, column)


def test_the_last_prediction_is_the_sample(rollout):
    trajectories = rollout(noise(rollout, 2), predict=(0, STEPS - 1))
    assert set(trajectories.predictions) == {0, STEPS - 1}
    for sample, last in zip(
        trajectories.samples, trajectories.predictions[STEPS - 1], strict=True
    ):
        np.testing.assert_array_equal(sample.positions, last.positions)
    first = trajectories.predictions[0][0].positions
    assert np.abs(first - trajectories.samples[0].positions).max() > 1e-6


def test_sizes_the_model_never_saw_are_refused(rollout):
    for atoms in (3, 60):
        with pytest.raises(ModelError, match=f"between 8 and 20 heavy atoms.*got {atoms}"):
            MoleculeRollout(rollout.model, atoms)


def test_a_point_holds_the_positions_and_the_elements(rollout):
    molecule = rollout(noise(rollout, 1)).samples[0]
    point = rollout.point(molecule)
    xyz, kinds = point[: 3 * ATOMS].reshape(ATOMS, 3), point[3 * ATOMS :].reshape(ATOMS, -1)
    np.testing.assert_array_equal(xyz.numpy(), molecule.positions)
    assert torch.equal(kinds.sum(1), torch.ones(ATOMS).double())
    alike = kinds @ kinds.T == 1
    numbers = np.array(molecule.atomic_numbers)
    np.testing.assert_array_equal(alike.numpy(), numbers[:, None] == numbers)


def test_a_stand_in_steers_molecules_for_the_same_queries(rollout):
    def width(samples):
        return [float(np.ptp(sample.positions, axis=0).max()) for sample in samples]

    stand_in = StandIn((1, 3), credit="cumulative")
    options = {"queries": 48, "population": 12, "seed": 1}
    guided = casbo.steer(rollout, width, stand_in=stand_in, **options)
    plain = casbo.steer(rollout, width, **options)
    assert guided.history[-1].queries == plain.history[-1].queries == 48
    assert guided.history[1].best == plain.history[1].best  # too little is known to guess
    assert not torch.equal(guided.controls.mean, plain.controls.mean)

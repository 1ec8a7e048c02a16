"""Small EDM and TargetDiff models: training learns, resumes exactly, and writes what the loaders read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

for package in ("rdkit", "openbabel"):
    pytest.importorskip(package, reason=f"{package} is part of casbo[molecules]")

from casbo_molecules.edm import EdmRollout, load_model
from casbo_molecules.edm import Sampler as EdmSampler
from casbo_molecules.elements import ATOMIC_NUMBERS, ELEMENTS
from casbo_molecules.targetdiff import Pocket, Sampler, TargetDiffModel, TargetDiffRollout
from casbo_molecules.targetdiff.loss import diffusion_loss
from casbo_molecules.targetdiff.network import TargetDiffNetwork
from casbo_molecules.targetdiff.vocabulary import PROTEIN_FEATURES
from casbo_molecules.training import edm, loop, targetdiff
from casbo_molecules.training.dataset import Conformers, Molecules
from casbo_molecules.training.placement import placed, toy_pocket


def pocket(atoms: int = 60) -> Pocket:
    """Protein atoms on a sphere of 7 Å around the origin."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(atoms, 3, generator=generator, dtype=torch.float64)
    features = torch.zeros(atoms, PROTEIN_FEATURES)
    features[:, 1] = 1
    return Pocket(7 * directions / directions.norm(dim=1, keepdim=True), features)


@pytest.fixture(scope="module")
def conformers() -> Conformers:
    """Zigzag chains of 5 and 7 atoms that end in an oxygen."""

    def chains(atoms: int, count: int) -> Molecules:
        x = 1.26 * torch.arange(atoms)
        chain = torch.stack([x, 0.86 * (torch.arange(atoms) % 2), torch.zeros(atoms)], dim=1)
        elements = torch.tensor([0] * (atoms - 1) + [2])
        rows = torch.arange(count)
        return Molecules(
            (chain - chain.mean(0)).expand(count, -1, -1), elements.expand(count, -1), rows
        )

    return Conformers((chains(5, 3), chains(7, 6)), torch.zeros(6, 2))


def edm_loss(conformers: Conformers) -> edm.NoiseLoss:
    torch.manual_seed(1)
    return edm.NoiseLoss(edm.new_model(conformers, width=16, layers=2), conformers, batch=8)


def targetdiff_loss(conformers: Conformers) -> targetdiff.PocketLoss:
    torch.manual_seed(1)
    config = targetdiff.TargetDiffConfig(
        hidden_dim=16, num_layers=2, n_heads=2, ligand_atom_mode=targetdiff.MODE
    )
    toy = toy_pocket(pocket(), torch.zeros(3, dtype=torch.float64))
    return targetdiff.PocketLoss(TargetDiffNetwork(config), conformers, toy, batch=8)


def model_of(loss: edm.NoiseLoss | targetdiff.PocketLoss) -> nn.Module:
    return loss.model if isinstance(loss, edm.NoiseLoss) else loss.network


KINDS = pytest.mark.parametrize("make", [edm_loss, targetdiff_loss])


@KINDS
def test_an_interrupted_training_ends_as_an_unbroken_one(make, conformers, tmp_path: Path) -> None:
    def ended(name: str, *minutes: float) -> dict[str, Tensor]:
        for limit in minutes:
            loss = make(conformers)
            schedule = loop.Schedule(steps=5, rate=1e-3, minutes=limit)
            average = loop.train(
                model_of(loss), loss, schedule, tmp_path / name, lambda model: None
            )
        return average.state_dict()

    whole, parts = ended("whole", torch.inf), ended("parts", 0, 0, torch.inf)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


@KINDS
def test_training_learns(make, conformers) -> None:
    """On two molecules the loss falls well below that of the untrained network."""
    loss = make(conformers)
    trained = [p for p in model_of(loss).parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, 5e-3)
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(80):
        value = loss(generator)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert sum(values[-20:]) < 0.75 * sum(values[:20])


def test_the_loss_of_a_shared_pocket_is_that_of_separate_graphs(conformers) -> None:
    """Both the value and its gradient."""
    found = []
    for fast in (True, False):
        loss = targetdiff_loss(conformers)
        clean = loss.graphs(conformers.groups[0])
        generator = torch.Generator().manual_seed(3)
        times = torch.randint(1000, (3,), generator=generator)
        noise = tuple(
            torch.randn(len(clean.ligand_types), width, generator=generator)
            for width in (3, loss.network.config.types)
        )
        predict = targetdiff.SharedPocket(loss.network, loss.pocket, 3) if fast else None
        value = diffusion_loss(loss.network, clean, times, noise, predict=predict).total
        value.backward()
        gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad
            for name, p in loss.network.named_parameters()
        }
        assert sum(bool(g.any()) for g in gradients.values()) > 40
        found.append(gradients | {"loss": value.detach()})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-3, atol=1e-3, msg=name)


def test_a_written_edm_is_what_the_loader_reads(conformers, tmp_path: Path) -> None:
    model = edm_loss(conformers).model
    edm.save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    assert loaded.dataset.sizes == {5: 3, 7: 6}
    assert loaded.dataset.elements == ELEMENTS
    assert loaded.dataset.atoms[:3] == (3 * 4 + 6 * 6, 0, 9)
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    rollout = EdmRollout(loaded, 5, sampler=EdmSampler(steps=2))
    noise = torch.randn(1, *rollout.shape, generator=torch.Generator().manual_seed(0))
    assert len(rollout(noise).samples[0].positions) == 5


def test_a_written_targetdiff_is_what_the_loader_reads(conformers, tmp_path: Path) -> None:
    loss = targetdiff_loss(conformers)
    TargetDiffModel(loss.network).save(tmp_path)
    model = TargetDiffModel.from_checkpoint(tmp_path)
    rollout = TargetDiffRollout(model, loss.pocket, 5, Sampler(steps=2))
    noise = torch.randn(1, *rollout.shape, generator=torch.Generator().manual_seed(0))
    assert len(rollout(noise).samples[0].positions) == 5


def test_types_are_the_elements_of_the_training_file() -> None:
    kinds = targetdiff.MODES[targetdiff.MODE]
    numbers = [kinds[kind].atomic_number for kind in targetdiff.type_numbers()]
    assert tuple(numbers) == ATOMIC_NUMBERS


def test_placed_molecules_keep_their_shape_and_find_room(conformers) -> None:
    chains = conformers.groups[1].positions
    whole, site = pocket(), torch.zeros(3, dtype=torch.float64)
    found = placed(chains, whole, site, torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(chains, chains))
    volume = torch.linalg.det(found[:, 1:4] - found[:, :1])
    torch.testing.assert_close(volume, torch.zeros_like(volume), atol=1e-4, rtol=0)
    assert not torch.equal(found[0], found[1]), "every molecule has poses of its own"
    nearest = torch.cdist(found.double(), whole.positions).amin(dim=(1, 2))
    assert float(nearest.median()) > 3


def test_the_toy_pocket_surrounds_its_site() -> None:
    site = torch.zeros(3, dtype=torch.float64)
    toy = toy_pocket(pocket(), site)
    assert len(toy.positions) == len(toy.features) == 4
    assert float((toy.center - site).norm()) < 1

"""Fast inference gives the plain network's numbers, however the work is divided."""

from __future__ import annotations

import pytest
import torch
from targetdiff_samples import TINY, random_ligands, random_pocket

from casbo_molecules.targetdiff import TargetDiffModel
from casbo_molecules.targetdiff.network import Batch


def plainly(model, pocket, positions, types):
    """The plain network on all ligands at once, each with a pocket of its own."""
    (B, n), P = types.shape, len(pocket.positions)
    dtype = model.network.protein_atom_emb.weight.dtype
    centred = (pocket.positions - pocket.center).to(dtype)
    with torch.no_grad():
        found = model.network(
            Batch(
                centred.repeat(B, 1),
                pocket.features.repeat(B, 1),
                torch.arange(B).repeat_interleave(P),
                positions.flatten(0, 1).to(dtype),
                types.flatten(),
                torch.arange(B).repeat_interleave(n),
            )
        )
    return [part.unflatten(0, (B, n)) for part in found]


@pytest.fixture(scope="module")
def double(tiny):
    return tiny.double()


@pytest.mark.parametrize(("protein", "ligand"), [(1, 1), (1, 4), (5, 1), (6, 3), (7, 2), (60, 5)])
@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_plain_network(double, protein, ligand, count):
    """Also where there are fewer atoms than edges of an atom (6)."""
    pocket = random_pocket(protein, seed=protein)
    positions, types = random_ligands(count, ligand, 13, seed=ligand)
    found = double.inside(pocket)(positions.double(), types)
    for ours, plain in zip(found, plainly(double, pocket, positions, types), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-10)


def test_a_large_pocket_whose_far_atoms_never_hear_of_the_ligand(double):
    """Skipped atoms are skipped rightly: most of this pocket is out of reach."""
    pocket = random_pocket(300, seed=5, spread=15.0)
    positions, types = random_ligands(2, 3, 13, seed=6)
    found = double.inside(pocket)(positions.double(), types)
    for ours, plain in zip(found, plainly(double, pocket, positions, types), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-10)


def test_neither_blocks_nor_company_matter(double, pocket):
    positions, types = random_ligands(5, 4, 13, seed=7)
    together = double.inside(pocket)(positions, types)
    for block in (1, 7, 1000):
        for ours, whole in zip(
            double.inside(pocket, block)(positions, types), together, strict=True
        ):
            torch.testing.assert_close(ours, whole, rtol=1e-10, atol=1e-11)
    for row in range(5):
        alone = double.inside(pocket)(positions[row : row + 1], types[row : row + 1])
        for ours, whole in zip(alone, together, strict=True):
            torch.testing.assert_close(ours[0], whole[row], rtol=1e-10, atol=1e-11)


def test_turned_inputs_give_turned_outputs(double, pocket):
    positions, types = random_ligands(1, 4, 13, seed=8)
    generator = torch.Generator().manual_seed(9)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    turned = type(pocket)(pocket.positions @ turn, pocket.features)
    before = double.inside(pocket)(positions.double(), types)
    after = double.inside(turned)(positions.double() @ turn, types)
    torch.testing.assert_close(after.positions, before.positions @ turn, rtol=0, atol=1e-9)
    torch.testing.assert_close(after.logits, before.logits, rtol=0, atol=1e-9)


def test_renumbered_atoms_give_renumbered_outputs(double, pocket):
    positions, types = random_ligands(1, 6, 13, seed=10)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    network = double.inside(pocket)
    before, after = network(positions, types), network(positions[:, order], types[:, order])
    for ours, other in zip(after, before, strict=True):
        torch.testing.assert_close(ours, other[:, order], rtol=0, atol=1e-10)


def test_the_plain_network_can_be_trained(pocket):
    """Gradients reach every weight that is used."""
    model = TargetDiffModel.untrained(TINY, seed=3)
    model.network.requires_grad_(True)
    positions, types = random_ligands(1, 4, 13, seed=11)
    found = model.network(
        Batch(
            (pocket.positions - pocket.center).float(),
            pocket.features,
            torch.zeros(40, dtype=torch.long),
            positions[0],
            types[0],
            torch.zeros(4, dtype=torch.long),
        )
    )
    (found.positions.square().sum() + found.logits.square().sum()).backward()
    unused = [
        name
        for name, weight in model.network.named_parameters()
        if name.startswith(("refine_net.base", "refine_net.edge", "v_inf", "ligand", "protein"))
        and (weight.grad is None or not weight.grad.abs().sum() > 0)
    ]
    # a constant added to every key of an atom changes no attention
    assert all(".hk_func.net.3.bias" in name or ".xk_func.net.3.bias" in name for name in unused)

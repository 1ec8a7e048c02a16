"""The neighbours found around a pocket are the plain ones, ties and short lists included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo_molecules.targetdiff.errors import TargetDiffError
from casbo_molecules.targetdiff.graph import PocketNeighbours, edge_kinds, nearest


@settings(max_examples=60)
@given(
    st.integers(1, 30),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 12),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 1.0]),
)
def test_neighbours_around_a_pocket_are_the_nearest(P, n, B, k, seed, grid):
    """On a grid most distances tie; then atoms with lower numbers are nearer."""
    generator = torch.Generator().manual_seed(seed)
    points = 3 * torch.randn(P + B * n, 3, generator=generator)
    if grid:
        points = points.round()
    protein, ligands = points[:P], points[P:].reshape(B, n, 3)
    found = PocketNeighbours.of(protein, k).around(ligands)
    M = P + n
    for b in range(B):
        whole = torch.cat([protein, ligands[b]])
        source, _ = nearest(whole, torch.zeros(M, dtype=torch.long), k)
        wanted = source.view(M, -1).sort(dim=1).values
        mine = found.sources[b * M : (b + 1) * M] - b * M
        assert torch.equal(mine.sort(dim=1).values, wanted)
        alone, hearer = nearest(protein, torch.zeros(P, dtype=torch.long), k)
        for atom in range(P):
            same = set(mine[atom].tolist()) == set(alone[hearer == atom].tolist())
            assert same or bool(found.mixed[b * M + atom])
    assert found.ligand.view(B, M).sum(dim=1).tolist() == [n] * B


def test_kinds_of_edges():
    protein = torch.tensor([False, False, True, True])
    target = torch.tensor([False, True, False, True])
    assert edge_kinds(protein, target).tolist() == [0, 1, 2, 3]


def test_an_empty_pocket_is_refused():
    with pytest.raises(TargetDiffError, match="at least one atom"):
        PocketNeighbours.of(torch.zeros(0, 3), 4)

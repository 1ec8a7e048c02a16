"""Subspaces: coordinates come back, what is outside stays, PCA is numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from casbo_inversion import InversionError, MatrixSubspace, PcaSubspace, RandomSubspace
from casbo_inversion.subspace import TokenSubspace


def table(rows: int = 40, width: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(0.3, 3, width)
    return (torch.randn(rows, width, generator=generator) * spread + 1).double()


def matrix(width: int, columns: int) -> torch.Tensor:
    return torch.randn(width, columns, generator=torch.Generator().manual_seed(5)).double()


SUBSPACES = {
    "pca": PcaSubspace(3),
    "published": PcaSubspace(3, published=True),
    "wide": PcaSubspace(3, scale=4.0),
    "random": RandomSubspace(3, seed=2),
    "matrix": MatrixSubspace(matrix(10, 3)),
}


@pytest.mark.parametrize("subspace", SUBSPACES.values(), ids=SUBSPACES)
@given(st.lists(st.floats(-5, 5), min_size=6, max_size=6))
def test_coordinates_come_back_and_the_complement_is_untouched(
    subspace: TokenSubspace, numbers: list[float]
) -> None:
    basis = subspace.fit([table(), table(40, 4, seed=1)])
    x = torch.tensor(numbers, dtype=torch.float64).reshape(2, 3)
    offsets = basis.offsets(x)
    assert offsets.shape == (2, 10)
    assert torch.allclose(basis.coordinates(offsets), x, atol=1e-8)
    axes = torch.linalg.qr(basis.matrix)[0]
    moved = offsets - basis.shift
    assert torch.allclose(moved - moved @ axes @ axes.T, torch.zeros_like(moved), atol=1e-10)


def test_pca_is_numpys() -> None:
    rows = table()
    centred = rows.numpy() - rows.numpy().mean(0)
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    eigenvalues = singular**2 / (len(rows) - 1)
    scaled = PcaSubspace(4, scale=2.0).fit([rows])
    wanted = 2 * axes[:4].T * np.sqrt(eigenvalues[:4])
    signs = np.sign((scaled.matrix.numpy() * wanted).sum(0))
    assert np.allclose(scaled.matrix.numpy(), wanted * signs)
    assert not scaled.shift.any()
    published = PcaSubspace(4, published=True).fit([rows])
    signs = np.sign((published.matrix.numpy() * axes[:4].T).sum(0))
    assert np.allclose(published.matrix.numpy(), axes[:4].T * signs)
    assert np.allclose(published.shift.numpy(), rows.numpy().mean(0))


def test_all_scaled_axes_reproduce_the_covariance_of_words() -> None:
    rows = table()
    matrix = PcaSubspace(6, scale=1.0).fit([rows]).matrix
    assert torch.allclose(matrix @ matrix.T, torch.cov(rows.T))


def test_joined_tables_count_by_their_own_spread() -> None:
    """A table in other units gives the same coordinates in those units."""
    one, two = table(), table(40, 4, seed=1)
    small, large = PcaSubspace(5).fit([one, two]), PcaSubspace(5).fit([one, 100 * two])
    assert torch.allclose(small.matrix[:6], large.matrix[:6])
    assert torch.allclose(100 * small.matrix[6:], large.matrix[6:])


def test_random_directions_move_a_token_as_far_as_words_differ() -> None:
    rows = table(200, 60)
    subspace = RandomSubspace(40, seed=3)
    matrix = subspace.fit([rows]).matrix
    assert torch.equal(matrix, subspace.fit([rows]).matrix)
    moved = float(matrix.square().sum())  # E |B x|^2
    words = float((rows - rows.mean(0)).square().sum(1).mean())
    assert abs(moved / words - 1) < 6 * (2 / (60 * 40)) ** 0.5  # six standard errors


@pytest.mark.parametrize("m", [0, -1, 11, 2.5, True])
@pytest.mark.parametrize("kind", [PcaSubspace, RandomSubspace])
def test_coordinates_out_of_range(kind: type, m: object) -> None:
    with pytest.raises(InversionError, match="from 1 to 10 coordinates"):
        kind(m).fit([table(), table(40, 4)])


def test_a_matrix_or_tables_that_do_not_fit() -> None:
    for wrong in (matrix(9, 3), torch.zeros(10), matrix(10, 11), matrix(10, 3) * torch.inf):
        with pytest.raises(InversionError, match="matrix"):
            MatrixSubspace(wrong).fit([table(), table(40, 4)])
    with pytest.raises(InversionError, match="random subspace"):
        PcaSubspace(2).fit([table(40), table(41)])

"""The clip of an update's eigenvalues, against the decomposition it avoids."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from casbo.covariance import SMALLEST_FACTOR
from casbo.covariance.algebra import clipped

from .problems import normal


@given(
    least=st.one_of(
        st.floats(-2, 2), st.floats(0.9 * SMALLEST_FACTOR, 2.5 * SMALLEST_FACTOR), st.just(1e9)
    ),
    others=st.lists(st.floats(0.05, 3), min_size=0, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_eigenvalues_are_clipped_from_below(least: float, others: list[float], seed: int) -> None:
    """One far eigenvalue is the hardest case for a bound by trace and Frobenius norm."""
    wanted = torch.tensor([[least, *others], [1.0] * (len(others) + 1)]).double()
    turned = torch.linalg.qr(normal(2, wanted.shape[1], wanted.shape[1], seed=seed))[0]
    matrix = (turned * wanted[:, None, :]) @ turned.mT
    expected = wanted.clamp_min(SMALLEST_FACTOR).sort(1).values
    scale = wanted.abs().max().clamp_min(1.0)
    found = torch.linalg.eigvalsh(clipped(matrix))
    torch.testing.assert_close(found / scale, expected / scale)


def test_what_needs_no_clip_stays_bit_for_bit() -> None:
    matrix = torch.eye(5).double() + 0.01 * normal(3, 5, 5, seed=0)
    matrix = 0.5 * (matrix + matrix.mT)
    assert torch.equal(clipped(matrix), matrix)

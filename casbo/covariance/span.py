r"""Spans: orthonormal columns, and coordinates in the span of given columns.

An update of low rank happens in the span of the columns B = [basis, vectors], with B = Q T and Q
orthonormal. Where B is tall, Q is never formed: T is the Cholesky factor of the Gram matrix B^T B
(CholeskyQR; Fukaya et al., arXiv 1809.11085, on its rounding errors and the shift), and
Q y = B (T^{-1} y) costs one product. Squaring B costs half the digits of columns that nearly depend
on each other. Where float32 columns do, their Gram matrix is computed again in float64; for
float64 columns, such directions are good to 1e-7 of a column's length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from casbo.errors import CasboError

#: Columns are orthonormalised outright unless there are so many times more rows than columns.
TALL = 8
#: A column depends on those before it where less than this share of its squared length is new.
DEPENDENT = 1e-2
#: Added to the unit diagonal of a scaled Gram matrix in float64: dependent columns stay harmless,
#: for what is added belongs to a column of Q of length zero.
SHIFT = 1e-14
#: Columns count as so long at least: a column of zeros divides by this and stays zero.
SHORTEST = 1e-30
#: Numbers that a block of rows of B holds.
BLOCK = 2**20


@dataclass(frozen=True)
class Span:
    """Coordinates T of the columns [basis, vectors] in an orthonormal basis Q of their span.

    Arguments:
        columns: Tensors with G matrices of m rows each whose columns together give Q.
        triangle: T with shape (G, n, r + J), in float64.
        implied: Whether Q is [columns] T^{-1} instead of [columns].
        split: r, the number of columns of the basis.
    """

    columns: tuple[Tensor, ...]
    triangle: Tensor
    implied: bool
    split: int

    @classmethod
    def of(cls, basis: Tensor, *vectors: Tensor) -> Span:
        """The span of a basis with shape (G, m, r) and of vectors with shapes (J, G, m)."""
        _, rows, split = basis.shape
        columns = (basis, *(part.permute(1, 2, 0) for part in vectors))
        if rows >= TALL * sum(part.shape[-1] for part in columns):
            return cls(columns, _triangle(columns), True, split)
        unit, triangle = torch.linalg.qr(torch.cat(columns, dim=-1))
        return cls((unit,), triangle.double(), False, split)

    @property
    def known(self) -> Tensor:
        """Coordinates of the basis, with shape (G, n, r)."""
        return self.triangle[..., : self.split]

    @property
    def seen(self) -> Tensor:
        """Coordinates of the vectors, with shape (G, n, J)."""
        return self.triangle[..., self.split :]

    def combined(self, directions: Tensor) -> Tensor:
        """Q y with shape (G, m, k), from coordinates y with shape (G, n, k) in float64."""
        if self.implied:
            directions = torch.linalg.solve_triangular(self.triangle, directions, upper=True)
        weights = directions.to(self.columns[0].dtype)
        first, *others = self.columns
        start = first.shape[-1]
        total: Tensor = first @ weights[:, :start]
        for part in others:
            total.baddbmm_(part, weights[:, start : start + part.shape[-1]])
            start += part.shape[-1]
        return total


def _triangle(columns: tuple[Tensor, ...]) -> Tensor:
    """T with T^T T = B^T B, upper triangular, in float64."""
    dtype = columns[0].dtype
    if dtype == torch.float64:
        return _cholesky(_gram(columns, dtype), SHIFT)[0]
    triangle, safe = _cholesky(_gram(columns, dtype), 0.0)
    if not bool(safe.all()):
        exact = _gram(tuple(part[~safe] for part in columns), torch.float64)
        triangle[~safe] = _cholesky(exact, SHIFT)[0]
    return triangle


def _gram(columns: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    """B^T B of columns B in parts, with shape (G, n, n).

    Products of blocks of rows are taken in the dtype given and added in float64.
    """
    (groups, rows), device = columns[0].shape[:2], columns[0].device
    counts = [part.shape[-1] for part in columns]
    total = torch.zeros(groups, sum(counts), sum(counts), dtype=torch.float64, device=device)
    places = [slice(sum(counts[:i]), sum(counts[: i + 1])) for i in range(len(counts))]
    step = max(64, BLOCK // (groups * sum(counts)))
    for start in range(0, rows, step):
        blocks = [part[:, start : start + step].to(dtype) for part in columns]
        for i, block in enumerate(blocks):
            for j in range(i + 1):
                total[:, places[i], places[j]] += block.mT @ blocks[j]
    return total.tril() + total.tril(-1).mT


def _cholesky(gram: Tensor, shift: float) -> tuple[Tensor, Tensor]:
    """T with T^T T = gram, and which of the G matrices have no dependent column."""
    lengths = gram.diagonal(dim1=-2, dim2=-1).sqrt().clamp_min(SHORTEST)
    scaled = (1 - shift) * gram / (lengths[:, :, None] * lengths[:, None, :])
    scaled.diagonal(dim1=-2, dim2=-1).fill_(1)
    lower, failures = torch.linalg.cholesky_ex(scaled)
    new = lower.diagonal(dim1=-2, dim2=-1).square()
    safe = (failures == 0) & (new > DEPENDENT).all(-1)
    return lower.mT * lengths[:, None, :], safe


def orthonormal(basis: Tensor) -> Tensor:
    """Orthonormal columns with the same span as those of a basis with shape (..., D, m), m <= D.

    Each new column has a positive product with the old one, so directions keep their sign.

    Raises:
        CasboError: When the columns are linearly dependent or not finite.
    """
    wide = basis.double()
    if wide.shape[-1] > wide.shape[-2] or not bool(wide.isfinite().all()):
        raise CasboError(
            "Expected finite columns, no more than rows, in a basis of shape (..., D, m), "
            f"got shape {tuple(basis.shape)}."
        )
    columns, triangle = torch.linalg.qr(wide)
    diagonal = triangle.diagonal(dim1=-2, dim2=-1)
    norms = wide.norm(dim=-2)
    if not bool((diagonal.abs() > 1e-10 * norms).all()):
        raise CasboError("Expected linearly independent columns: drop the redundant ones.")
    signed: Tensor = columns * diagonal.sign()[..., None, :]
    return signed.to(basis.dtype)

r"""The bare linear algebra of an iteration, in torch, on tensors of the case's sizes.

What no way of adapting a covariance gets around: colour the population's noise, colour the step of
the mean, whiten the path, decompose, and write the changed covariance. Nothing is ranked, no noise
is drawn, and where torch can write into memory that is there, it does. J vectors go into an update:
N / 2 draws of mirrored pairs, or N, and the path.

*Cheapest*, the best way we know:

- `Full` with pooling (m <= 128): the moments of every Gaussian and their mean, whitened back; one
  Cholesky decomposition; root and inverse times that root. `Full` in more coordinates: QR of J
  columns, eigenvalues of J x J, and the rank-J change of root and inverse in place.
- `LowRank`: the Gram matrix of r + J columns, Cholesky and eigenvalues of that size, one product
  for the new directions.

*Usual*, what implementations of the CMA evolution strategy do: `Full`: one product for the rank-J
change of the covariance, and its eigenvalue decomposition (m x m). `LowRank`: QR of r + J columns,
eigenvalues of that size, one product.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from casbo.covariance.full import LARGEST_POOLED

from .cases import Case

Iteration = Callable[[], object]


def limits(case: Case, draws: int) -> dict[str, Iteration]:
    """What one iteration has to compute, by the names "cheapest" and "usual".

    Arguments:
        draws: Independent draws of a population: N / 2 where candidates come in mirrored pairs.
    """
    if case.covariance == "low_rank":
        return {
            "cheapest": _low_rank(case, draws, qr=False),
            "usual": _low_rank(case, draws, qr=True),
        }
    pooled = case.dim <= LARGEST_POOLED
    return {
        "cheapest": _pooled(case, draws) if pooled else _factor(case, draws),
        "usual": _decomposed(case, draws),
    }


def _normal(case: Case, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=getattr(torch, case.dtype))


def _moments(case: Case, J: int) -> tuple[Tensor, Tensor, Tensor]:
    """J vectors, one more, and weights so small that what they add to stays positive definite."""
    K, D = case.steps, case.dim
    return _normal(case, K, J, D), _normal(case, K, 1, D), _normal(case, K, J, 1).abs() / D**2


def _root(case: Case) -> Tensor:
    """A well-conditioned root (K, D, D)."""
    noise = _normal(case, case.steps, case.dim, case.dim) / case.dim
    noise.diagonal(dim1=1, dim2=2).add_(1)
    return noise


def _factor(case: Case, draws: int) -> Iteration:
    K, D, J = case.steps, case.dim, draws + 1
    root, inverse = _root(case), _root(case)
    z, one = _normal(case, K, J, D), _normal(case, K, 1, D)
    coloured = torch.empty_like(z[:, :-1])
    tiny = torch.full((K, 1, J), 1e-6, dtype=z.dtype)

    def iteration() -> None:
        torch.bmm(z[:, :-1], root.mT, out=coloured)
        one @ root.mT, one @ inverse.mT
        columns, triangle = torch.linalg.qr(z.mT)
        _, directions = torch.linalg.eigh(triangle @ triangle.mT)
        along = columns @ directions
        root.baddbmm_((root @ along) * tiny, along.mT)
        inverse.baddbmm_(along * tiny, along.mT @ inverse)

    return iteration


def _pooled(case: Case, draws: int) -> Iteration:
    root, inverse = _root(case), _root(case)
    z, one, weights = _moments(case, draws + 1)
    unit = torch.eye(case.dim, dtype=z.dtype)
    out = torch.empty_like(root)

    def iteration() -> None:
        x = z @ root.mT
        one @ root.mT, one @ inverse.mT
        mean = x.flatten(0, 1).T @ (weights * x).flatten(0, 1)
        inner = z.mT @ (weights * z) + inverse @ mean @ inverse.mT + unit
        lower = torch.linalg.cholesky(inner)
        torch.bmm(root, lower, out=out)
        torch.linalg.solve_triangular(lower, inverse, upper=False)

    return iteration


def _decomposed(case: Case, draws: int) -> Iteration:
    root = _root(case)
    covariance = root @ root.mT
    z, one, weights = _moments(case, draws + 1)
    coloured = torch.empty_like(z[:, :-1])

    def iteration() -> None:
        torch.bmm(z[:, :-1], root.mT, out=coloured)
        one @ root.mT, one @ root
        changed = torch.baddbmm(covariance, z.mT, weights * z)
        _, vectors = torch.linalg.eigh(changed)
        vectors * one

    return iteration


def _low_rank(case: Case, draws: int, *, qr: bool) -> Iteration:
    K, D, r, J = case.steps, case.dim, case.rank, draws + 1
    basis = torch.linalg.qr(_normal(case, K, D, r))[0]
    z = _normal(case, J, K, D)
    by_step = z.transpose(0, 1)
    coloured = torch.empty_like(z[:-1])
    columns = torch.cat([basis, by_step.mT], -1) if qr else None

    def color(vectors: Tensor, out: Tensor) -> None:
        along = vectors.transpose(0, 1) @ basis
        torch.mul(vectors, 1.5, out=out)
        out.transpose(0, 1).baddbmm_(along, basis.mT)

    def iteration() -> None:
        color(z[:-1], coloured)
        color(z[-1:], torch.empty_like(z[-1:]))
        color(z[-1:], torch.empty_like(z[-1:]))
        if columns is not None:
            span, triangle = torch.linalg.qr(columns)
            directions = torch.linalg.eigh((triangle @ triangle.mT).double())[1].to(span.dtype)
            span @ directions[..., :r]
            return
        gram = torch.cat(
            [
                torch.cat([basis.mT @ basis, (by_step @ basis).mT], -1),
                torch.cat([by_step @ basis, by_step @ by_step.mT], -1),
            ],
            -2,
        ).double()
        lower = torch.linalg.cholesky(gram)
        directions = torch.linalg.eigh(lower.mT @ lower)[1].to(basis.dtype)[..., :r].contiguous()
        torch.baddbmm(basis @ directions[:, :r], by_step.mT, directions[:, r:])

    return iteration

"""Covariances that differ from a multiple of the identity in few directions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from casbo.covariance.algebra import (
    SMALLEST_FACTOR,
    bounded,
    clipped,
    plus_identity,
    power,
    pulled_variance,
    scaled_variance,
    symmetric,
)
from casbo.covariance.base import Covariance, Form, Statistics
from casbo.covariance.span import Span
from casbo.errors import CasboError


@dataclass(frozen=True)
class LowRank(Covariance):
    """Sigma = s^2 (I + U diag(a) U^T) for very many coordinates: nothing m x m is ever formed.

    Equal to `Full` to rounding as long as all directions seen so far fit in U (iterations times
    vectors <= rank); then the `rank` directions with the largest |log(1 + a)| are kept. An
    update of J vectors costs two passes over r + J columns of m numbers: their Gram matrix, and
    one product that makes the new U.

    Arguments:
        variance: s^2, with shape (G,).
        basis: U, with shape (G, m, r); r grows from 0 to at most `rank`.
        ratios: 1 + a, with shape (G, r): held so, for a near -1 would lose its digits.
        rank: The largest r.
    """

    variance: Tensor
    basis: Tensor
    ratios: Tensor
    rank: int

    @classmethod
    def identity(
        cls,
        groups: int,
        coordinates: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        rank: int = 32,
    ) -> Self:
        if rank < 1:
            raise CasboError(f"Expected a rank of at least 1, got {rank}.")
        return cls(
            torch.ones(groups, dtype=dtype, device=device),
            torch.zeros(groups, coordinates, 0, dtype=dtype, device=device),
            torch.ones(groups, 0, dtype=dtype, device=device),
            min(rank, coordinates),
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.basis.shape[0], self.basis.shape[1]

    @property
    def width(self) -> int:
        return self.rank

    @property
    def pools(self) -> bool:
        return False  # the other Gaussians' vectors would take G times as many columns

    def color(self, whitened: Tensor) -> Tensor:
        return self._times(whitened, self.variance.sqrt(), self.ratios.sqrt())

    def whiten(self, vectors: Tensor) -> Tensor:
        return self._times(vectors, self.variance.rsqrt(), self.ratios.rsqrt())

    def updated(self, statistics: Statistics, form: Form) -> Self:
        assert statistics.pooling == 0, "LowRank cannot pool its Gaussians: see Covariance.pools"
        span = Span.of(self.basis, *statistics.parts)
        known, seen = span.known, span.seen
        shift, coefficients = statistics.shift.double(), statistics.coefficients.T.double()
        root = (self.ratios.double().sqrt() - 1)[:, None, :]
        root = plus_identity(known * root @ known.mT, 1.0)
        outside = (1 + shift).clamp_min(SMALLEST_FACTOR)  # A off the span
        outside = 1 / outside if form == "precision" else outside
        inner = plus_identity(seen * coefficients[:, None, :] @ seen.mT, 1 + shift)  # Eq. (5)
        changed = root @ power(clipped(inner), form) @ root / outside[:, None, None]  # Eq. (6)
        ratios, directions = torch.linalg.eigh(symmetric(changed))
        ratios = ratios.maximum(ratios[:, -1:] * torch.finfo(self.basis.dtype).eps)
        if ratios.shape[-1] == self.shape[1]:  # no direction is off the span: s^2 is free
            centre = ratios.log().mean(-1).exp()
            ratios, outside = ratios / centre[:, None], outside * centre
        kept = ratios.log().abs().topk(min(self.rank, ratios.shape[-1]), dim=-1).indices
        ratios = ratios.gather(-1, kept)
        directions = directions.gather(-1, kept[:, None, :].expand(-1, directions.shape[1], -1))
        variance = bounded(self.variance.double() * outside)
        ratios = bounded(variance[:, None] * ratios) / variance[:, None]
        return replace(
            self,
            variance=variance.to(self.variance),
            basis=span.combined(directions),
            ratios=ratios.to(self.ratios),
        )

    def pulled(self, keep: float) -> Self:
        top = pulled_variance(self._tops(), keep)
        variance = pulled_variance(self.variance, keep)
        return replace(self, variance=variance, ratios=top / variance[:, None])

    def shrink(self, vectors: Tensor, keep: float) -> Tensor:
        outside = keep / (keep + (1 - keep) * self.variance)
        inside = keep / (keep + (1 - keep) * self._tops())
        return self._times(vectors[None], outside, inside / outside[:, None])[0]

    def scaled(self, factor: float | Tensor) -> Self:
        return replace(self, variance=scaled_variance(self.variance[:, None], factor)[:, 0])

    def spectrum(self) -> Tensor:
        if self.ratios.shape[1] == self.shape[1]:
            return self._tops().sort(-1).values
        return torch.cat([self._tops(), self.variance[:, None]], dim=-1).sort(-1).values

    def logdet(self) -> Tensor:
        return self.shape[1] * self.variance.log() + self.ratios.log().sum(-1)

    def variances(self) -> Tensor:
        spread = (self.basis.square() * (self.ratios - 1)[:, None, :]).sum(-1)
        return self.variance[:, None] * (1 + spread)

    def tensors(self) -> dict[str, Tensor]:
        return {"variance": self.variance, "basis": self.basis, "ratios": self.ratios}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        variance, basis, ratios = (
            tensors[k].to(self.variance) for k in ("variance", "basis", "ratios")
        )
        return replace(self, variance=variance, basis=basis, ratios=ratios)

    def settings(self) -> dict[str, Any]:
        return {"kind": type(self).__name__, "rank": self.rank}

    def _tops(self) -> Tensor:
        return self.variance[:, None] * self.ratios

    def _times(self, x: Tensor, outside: Tensor, inside: Tensor) -> Tensor:
        """outside (I + U (inside - 1) U^T) x: one product, one copy, one product in place."""
        along = (x.transpose(0, 1) @ self.basis) * (outside[:, None] * (inside - 1))[:, None, :]
        y = x * outside[:, None]
        y.transpose(0, 1).baddbmm_(along, self.basis.mT)
        return y

"""Covariances of independent coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from casbo.covariance.algebra import elementwise, pulled_variance, scaled_variance
from casbo.covariance.base import Covariance, Form, Statistics


@dataclass(frozen=True)
class Diagonal(Covariance):
    """Independent coordinates: only the variances, with shape (G, m), are learned."""

    variance: Tensor

    @classmethod
    def identity(
        cls,
        groups: int,
        coordinates: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Self:
        return cls(torch.ones(groups, coordinates, dtype=dtype, device=device))

    @property
    def shape(self) -> tuple[int, int]:
        return self.variance.shape[0], self.variance.shape[1]

    @property
    def width(self) -> int:
        return 1

    def color(self, whitened: Tensor) -> Tensor:
        return whitened * self.variance.sqrt()

    def whiten(self, vectors: Tensor) -> Tensor:
        return vectors * self.variance.rsqrt()

    def updated(self, statistics: Statistics, form: Form) -> Self:
        moment = (statistics.coefficients[..., None] * statistics.vectors.square()).sum(0)
        return replace(self, variance=elementwise(self.variance, moment, statistics, form))

    def pulled(self, keep: float) -> Self:
        return replace(self, variance=pulled_variance(self.variance, keep))

    def shrink(self, vectors: Tensor, keep: float) -> Tensor:
        return vectors * (keep / (keep + (1 - keep) * self.variance))

    def scaled(self, factor: float | Tensor) -> Self:
        return replace(self, variance=scaled_variance(self.variance, factor))

    def spectrum(self) -> Tensor:
        return self.variance.sort(-1).values

    def logdet(self) -> Tensor:
        return self.variance.log().sum(-1)

    def variances(self) -> Tensor:
        return self.variance

    def tensors(self) -> dict[str, Tensor]:
        return {"variance": self.variance}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        return replace(self, variance=tensors["variance"].to(self.variance))

"""One variance for all coordinates of a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from casbo.covariance.algebra import elementwise, pulled_variance, scaled_variance
from casbo.covariance.base import Covariance, Form, Statistics


@dataclass(frozen=True)
class Isotropic(Covariance):
    """One variance per Gaussian, with shape (G, 1), for m coordinates."""

    variance: Tensor
    coordinates: int

    @classmethod
    def identity(
        cls,
        groups: int,
        coordinates: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Self:
        return cls(torch.ones(groups, 1, dtype=dtype, device=device), coordinates)

    @property
    def shape(self) -> tuple[int, int]:
        return self.variance.shape[0], self.coordinates

    @property
    def width(self) -> int:
        return 1

    def color(self, whitened: Tensor) -> Tensor:
        return whitened * self.variance.sqrt()

    def whiten(self, vectors: Tensor) -> Tensor:
        return vectors * self.variance.rsqrt()

    def updated(self, statistics: Statistics, form: Form) -> Self:
        squares = statistics.vectors.square().mean(-1)
        moment = (statistics.coefficients * squares).sum(0)[:, None]
        return replace(self, variance=elementwise(self.variance, moment, statistics, form))

    def pulled(self, keep: float) -> Self:
        return replace(self, variance=pulled_variance(self.variance, keep))

    def shrink(self, vectors: Tensor, keep: float) -> Tensor:
        return vectors * (keep / (keep + (1 - keep) * self.variance))

    def scaled(self, factor: float | Tensor) -> Self:
        return replace(self, variance=scaled_variance(self.variance, factor))

    def spectrum(self) -> Tensor:
        return self.variance

    def logdet(self) -> Tensor:
        return self.coordinates * self.variance[:, 0].log()

    def variances(self) -> Tensor:
        return self.variance.expand(self.shape)

    def tensors(self) -> dict[str, Tensor]:
        return {"variance": self.variance}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        return replace(self, variance=tensors["variance"].to(self.variance))

    def settings(self) -> dict[str, Any]:
        return {"kind": type(self).__name__, "coordinates": self.coordinates}

"""What covariances without correlations share: everything happens variance by variance."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from casbo.covariance.algebra import SMALLEST_FACTOR, bounded, pulled_variance, scaled_variance
from casbo.covariance.base import Covariance, Form, Statistics


@dataclass(frozen=True)
class Elementwise(Covariance):
    """Variances with shape (G, n), n being m, or 1 where all coordinates share one."""

    variance: Tensor

    @property
    def width(self) -> int:
        return 1

    @abstractmethod
    def _moment(self, statistics: Statistics) -> Tensor:
        """The diagonal of sum_j c_j z_j z_j^T, with shape (G, n)."""

    def color(self, whitened: Tensor) -> Tensor:
        return whitened * self.variance.sqrt()

    def whiten(self, vectors: Tensor) -> Tensor:
        return vectors * self.variance.rsqrt()

    def updated(self, statistics: Statistics, form: Form) -> Self:
        variance, moment = self.variance, self._moment(statistics)
        if statistics.pooling:
            pooled = (variance * moment).mean(0) / variance
            moment = torch.lerp(moment, pooled, statistics.pooling)
        inner = (1 + statistics.shift[:, None] + moment).clamp_min(SMALLEST_FACTOR)  # (5), (7)
        changed = variance / inner if form == "precision" else variance * inner  # Eq. (6)
        return replace(self, variance=bounded(changed))

    def pulled(self, keep: float) -> Self:
        return replace(self, variance=pulled_variance(self.variance, keep))

    def shrink(self, vectors: Tensor, keep: float) -> Tensor:
        return vectors * (keep / (keep + (1 - keep) * self.variance))

    def scaled(self, factor: float | Tensor) -> Self:
        return replace(self, variance=scaled_variance(self.variance, factor))

    def spectrum(self) -> Tensor:
        return self.variance.sort(-1).values

    def variances(self) -> Tensor:
        return self.variance.expand(self.shape)

    def tensors(self) -> dict[str, Tensor]:
        return {"variance": self.variance}

    def with_tensors(self, tensors: dict[str, Tensor]) -> Self:
        return replace(self, variance=tensors["variance"].to(self.variance))

"""Covariances of independent coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from casbo.covariance.base import Statistics
from casbo.covariance.elementwise import Elementwise


@dataclass(frozen=True)
class Diagonal(Elementwise):
    """Independent coordinates: only the variances, with shape (G, m), are learned."""

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

    def logdet(self) -> Tensor:
        return self.variance.log().sum(-1)

    def _moment(self, statistics: Statistics) -> Tensor:
        return (statistics.coefficients[..., None] * statistics.joined.square()).sum(0)

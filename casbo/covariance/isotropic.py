"""One variance for all coordinates of a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from casbo.covariance.base import Statistics
from casbo.covariance.elementwise import Elementwise


@dataclass(frozen=True)
class Isotropic(Elementwise):
    """One variance per Gaussian, with shape (G, 1), for m coordinates."""

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

    def logdet(self) -> Tensor:
        return self.coordinates * self.variance[:, 0].log()

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "coordinates": self.coordinates}

    def _moment(self, statistics: Statistics) -> Tensor:
        squares = statistics.joined.square().mean(-1)
        return (statistics.coefficients * squares).sum(0)[:, None]

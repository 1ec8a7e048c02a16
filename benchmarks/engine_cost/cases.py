"""The sizes that are measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from casbo import Optimizer

#: Rank of a covariance of low rank, the optimiser's own default.
RANK = 32


@dataclass(frozen=True)
class Case:
    """One size of a search.

    Arguments:
        covariance: "full" or "low_rank".
        steps: K.
        dim: D.
        population: N.
        rank: Of a covariance of low rank.
        dtype: "float64" or "float32".
        samples: What is told beside the scores: "none", "terminal" (the final samples, the summed
            noise) or "cumulative" (the samples after every step).
    """

    covariance: str
    steps: int
    dim: int
    population: int
    rank: int = RANK
    dtype: str = "float64"
    samples: str = "none"

    @property
    def title(self) -> str:
        """As tables name it."""
        kind = "Full" if self.covariance == "full" else f"LowRank({self.rank})"
        told = "" if self.samples == "none" else f", {self.samples} samples told"
        return f"`{kind}`, D = {self.dim:,}, K = {self.steps}, N = {self.population}{told}"

    @property
    def population_bytes(self) -> int:
        """Of the noise of one population (N, K, D)."""
        size = torch.finfo(getattr(torch, self.dtype)).bits // 8
        return size * self.population * self.steps * self.dim

    def optimizer(self) -> Optimizer:
        """A new optimiser of this size with its default rule."""
        options: dict[str, Any] = {} if self.covariance == "full" else {"rank": self.rank}
        return Optimizer(
            self.steps,
            self.dim,
            self.population,
            covariance=self.covariance,
            dtype=getattr(torch, self.dtype),
            **options,
        )

    def told(self, noise: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores of a population (N, K, D) that search the point 1, and the samples told."""
        if self.samples == "none":
            return (noise[:, :, :8] - 1).square().sum(-1).double(), None
        samples = noise.cumsum(1) if self.samples == "cumulative" else noise.sum(1)
        return (samples - 1).square().sum(-1).double(), samples

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


FULL = Case("full", 20, 64, 20)
LOW_RANK = Case("low_rank", 50, 16_384, 32, dtype="float32")
CASES = [
    *(replace(FULL, dim=dim, population=N) for dim in (64, 256, 1024) for N in (20, 32)),
    LOW_RANK,
    replace(LOW_RANK, dim=65_536),
]
#: Where samples of few coordinates are told, and a model proposes candidates.
MODEL_CASES = [
    replace(FULL, dim=dim, steps=steps, samples=samples)
    for dim, steps in ((10, 5), (20, 10), (50, 10), (100, 5))
    for samples in ("terminal", "cumulative")
]
#: The sizes that peers are measured at.
PEER_CASES = [
    *(case for case in CASES if case.covariance == "low_rank" or case.population == 20),
    *MODEL_CASES,
]
#: What the figure varies, one at a time, and around which sizes.
GROWTH: dict[str, list[Case]] = {
    "D": [
        *(replace(FULL, dim=dim) for dim in (16, 64, 128, 256, 512, 1024)),
        *(replace(LOW_RANK, steps=20, dim=dim) for dim in (1024, 4096, 16_384, 65_536)),
    ],
    "K": [
        *(replace(FULL, dim=256, steps=K) for K in (5, 10, 20, 40, 80)),
        *(replace(LOW_RANK, dim=4096, steps=K) for K in (5, 10, 20, 40, 80)),
    ],
    "N": [
        *(replace(FULL, dim=256, population=N) for N in (8, 16, 32, 64, 128)),
        *(replace(LOW_RANK, dim=4096, steps=20, population=N) for N in (8, 16, 32, 64, 128)),
    ],
    "rank": [replace(LOW_RANK, dim=4096, steps=20, rank=r) for r in (4, 8, 16, 32, 64, 128)],
}

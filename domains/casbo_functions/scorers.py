"""A test function as a scorer, plain or with the faults of real black boxes.

Noise and failures are drawn from a hash of the sample itself: the same sample always gets the same
score, whatever the order, the batch or the worker, as with a docking program under a fixed seed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from casbo.errors import CandidateFailed, CasboError

from .functions import ShiftedFunction


@dataclass(frozen=True)
class FunctionScorer:
    """Costs of N samples (points of R^D) by a test function; lower is better.

    Arguments:
        function: The test function.
        noise: Standard deviation added to the cost, relative to the cost: c (1 + noise z).
        failures: Share of samples that fail.
        seed: Draws noise and failures, together with the sample.

    Raises:
        CasboError: For a negative noise or a share outside [0, 1).
    """

    function: ShiftedFunction
    noise: float = 0.0
    failures: float = 0.0
    seed: int = 0
    direction: ClassVar[str] = "minimize"

    def __post_init__(self) -> None:
        if self.noise < 0:
            raise CasboError(f"Expected a noise of 0 or more, got {self.noise}.")
        if not 0 <= self.failures < 1:
            raise CasboError(f"Expected a share of failures in [0, 1), got {self.failures}.")

    def __call__(self, samples: Sequence[Any] | Tensor) -> list[float | CandidateFailed]:
        """Return N costs, a `CandidateFailed` in place of one that failed."""
        points = [torch.as_tensor(sample, dtype=torch.float64).cpu() for sample in samples]
        return [self._score(point) for point in points]

    def batch(self, points: Tensor) -> Tensor:
        """The scores (...) of points (..., D) in one call: NaN where the single one fails."""
        points = points.to(device="cpu", dtype=torch.float64)
        costs = self.function(points)
        if self.noise == 0 and self.failures == 0:
            return costs
        factors = [self._fault(point) for point in points.reshape(-1, points.shape[-1])]
        return costs * torch.tensor(factors, dtype=torch.float64).reshape(costs.shape)

    def _score(self, point: Tensor) -> float | CandidateFailed:
        cost = float(self.function(point))
        if self.noise == 0 and self.failures == 0:
            return cost
        factor = self._fault(point)
        if math.isnan(factor):
            return CandidateFailed(f"failed on purpose ({self.failures:.0%} of the samples do)")
        return cost * factor

    def _fault(self, point: Tensor) -> float:
        """What a sample's cost is multiplied by: 1 + noise z, or NaN when it fails."""
        generator = self._generator(point)
        if generator.random() < self.failures:
            return math.nan
        return 1.0 + self.noise * float(generator.standard_normal())

    def _generator(self, point: Tensor) -> np.random.Generator:
        """The generator that belongs to a sample and the seed."""
        content = point.contiguous().numpy().tobytes() + self.seed.to_bytes(
            8, "little", signed=True
        )
        digest = hashlib.blake2b(content, digest_size=16).digest()
        return np.random.default_rng(int.from_bytes(digest, "little"))

    def describe(self) -> dict[str, Any]:
        """What identifies the scorer in a run's config."""
        return {
            "name": self.function.name,
            "dim": self.function.dim,
            "function_seed": self.function.seed,
            "noise": self.noise,
            "failures": self.failures,
            "seed": self.seed,
        }

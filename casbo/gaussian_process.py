r"""Gaussian-process regression: a smooth guess of a number from a few hundred points.

Zero mean after standardising the values, kernel
:math:`k(x, x') = \exp(-|x - x'|^2 / (2 \ell^2))`, noise of variance :math:`\nu` on every value; the
length :math:`\ell`, in units of the median distance of the points, and :math:`\nu`, as a share of
the variance, are those of a small grid with the largest marginal likelihood (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, eq. 2.30).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

#: Lengths in units of the median distance, and noise as a share of the values' variance.
LENGTHS = (0.5, 1.0, 2.0, 4.0)
NOISES = (1e-4, 1e-2, 0.1, 0.5)


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process.

    Arguments:
        points: With shape (M, F), float64.
        weights: alpha = (K + nu I)^-1 y with shape (M,), y the standardised values.
        length: The kernel's length, in the points' unit.
        noise: nu, a share of the values' variance.
        offset: Mean of the values.
        scale: Their standard deviation.
    """

    points: Tensor
    weights: Tensor
    length: float
    noise: float
    offset: float
    scale: float

    @classmethod
    def fitted(cls, points: Tensor, values: Tensor) -> Self:
        """Fit to M >= 1 points (M, F) with finite values (M,), in float64."""
        offset, scale = float(values.mean()), float(values.std(correction=0))
        aim = (values - offset) / scale if scale > 0 else torch.zeros_like(values)
        squares = _squared_distances(points, points)
        apart = squares[squares > 0]
        median = math.sqrt(float(apart.median())) if len(apart) else 1.0
        best: tuple[float, float, float, Tensor] | None = None
        for length, noise in itertools.product(LENGTHS, NOISES):
            weights, likelihood = _solved(squares, aim, length * median, noise)
            if best is None or likelihood > best[0]:
                best = (likelihood, length * median, noise, weights)
        assert best is not None
        _, length, noise, weights = best
        return cls(points, weights, length, noise, offset, scale)

    def __call__(self, points: Tensor) -> Tensor:
        """The posterior mean at points (L, F): with shape (L,)."""
        kernel = torch.exp(-0.5 * _squared_distances(points, self.points) / self.length**2)
        return self.offset + self.scale * (kernel @ self.weights)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()


def _solved(squares: Tensor, values: Tensor, length: float, noise: float) -> tuple[Tensor, float]:
    """(K + nu I)^-1 y with shape (M,), and the log marginal likelihood less its constant."""
    kernel = torch.exp(-0.5 * squares / length**2)
    kernel.diagonal().add_(noise)
    # positive definite whatever the points: the smallest eigenvalue is at least the noise
    factor = torch.linalg.cholesky(kernel)
    weights = torch.cholesky_solve(values[:, None], factor)[:, 0]
    return weights, float(-0.5 * values @ weights - factor.diagonal().log().sum())

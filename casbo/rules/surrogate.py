r"""A model of the score over the samples: where would a quadratic say to look next?

The noise has K D coordinates, a sample often far fewer. Two regressions on what was scored before
cost no query: samples as an affine function of the whitened noise (`casbo.rules.response`), and
costs as a quadratic function of the samples. Together they are a quadratic of the noise, to be
minimised inside a ball. See docs/method.md, equations (39) to (41).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from casbo.rules.base import TINY

#: Noise levels that the costs' regression chooses from, in units of its prior variance.
NOISE_LEVELS = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1)

#: Alike in all directions; each coordinate its own besides; or any.
Curvature = Literal["round", "axes", "any"]


@dataclass(frozen=True)
class Quadratic:
    """cost(x) = constant + gradient . x + x . hessian x / 2.

    Arguments:
        gradient: With shape (F,).
        hessian: Symmetric, with shape (F, F).
    """

    gradient: Tensor
    hessian: Tensor

    @property
    def finite(self) -> bool:
        """Whether all its numbers are."""
        return bool(self.gradient.isfinite().all() and self.hessian.isfinite().all())

    @classmethod
    def through(cls, points: Tensor, costs: Tensor, weights: Tensor, axes: Tensor) -> Quadratic:
        """The posterior mean of a Gaussian process whose draws are quadratics, Eq. (40).

        Of three such processes, the one of the largest marginal likelihood.

        Arguments:
            points: With shape (n, F).
            costs: With shape (n,).
            weights: Inverse noise variances up to a factor, with shape (n,).
            axes: Columns (F, F) of unit length; along each, curvature may have its own value.
        """
        mean = (weights * costs).sum() / weights.sum()
        scale = ((weights * (costs - mean).square()).sum() / weights.sum()).sqrt() + TINY
        root = weights.sqrt()
        length = points.square().sum(1).mean().clamp_min(TINY)
        values = (costs - mean) / scale * root
        tried = [
            (*_most_likely(kernel * root[:, None] * root, values), curvature)
            for curvature, kernel in _kernels(points, length, axes)
        ]
        _, dual, curvature = max(tried, key=lambda one: one[0])
        dual = 2 / length * scale * root * dual
        hessian = torch.diag((dual @ points.square().sum(1) / length).expand(len(axes)))
        if curvature == "axes":
            own = dual @ (points @ axes).square()
            hessian = hessian + len(axes) / length * (axes * own) @ axes.T
        elif curvature == "any":
            hessian = hessian + (points.T * dual) @ points / length
        return cls(dual @ points, hessian)


def _kernels(points: Tensor, length: Tensor, axes: Tensor) -> Iterator[tuple[Curvature, Tensor]]:
    """Covariances (n, n) of quadratics' values, by the curvature that they expect."""
    products, squares = points @ points.T / length, points.square().sum(1) / length
    own = (points @ axes).square() / length
    round_ = 1 + 2 * products + squares[:, None] * squares
    yield "round", round_
    yield "axes", round_ + len(axes) * own @ own.T
    yield "any", round_ + products.square()


def _most_likely(kernel: Tensor, values: Tensor) -> tuple[float, Tensor]:
    """The largest marginal likelihood of all noise levels, and there (kernel + noise)^{-1} values."""
    best, found = -torch.inf, torch.zeros_like(values)
    prior = kernel.diagonal().mean()
    for level in NOISE_LEVELS:
        noisy = kernel.clone()
        noisy.diagonal().add_(level * prior)
        factor, failed = torch.linalg.cholesky_ex(noisy)
        if int(failed):
            continue
        dual = torch.cholesky_solve(values[:, None], factor)[:, 0]
        amplitude = (values @ dual / len(values)).clamp_min(TINY)
        evidence = -0.5 * len(values) * amplitude.log() - factor.diagonal().log().sum()
        if float(evidence) > best:
            best, found = float(evidence), dual
    return best, found

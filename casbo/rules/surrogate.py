r"""A model of the score over the samples: where would a quadratic say to look next?

The noise has K D coordinates, a sample often far fewer. Two regressions on what was scored before
cost no query: samples as an affine function of the whitened noise, and costs as a quadratic
function of the samples. Together they are a quadratic of the noise, to be minimised inside a ball.
See docs/method.md, equations (39) to (41).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from casbo.rules.base import TINY

#: Noise levels that the costs' regression chooses from, in units of its prior variance.
NOISE_LEVELS = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1)
RESPONSE_RIDGE = 1e-6


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
    def through(cls, points: Tensor, costs: Tensor, weights: Tensor) -> Quadratic:
        """The posterior mean of a Gaussian process whose draws are quadratics, Eqs. (40), (41).

        Arguments:
            points: With shape (n, F).
            costs: With shape (n,).
            weights: Inverse noise variances up to a factor, with shape (n,).
        """
        mean = (weights * costs).sum() / weights.sum()
        scale = ((weights * (costs - mean).square()).sum() / weights.sum()).sqrt() + TINY
        root = weights.sqrt()
        length = points.square().sum(1).mean().clamp_min(TINY)
        squares = points.square().sum(1) / length
        kernel = (1 + points @ points.T / length).square() + squares[:, None] * squares
        dual = _most_likely(kernel * root[:, None] * root, (costs - mean) / scale * root)
        dual = scale * root * dual
        gradient = 2 / length * (dual @ points)
        hessian = 2 / length.square() * (points.T * dual) @ points
        hessian.diagonal().add_(2 / length * (dual @ squares))
        return cls(gradient, hessian)


def _most_likely(kernel: Tensor, values: Tensor) -> Tensor:
    """(kernel + noise)^{-1} values at the noise level of the largest marginal likelihood."""
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
    return found


@dataclass(frozen=True)
class Response:
    """Samples as affine functions of the whitened noise v: x = centre + slope^T v.

    Arguments:
        centre: With shape (S, F): S scored steps of F coordinates.
        slope: With shape (C, S, F), C being the coordinates of the noise.
    """

    centre: Tensor
    slope: Tensor

    @classmethod
    def through(cls, noise: Tensor, samples: Tensor) -> Response:
        """Ridge regression in which near candidates weigh more, Eq. (39).

        Arguments:
            noise: Whitened around the present mean, with shape (n, C).
            samples: With shape (n, S, F).
        """
        n, C = noise.shape
        affine = torch.cat([noise, noise.new_full((n, 1), C**0.5)], 1)
        near = (C / noise.square().sum(1).clamp_min(TINY)).clamp_max(1.0)
        targets = samples.flatten(1)
        if n <= C:
            gram = affine @ affine.T
            gram.diagonal().add_(RESPONSE_RIDGE * gram.diagonal().mean() / near)
            slope = affine.T @ torch.linalg.solve(gram, targets)
        else:
            weighted = affine.T * near
            gram = weighted @ affine
            gram.diagonal().add_(RESPONSE_RIDGE * gram.diagonal().mean())
            slope = torch.linalg.solve(gram, weighted @ targets)
        slope = slope.reshape(C + 1, *samples.shape[1:])
        return cls(slope[-1] * C**0.5, slope[:-1])

    def whitening(self) -> Tensor:
        """W (F, F) such that x W has unit covariance, averaged over the S steps, for v ~ N(0, I).

        The coordinates in which a quadratic that the Gaussian has adapted to is round.
        """
        flat = self.slope.flatten(0, 1)
        covariance = flat.T @ flat / self.slope.shape[1]
        covariance.diagonal().add_(1e-10 * covariance.diagonal().mean() + TINY)
        factor, _ = torch.linalg.cholesky_ex(covariance)
        unit = torch.eye(len(factor), dtype=factor.dtype)
        inverse: Tensor = torch.linalg.solve_triangular(factor, unit, upper=False)
        return inverse.T

    def times(self, map_: Tensor) -> Response:
        """Of the samples x map_."""
        return Response(self.centre @ map_, self.slope @ map_)

    def pull_back(self, quadratic: Quadratic) -> Quadratic:
        """The sum of a quadratic over the S steps, as a function of v, Eq. (41)."""
        slope = quadratic.gradient + self.centre @ quadratic.hessian
        gradient = torch.einsum("csf,sf->c", self.slope, slope)
        curved = (self.slope @ quadratic.hessian).flatten(1)
        return Quadratic(gradient, curved @ self.slope.flatten(1).T)

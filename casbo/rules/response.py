"""How samples answer to the noise: an affine model of a rollout around the present mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from casbo.covariance import symmetric_root
from casbo.rules.base import TINY
from casbo.rules.surrogate import Quadratic

RIDGE = 1e-6
SMALLEST_NEARNESS = 1e-4


def nearness(points: Tensor) -> Tensor:
    """Weights (n,) of whitened noise (n, C): 1 up to a draw's usual length, then less and less."""
    near: Tensor = points.shape[1] / points.square().sum(1).clamp_min(TINY)
    return near.clamp(SMALLEST_NEARNESS, 1.0)


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
        near = nearness(noise).square()
        targets = samples.flatten(1)
        if n <= C:
            gram = affine @ affine.T
            gram.diagonal().add_(RIDGE * gram.diagonal().mean() / near)
            slope = affine.T @ torch.linalg.solve(gram, targets)
        else:
            weighted = affine.T * near
            gram = weighted @ affine
            gram.diagonal().add_(RIDGE * gram.diagonal().mean())
            slope = torch.linalg.solve(gram, weighted @ targets)
        slope = slope.reshape(C + 1, *samples.shape[1:])
        return cls(slope[-1] * C**0.5, slope[:-1])

    def whitening(self) -> tuple[Tensor, Tensor]:
        """W (F, F) such that x W has unit covariance, averaged over the S steps, for v ~ N(0, I).

        The coordinates in which a quadratic that the Gaussian has adapted to is round. And axes:
        columns (F, F) of unit length whose products with a whitened sample are the sample's own
        coordinates, each up to a factor.
        """
        flat = self.slope.flatten(0, 1)
        covariance = flat.T @ flat / self.slope.shape[1]
        covariance.diagonal().add_(1e-10 * covariance.diagonal().mean() + TINY)
        if not bool(covariance.isfinite().all()):
            return covariance, covariance  # of no use, as what is made of them shows
        root, inverse = symmetric_root(covariance)
        return inverse, root / root.norm(dim=0)

    def of(self, noise: Tensor) -> Tensor:
        """The samples (n, S, F) of whitened noise (n, C)."""
        return self.centre + torch.einsum("nc,csf->nsf", noise, self.slope)

    def times(self, map_: Tensor) -> Response:
        """Of the samples x map_."""
        return Response(self.centre @ map_, self.slope @ map_)

    def in_span(self) -> tuple[Tensor, Response]:
        """The noise that samples answer to: an orthonormal basis (C, P), and the response to P.

        What minimises a function of the samples inside a ball of noise lies in that span.
        """
        C, S, F = self.slope.shape
        if S * F >= C:
            return torch.eye(C).to(self.slope), self
        basis, slope = torch.linalg.qr(self.slope.flatten(1))
        return basis, Response(self.centre, slope.reshape(S * F, S, F))

    def pull_back(self, quadratic: Quadratic) -> Quadratic:
        """The sum of a quadratic over the S steps, as a function of v, Eq. (41)."""
        slope = quadratic.gradient + self.centre @ quadratic.hessian
        gradient = torch.einsum("csf,sf->c", self.slope, slope)
        curved = (self.slope @ quadratic.hessian).flatten(1)
        return Quadratic(gradient, curved @ self.slope.flatten(1).T)

"""What the covariance types share: the matrix A of an update, and bounds on variances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from casbo.covariance.base import Form

#: Smallest eigenvalue of A: the eigenvalues of beta M are clipped from below at -0.9.
SMALLEST_FACTOR = 0.1
#: Variances stay between these: a collapsed Gaussian must not become a division by zero.
SMALLEST_VARIANCE, LARGEST_VARIANCE = 1e-24, 1e24


def plus_identity(matrix: Tensor, factor: float | Tensor) -> Tensor:
    """matrix + factor I with shape (G, n, n); the factor is one number or has shape (G,)."""
    total = matrix.clone()
    total.diagonal(dim1=-2, dim2=-1).add_(
        factor[:, None] if isinstance(factor, Tensor) else factor
    )
    return total


def symmetric(matrix: Tensor) -> Tensor:
    """The symmetric part."""
    return 0.5 * (matrix + matrix.mT)


def clipped(inner: Tensor) -> Tensor:
    """A with shape (G, n, n), its eigenvalues clipped from below: Eq. (7).

    Trace and Frobenius norm, or else one Cholesky decomposition, find out whether there is
    anything to clip. Eigenvalues that rounding could make negative are clipped too.
    """
    inner = symmetric(inner)
    n = inner.shape[-1]
    trace = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
    rounding = n * torch.finfo(inner.dtype).eps
    if bool((trace * rounding <= SMALLEST_FACTOR).all()):
        # no eigenvalue lies further below their mean: Samuelson, J. Am. Stat. Assoc. 63, 1968
        around = inner.square().sum((1, 2)) - trace.square() / n
        least = trace / n - ((n - 1) / n * around).clamp_min(0).sqrt()
        if bool((least > 2 * SMALLEST_FACTOR).all()):
            return inner
        _, failures = torch.linalg.cholesky_ex(plus_identity(inner, -SMALLEST_FACTOR))
        if not bool(failures.any()):
            return inner
    eigenvalues, vectors = torch.linalg.eigh(inner)
    floor = (eigenvalues[:, -1:] * rounding).clamp_min(SMALLEST_FACTOR)
    return symmetric((vectors * eigenvalues.maximum(floor)[:, None, :]) @ vectors.mT)


def symmetric_root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The symmetric root (n, n) of a positive semi-definite matrix, and that root's inverse."""
    variances, directions = torch.linalg.eigh(symmetric(matrix))
    root = variances.clamp_min(torch.finfo(variances.dtype).tiny).sqrt()
    return (directions * root) @ directions.T, (directions / root) @ directions.T


def power(inner: Tensor, form: Form) -> Tensor:
    """A or A^{-1}, for form "covariance" or "precision", from a positive-definite A."""
    if form == "covariance":
        return inner
    inverse: Tensor = torch.cholesky_inverse(torch.linalg.cholesky(inner))
    return inverse


def pulled_variance(variance: Tensor, keep: float) -> Tensor:
    """Variances pulled to 1."""
    return variance / (keep + (1 - keep) * variance)  # Eq. (8)


def scaled_variance(variance: Tensor, factor: float | Tensor) -> Tensor:
    """Variances (G, n) times factor^2; the factor is one number or has shape (G,)."""
    squared = factor[:, None].square() if isinstance(factor, Tensor) else math.pow(factor, 2)
    return bounded(variance * squared)


def bounded(variance: Tensor) -> Tensor:
    """Variances between the smallest and the largest."""
    return variance.clamp(SMALLEST_VARIANCE, LARGEST_VARIANCE)

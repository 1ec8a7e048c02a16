r"""Covariance types: G Gaussians' covariances Sigma = R R^T behind one interface.

All updates happen in whitened coordinates z = R^{-1} (u - mu),

    Sigma' = R A^{-1} R^T  (precision form)   or   Sigma' = R A R^T  (covariance form),
    A = (1 + shift) I + sum_j c_j z_j z_j^T,   eigenvalues of A kept at or above 0.1,

so no inverse of Sigma is ever formed and Sigma' is positive definite whatever the weights are.
The root R is the symmetric one, Sigma^{1/2}, for every type but `Full` in many coordinates: types
that hold the same covariance then turn the same whitened draws into the same noise.
See docs/method.md, equations (5) to (9). All eigen- and QR decompositions of the project are here.
"""

from __future__ import annotations

from casbo.covariance.algebra import SMALLEST_FACTOR, symmetric_root
from casbo.covariance.ball import minimum_in_ball
from casbo.covariance.base import Covariance, Form, Statistics
from casbo.covariance.diagonal import Diagonal
from casbo.covariance.divergence import kl_to_standard
from casbo.covariance.full import Full
from casbo.covariance.isotropic import Isotropic
from casbo.covariance.low_rank import LowRank
from casbo.covariance.span import orthonormal

COVARIANCES: dict[str, type[Covariance]] = {
    "full": Full,
    "low_rank": LowRank,
    "diagonal": Diagonal,
    "isotropic": Isotropic,
}

__all__ = [
    "COVARIANCES",
    "SMALLEST_FACTOR",
    "Covariance",
    "Diagonal",
    "Form",
    "Full",
    "Isotropic",
    "LowRank",
    "Statistics",
    "kl_to_standard",
    "minimum_in_ball",
    "orthonormal",
    "symmetric_root",
]

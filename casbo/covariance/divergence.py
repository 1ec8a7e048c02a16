"""How far controls are from the model as it was trained."""

from __future__ import annotations

from torch import Tensor

from casbo.covariance.base import Covariance


def kl_to_standard(mean: Tensor, covariance: Covariance, scales: Tensor) -> Tensor:
    """KL(N(s mu, s Sigma s) || N(0, I)) in nats, with shape (G,).

    Arguments:
        mean: With shape (G, m).
        covariance: Of G Gaussians in m coordinates.
        scales: The factors s, broadcastable to (G, m).
    """
    scales = scales.expand(covariance.shape)
    squares = ((scales * mean).square() + scales.square() * covariance.variances()).sum(-1)
    logdet = covariance.logdet() + 2 * scales.log().sum(-1)
    return 0.5 * (squares - mean.shape[-1] - logdet)  # Eq. (9)

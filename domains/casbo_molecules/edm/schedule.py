r"""The variance-preserving noise schedule, and reverse steps between any two of its times.

A state at time t is :math:`z_t = \alpha_t x + \sigma_t \epsilon`, with
:math:`\alpha_t^2 = \mathrm{sigmoid}(-\gamma_t)` and :math:`\sigma_t^2 = \mathrm{sigmoid}(\gamma_t)`
(Hoogeboom et al. 2022, arXiv 2203.17003, section 2.1 and appendix B). Everything here is a handful
of numbers, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def polynomial_gamma(steps: int, power: int, precision: float) -> np.ndarray:
    """gamma (T + 1,) of alpha^2 = (1 - (t/T)^power)^2, kept off 0 and 1 by ``precision``."""
    fractions = np.linspace(0.0, 1.0, steps + 1)
    squares = (1 - fractions**power) ** 2
    ratios = squares / np.concatenate([[1.0], squares[:-1]])
    squares = np.cumprod(np.clip(ratios, 0.001, 1.0))  # no single step destroys everything
    squares = precision + (1 - 2 * precision) * squares
    return np.log1p(-squares) - np.log(squares)


@dataclass(frozen=True)
class ReverseStep:
    """From z_t to z_s: z_s = ``keep`` z_t + ``drift`` eps + ``up`` noise, eps the prediction.

    Parameters
    ----------
    time
        t / T, what the network is told.
    alpha, sigma
        Of time t.
    keep, drift, up
        The coefficients; ``up`` is the standard deviation of fresh noise.
    """

    time: float
    alpha: float
    sigma: float
    keep: float
    drift: float
    up: float


class NoiseSchedule:
    """alpha and sigma at the times 0 .. T.

    Parameters
    ----------
    gamma
        The T + 1 values of the negative log signal-to-noise ratio, time 0 first.
    """

    def __init__(self, gamma: Sequence[float] | np.ndarray) -> None:
        self.gamma = np.asarray(gamma, dtype=np.float64)
        self.steps = len(self.gamma) - 1

    def alpha(self, time: int) -> float:
        """What the clean state is multiplied by."""
        return math.exp(-0.5 * _softplus(self.gamma[time]))

    def sigma(self, time: int) -> float:
        """The standard deviation of the noise."""
        return math.exp(-0.5 * _softplus(-self.gamma[time]))

    def reverse_step(self, time: int, following: int, eta: float = 1.0) -> ReverseStep:
        r"""The step from t = ``time`` to s = ``following`` < t.

        With :math:`\alpha_{t|s} = \alpha_t/\alpha_s` and
        :math:`\sigma_{t|s}^2 = \sigma_t^2 - \alpha_{t|s}^2 \sigma_s^2`, the posterior has the
        standard deviation :math:`\sigma_{t|s} \sigma_s/\sigma_t` (arXiv 2203.17003, eq. 4); ``eta``
        is the share of it that is drawn afresh, the rest is kept from the predicted noise, which
        leaves the law of z_s as it is (DDIM, Song et al. 2020, arXiv 2010.02502, eq. 12):
        z_s = alpha_s x + sqrt(sigma_s^2 - up^2) eps + up noise, x = (z_t - sigma_t eps)/alpha_t.
        """
        alpha, sigma, sigma_s = self.alpha(time), self.sigma(time), self.sigma(following)
        log_ratio = _softplus(self.gamma[following]) - _softplus(self.gamma[time])
        ratio = math.exp(0.5 * log_ratio)  # alpha_{t|s}
        spread = math.sqrt(-math.expm1(log_ratio))  # sigma_{t|s}
        up = eta * spread * sigma_s / sigma
        drift = math.sqrt(max(sigma_s**2 - up**2, 0.0)) - sigma / ratio
        return ReverseStep(time / self.steps, alpha, sigma, 1 / ratio, drift, up)


def _softplus(value: float) -> float:
    return float(np.logaddexp(0.0, value))

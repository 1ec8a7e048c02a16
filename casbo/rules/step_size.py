r"""The step size of the default rule: one factor on sigma an iteration, from two sources.

Linearity: while the score changes more between mirrored candidates than among pair means, the
landscape is straight at the present scale and sigma may grow. Success: while a population ranks
well ahead of the one before it, sigma may grow, otherwise it shrinks. Both take a noisy score for
a finished search, so both are weakened by how much of the score is linear in the noise at all.
See docs/method.md, equations (33) to (37).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from casbo.credit import Costs
from casbo.rules.base import TINY
from casbo.rules.relevance import odd_part, signal
from casbo.rules.remembered import Remembered

LOG_CHANGE_LIMIT = 0.15
LINEARITY_RATE = 0.1
SUCCESS_RATE = 0.3
SUCCESS_TARGET = 0.25
#: A straight score without noise gives more than this.
FULL_SUCCESS = 0.4
SMALLEST_THRESHOLD = 1.25
RELIABILITY_RATE = 0.1
#: The share of linear signal is 1 before it is measured, with this variance.
PRIOR_VARIANCE = 0.25
SMALLEST_RELIABILITY = 0.05


@dataclass(frozen=True)
class StepSize(Remembered):
    """What the step-size rule remembers; all float64 on the CPU.

    Arguments:
        sigma: The step size, 1 at the start, a scalar.
        success: Averaged success, a scalar.
        linear: Averaged estimate of the linear share of the score's variance, a scalar.
        iterations: Populations seen, a scalar.
        previous: Total costs of the previous population, with shape (N,); NaN at the start.
    """

    sigma: Tensor
    success: Tensor
    linear: Tensor
    iterations: Tensor
    previous: Tensor

    prefix: ClassVar[str] = "step"

    @classmethod
    def start(cls, population: int, success: float = 0.0) -> StepSize:
        """Before the first population of N candidates."""
        zero = torch.zeros((), dtype=torch.float64)
        previous = torch.full((population,), torch.nan, dtype=torch.float64)
        return cls(zero + 1, zero + success, zero, zero, previous)

    def updated(
        self, draws: Tensor, credit: Tensor, costs: Costs, mass: float, limits: tuple[float, float]
    ) -> tuple[StepSize, float]:
        """The next state and the factor on sigma.

        Arguments:
            draws: Whitened draws of the first half, with shape (P, R, m).
            credit: Each draw's credit f with shape (N, R).
            costs: The population's costs.
            mass: M, the effective number of candidates of the signed rank weights.
            limits: Smallest and largest sigma.
        """
        total = costs.values.sum(1)
        linear, reliability = self._reliability(total, draws)
        straight = linearity(credit, draws.shape[1] * draws.shape[2], mass)
        judged = replace(self, linear=linear).judged(costs, SUCCESS_TARGET * reliability**0.25)
        return judged._times(0.5 * straight * math.sqrt(reliability), limits)

    @property
    def success_share(self) -> float:
        """How much of the success that a score without noise allows there is, in [0, 1]."""
        return min(max(float(self.success) / FULL_SUCCESS, 0.0), 1.0)

    def by_success(
        self, reliability: float, limits: tuple[float, float]
    ) -> tuple[StepSize, float]:
        """The next state and the factor on sigma, from what `judged` has averaged, Eq. (45)."""
        return self._times(-0.5 * SUCCESS_TARGET * reliability, limits)

    def judged(self, costs: Costs, target: float = 0.0) -> StepSize:
        """With the population compared with the one before it; success is what exceeds a target."""
        total, success = costs.values.sum(1), self.success
        ranked = torch.where(costs.failed, torch.full_like(total, torch.inf), total)
        if not bool(self.previous.isnan().any()):
            gain = rank_gain(self.previous, ranked) - target
            success = torch.lerp(success, torch.full_like(success, gain), SUCCESS_RATE)  # Eq. (36)
        return replace(self, success=success, iterations=self.iterations + 1, previous=ranked)

    def _times(self, growth: float, limits: tuple[float, float]) -> tuple[StepSize, float]:
        """With the next sigma, and the factor on it, Eq. (37)."""
        sigma = (self.sigma * math.exp(growth + 0.5 * float(self.success))).clamp(*limits)
        return replace(self, sigma=sigma), float(sigma / self.sigma)

    def _reliability(self, total: Tensor, draws: Tensor) -> tuple[Tensor, float]:
        """Share of the score's variance that is linear in all draws together, Eqs. (34), (35)."""
        flat = draws.flatten(1).unsqueeze(1)
        seen = signal(odd_part(total[:, None]), flat)[0, 0]
        linear = torch.lerp(self.linear, seen, RELIABILITY_RATE)
        decay = 1 - RELIABILITY_RATE
        total_weight = 1 - decay ** (float(self.iterations) + 1)
        squared_weight = (1 - decay ** (2 * (float(self.iterations) + 1))) / (1 - decay**2)
        averaged = total_weight**2 / (RELIABILITY_RATE**2 * squared_weight)
        variance = 2 * flat.shape[-1] / len(flat) ** 2 / averaged
        known, assumed = 1 / variance, 1 / PRIOR_VARIANCE
        share = (float(linear) / total_weight * known + assumed) / (known + assumed)
        return linear, min(max(share, SMALLEST_RELIABILITY), 1.0)


def linearity(credit: Tensor, coordinates: int, mass: float) -> float:
    """Log-change of sigma from odd against even parts of mirrored pairs, Eq. (33).

    Arguments:
        credit: f with shape (N, R), candidate p + N/2 being the mirror image of p.
        coordinates: R m, all coordinates learned.
        mass: M, the effective number of candidates of the signed rank weights.
    """
    pairs = len(credit) // 2
    odd = odd_part(credit).abs()
    even = 0.5 * (credit[:pairs] + credit[pairs:])
    straight = odd.median(0).values.clamp_min(TINY)
    curved = (even - even.median(0).values).abs().median(0).values.clamp_min(TINY)
    threshold = max(SMALLEST_THRESHOLD, 1.5 * math.sqrt(2 * coordinates) / mass)
    change = LINEARITY_RATE * (straight.log() - curved.log() - math.log(threshold))
    return float(change.clamp(-LOG_CHANGE_LIMIT, LOG_CHANGE_LIMIT).mean())


def rank_gain(previous: Tensor, current: Tensor) -> float:
    """(Mean rank of previous costs - mean rank of current ones) / N in their union, in [-1, 1]."""
    # each pair of an old and a new candidate moves both mean ranks by 1/N
    ahead = (current[:, None] < previous[None]).double().mean()
    behind = (current[:, None] > previous[None]).double().mean()
    return float(ahead - behind)

r"""The schedule under which convergence is proved: Theorem 4.4 of CASBO (arXiv 2406.00812).

In iteration t = 1, 2, ... the mean's step, the precision's step and the pull of the mean are

.. math:: \beta_t = t \beta, \quad \alpha_t = \sqrt{t + 1}\, \alpha, \quad
    \gamma_t = \alpha \nu / (\beta \sqrt{t + 1}), \quad \omega_t = 1.

The precision grows like t^{3/2}, faster than the mean's step, so the mean's effective step
beta_t Sigma_t shrinks like 1 / sqrt(t): the average regret is O(m^2 / sqrt(T)) on convex costs,
smooth or not. What the sequences are taken to mean, and the proof: docs/theory.md, equations (T1)
to (T10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from casbo.covariance import Covariance, Statistics
from casbo.credit import Costs, score_to_go
from casbo.rules.base import State, check_options
from casbo.rules.mirror import mean_step
from casbo.rules.remembered import Remembered

#: Share of nu that every direction's precision grows by, whatever was seen: Eq. (T4).
FLOOR = 0.5
#: Costs this many units from their mean are cut off: a gradient stays finite.
LARGEST_SLOPE = 1e6


@dataclass(frozen=True)
class TheoremSchedule:
    """Theorem 4.4's sequences and the step that they make.

    Arguments:
        alpha: Of the precision's step alpha_t.
        beta: Of the mean's step beta_t, for costs in units of the first population's standard
            deviation.
        nu: The most that a unit precision step adds to any direction.
    """

    alpha: float = 1.0
    beta: float = 2.0
    nu: float = 1.0

    def __post_init__(self) -> None:
        check_options(
            alpha=(self.alpha, 1e-6, 1e6), beta=(self.beta, 1e-6, 1e6), nu=(self.nu, 1e-6, 1e6)
        )

    def mean_step(self, t: int) -> float:
        """beta_t of the iteration t = 1, 2, ..."""
        return t * self.beta

    def precision_step(self, t: int) -> float:
        """alpha_t of the iteration t = 1, 2, ..."""
        return math.sqrt(t + 1) * self.alpha

    def pull(self, t: int) -> float:
        """gamma_t of the iteration t = 1, 2, ...: nu alpha_t / beta_{t+1}, Eq. (T5)."""
        return self.alpha * self.nu / (self.beta * math.sqrt(t + 1))

    def bounds(self, t: int) -> tuple[float, float]:
        """kappa and nu: the least and the most that H_t is in any direction, Eq. (T4)."""
        return FLOOR * self.nu, self.nu

    def bound(self, T: int, coordinates: int, lipschitz: float, squared_distance: float) -> float:
        """What the expected average regret after T iterations cannot exceed, Eq. (T10).

        Arguments:
            T: At least 1.
            coordinates: d, of all Gaussians together.
            lipschitz: L of the cost as a function of all noise, in the schedule's unit.
            squared_distance: Squared norm of the best noise.
        """
        floor, nu = self.bounds(1)
        growth = min(1.0, 2 / 3 * self.alpha * floor)
        start = squared_distance / (2 * self.beta * T)
        pull = squared_distance * self.alpha * nu / self.beta
        noise = lipschitz**2 * coordinates * (coordinates + 2) * self.beta / growth
        spread = 4 * lipschitz * math.sqrt(coordinates / growth)
        return start + (pull + noise) / math.sqrt(T) + spread / math.pow(T, 0.75)

    def step(
        self, state: State, draws: Tensor, slopes: Tensor, curvatures: Tensor, t: int
    ) -> State:
        """The state of iteration t + 1.

        Arguments:
            state: The state of iteration t; its memory is handed on.
            draws: z with shape (J, G, m).
            slopes: With shape (J, G), so that their sum over z is Sigma^{1/2} g.
            curvatures: Not negative, with shape (J, G): weights of z z^T.
            t: 1, 2, ...
        """
        beta = self.mean_step(t)
        keep = 1 / (1 + beta * self.pull(t))
        mean = mean_step(state, draws, slopes, beta, keep)  # Eq. (T2)
        return State(mean, self._grown(state.covariance, draws, curvatures, t), state.memory)

    def _grown(self, covariance: Covariance, draws: Tensor, weights: Tensor, t: int) -> Covariance:
        """Sigma'^{-1} = Sigma^{-1} + alpha_t H_t, Eqs. (T3), (T4)."""
        alpha, (floor, cap) = self.precision_step(t), self.bounds(t)
        # the largest eigenvalue of a positive matrix is at most its trace
        trace = (weights * covariance.gradient(draws).square().sum(-1)).sum(0)
        share = torch.where(trace > 0, (cap - floor) / trace, torch.ones_like(trace)).clamp_max(1)
        statistics = Statistics(draws, alpha * share * weights, torch.zeros_like(trace))
        keep = 1 / (1 + alpha * floor)
        # a pull is keep (Sigma^{-1} + alpha floor I); scaling takes the factor back
        return covariance.updated(statistics, "precision").pulled(keep).scaled(math.sqrt(keep))


@dataclass(frozen=True)
class Progress(Remembered):
    """What the schedule remembers between iterations; float64 on the CPU.

    Arguments:
        iteration: Populations learned from.
        unit: Standard deviation of the first population's total cost; 0 before it is known.
    """

    iteration: Tensor
    unit: Tensor

    prefix: ClassVar[str] = "schedule"

    def after(self, costs: Costs) -> Progress:
        """With one population more."""
        spread = costs.values.sum(1).std(correction=0)
        return Progress(self.iteration + 1, self.unit if self.unit > 0 else spread)

    def slopes(self, costs: Costs, first_steps: tuple[int, ...]) -> Tensor:
        """Weights (N, R) of an unbiased gradient, for costs in units that never change, Eq. (T6).

        Unlike the shapings of `casbo.credit` they keep the size of the gradient: the theorem is
        about steps that shrink, and a population's own range shrinks with its Sigma.
        """
        togo = score_to_go(costs.values, first_steps)
        if not self.unit > 0:
            return torch.zeros_like(togo)
        centred = (togo - togo.mean(0)) / self.unit
        return centred.clamp(-LARGEST_SLOPE, LARGEST_SLOPE) / (len(togo) - 1)

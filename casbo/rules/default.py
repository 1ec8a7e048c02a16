r"""The rule `default`: mirrored whole trajectories, signed log-rank weights, adaptive step size.

A multi-Gaussian relative of the CMA evolution strategy (Hansen, arXiv 1604.00772): one step size
sigma for all Gaussians, Sigma_g = sigma^2 C_g, each C_g with its own active rank-mu and rank-one
update, partly pooled over the Gaussians; each Gaussian ranks candidates by its own relevance-
weighted score-to-go. Where noise is kept on its shell, candidates are independent and sigma only
shrinks. See docs/method.md, equations (22) to (38) and (45).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from casbo.controls import NoiseNorm
from casbo.covariance import Covariance, Statistics
from casbo.credit import Costs, by_rank
from casbo.rules.base import TINY, Rule, Setting, State, by_gaussian, check_options, like
from casbo.rules.proposals import Proposals
from casbo.rules.relevance import RATE, signal, wiener
from casbo.rules.sampled import Sampled
from casbo.rules.signal_share import SignalShare, explored_share
from casbo.rules.step_size import FULL_SUCCESS, StepSize
from casbo.spaces import Layout

#: Coordinates of one Gaussian above which noise stays on its shell unless told otherwise.
LARGEST_FREE = 512
#: Steps of the mean on the shell, where only its direction counts: longest, and without signal.
LONGEST_STEP, SHORTEST_STEP = 1.5, 0.5


@dataclass(frozen=True)
class RankWeights:
    """Signed log-rank weights for N candidates, best first.

    Arguments:
        signed: u with shape (N,): half the normalised positive weights minus their mirror image.
        positive: w+ with shape (N,), summing to 1.
        negative: w- with shape (N,), summing to 1, for the worse half.
    """

    signed: Tensor
    positive: Tensor
    negative: Tensor

    @classmethod
    @cache
    def of(cls, population: int) -> RankWeights:
        """The weights of Eq. (25)."""
        ranks = torch.arange(1, population + 1, dtype=torch.float64)
        raw = math.log((population + 1) / 2) - ranks.log()
        positive = raw.clamp_min(0) / raw.clamp_min(0).sum()
        negative = raw.clamp_max(0) / raw.clamp_max(0).sum()
        return cls(0.5 * (positive - positive.flip(0)), positive, negative)

    @property
    def all(self) -> Tensor:
        """Signed, positive and negative ones, with shape (3, N)."""
        return torch.stack([self.signed, self.positive, self.negative])

    @property
    def positive_mass(self) -> float:
        """mu_w = 1 / sum of squares of w+: how many candidates the better half counts for."""
        return 1 / float(self.positive.square().sum())

    @property
    def signed_mass(self) -> float:
        """M = 1 / sum of squares of u."""
        return 1 / float(self.signed.square().sum())


@dataclass(frozen=True)
class Rates:
    """Learning rates of the covariance: rank-one, rank-mu, path; and the negative weights' mass."""

    one: float
    mu: float
    path: float
    negative: float

    @classmethod
    def of(cls, weights: RankWeights, covariance: Covariance, pooled: int) -> Rates:
        """CMA's rates (arXiv 1604.00772, Table 1), (m + 2)^2 read as (m + 2)(width + 2)."""
        m, width = covariance.shape[1], covariance.width
        mass = weights.positive_mass
        one = 2 / ((m + 1.3) * (width + 1.3) + mass)  # Eq. (29)
        mass_mu = mass * (1 + 0.3 * (pooled - 1))
        mu = 2 * (mass_mu - 2 + 1 / mass_mu) / ((m + 2) * (width + 2) + mass_mu)  # Eq. (30)
        mu = max(min(0.9, 1 - one, mu), 1e-12)
        path = (4 + mass / m) / (m + 4 + 2 * mass / m)
        mass_negative = 1 / float(weights.negative.square().sum())
        negative = min(1 + one / mu, 1 + 2 * mass_negative / (mass + 2), (1 - one - mu) / (m * mu))
        return cls(one, mu, path, max(negative, 0.0))


@dataclass(frozen=True)
class Default(Rule):
    """The default rule.

    Arguments:
        prior_pull: rho, the weight of the pull to the prior, per iteration.
        pooling: Share of the covariance update that all Gaussians have in common; without
            effect on `LowRank`, which cannot pool.
        sigma_floor: Smallest step size, in units of the starting one: keeps exploring.
        sigma_ceiling: Largest step size, in the same units; None for no limit. It is 1 where the
            noise norm is projected.
        surrogate: Let a model of the score propose two candidates of a population where samples
            are told and have few coordinates: see `casbo.rules.proposals`.
    """

    prior_pull: float = 0.0
    pooling: float = 0.3
    sigma_floor: float = 0.0
    sigma_ceiling: float | None = None
    surrogate: bool = True

    def __post_init__(self) -> None:
        check_options(
            prior_pull=(self.prior_pull, 0, 1e12),
            pooling=(self.pooling, 0, 1),
            sigma_floor=(self.sigma_floor, 0, 1),
            sigma_ceiling=(1.0 if self.sigma_ceiling is None else self.sigma_ceiling, 1, math.inf),
        )

    def norm(self, layout: Layout) -> NoiseNorm:
        return "free" if layout.coordinates <= LARGEST_FREE else "project"

    def mirrors(self, setting: Setting) -> bool:
        return setting.noise_norm == "free"

    def uses_samples(self, setting: Setting) -> bool:
        return self.surrogate and Proposals.possible(setting)

    def propose(self, state: State, setting: Setting) -> Tensor | None:
        if not self.uses_samples(setting):
            return None
        proposals = Proposals.of(state.memory)
        return proposals.made(state, setting) if proposals.due else None

    def memory(self, setting: Setting, like: Tensor) -> dict[str, Tensor]:
        free = self.mirrors(setting)
        return {
            "path": torch.zeros_like(like),
            "signal": torch.zeros(setting.layout.draws, setting.steps, dtype=torch.float64),
            **StepSize.start(setting.population, 0.0 if free else FULL_SUCCESS).tensors(),
            **({} if free else SignalShare.zeros().tensors()),
            **(Proposals.start(setting).tensors() if self.uses_samples(setting) else {}),
        }

    def update(self, state: State, draws: Tensor, costs: Costs, setting: Setting) -> State:
        proposals = Proposals.of(state.memory) if self.uses_samples(setting) else None
        if self.mirrors(setting):
            seen = Sampled.of(draws, costs, proposed=proposals is not None and proposals.due)
        else:
            seen = Sampled(draws[:0], draws, costs)
        signal_, credit = self._credit(state, seen, setting)
        ranked = by_rank(RankWeights.of(setting.population).all, credit, seen.costs.failed)
        signed = seen.folded(ranked[0], seen.clip, -1)
        count = setting.layout.draws // setting.layout.groups
        vectors = by_gaussian(seen.vectors, setting.layout).transpose(0, 1)
        moves = by_gaussian(like(signed, draws), setting.layout).T[:, None] @ vectors
        step = state.covariance.color(moves.transpose(0, 1))[0] / count  # Eq. (27)
        path, statistics = self._statistics(
            state, setting, seen, step=step, signed=signed, ranked=ranked
        )
        if self.mirrors(setting):
            mean, change, sizes = self._freely(state, seen, setting, step=step, credit=credit)
        else:
            mean, change, sizes = self._on_shell(state, costs, step)
        covariance = state.covariance.updated(statistics, "covariance").scaled(change)  # Eq. (32)
        memory = {"path": path, "signal": signal_, **sizes}
        if proposals is not None:
            proposals, outstanding = proposals.updated(state, seen)
            mean = mean if outstanding is None else outstanding  # Eq. (44)
            memory |= proposals.tensors()
        if self.prior_pull:
            keep = 1 / (1 + self.prior_pull)
            mean = state.covariance.shrink(mean, keep)  # Eq. (38)
            covariance = covariance.pulled(keep)
        return State(mean, covariance, memory)

    def _freely(
        self, state: State, seen: Sampled, setting: Setting, *, step: Tensor, credit: Tensor
    ) -> tuple[Tensor, float, dict[str, Tensor]]:
        """The next mean, the factor on sigma, and what is remembered of step sizes."""
        ceiling = math.inf if self.sigma_ceiling is None else self.sigma_ceiling
        mass = RankWeights.of(setting.population).signed_mass
        chance, limits = credit[: seen.mirrored], (self.sigma_floor, ceiling)
        sizes = StepSize.of(state.memory)
        sizes, change = sizes.updated(seen.half, chance, seen.by_chance, mass, limits)
        return state.mean + step, change, sizes.tensors()

    def _on_shell(
        self, state: State, costs: Costs, step: Tensor
    ) -> tuple[Tensor, float, dict[str, Tensor]]:
        """The same where noise keeps its norm: Eqs. (45), (48) and (49)."""
        explored = explored_share(state)
        usable = costs.values.sum(1)[~costs.failed]
        shares = SignalShare.of(state.memory).updated(explored, usable)
        sizes = StepSize.of(state.memory).judged(costs)
        reliability = max(shares.at(explored), sizes.success_share)
        mean = state.mean + (SHORTEST_STEP + (LONGEST_STEP - SHORTEST_STEP) * reliability) * step
        # the second moment before rescaling stays at least that of N(0, I)
        inside = math.sqrt(max(0.0, 1 - float(mean.square().mean())))
        sizes, change = sizes.by_success(reliability, (max(self.sigma_floor, inside), 1.0))
        return mean, change, sizes.tensors() | shares.tensors()

    @staticmethod
    def _credit(state: State, seen: Sampled, setting: Setting) -> tuple[Tensor, Tensor]:
        """Averaged signal (R, K), and f = relevance-weighted score-to-go (N, R), Eq. (24)."""
        layout, average, values = setting.layout, state.memory["signal"], seen.costs.values
        if seen.costs.terminal:
            return average, values[:, -1:].expand(-1, layout.draws)
        odd, vectors = seen.odd(values)
        average = torch.lerp(average, signal(odd, vectors), RATE)
        weight = 1 - (1 - RATE) ** (float(state.memory["step.iterations"]) + 1)
        weights = wiener(average / weight, layout.first_steps, layout.coordinates / len(vectors))
        return average, values @ weights.T

    def _statistics(
        self,
        state: State,
        setting: Setting,
        seen: Sampled,
        *,
        step: Tensor,
        signed: Tensor,
        ranked: Tensor,
    ) -> tuple[Tensor, Statistics]:
        """The path and what the active rank-mu plus rank-one update is made of."""
        layout, pools, vectors = setting.layout, state.covariance.pools, seen.vectors
        weights = RankWeights.of(setting.population)
        rates = Rates.of(weights, state.covariance, layout.draws if pools and self.pooling else 1)
        count = layout.draws // layout.groups
        # under random ranks, step / sigma has `spread` times the covariance C
        spread = signed.square().sum(0).reshape(layout.groups, count).mean(1) / count
        sigma = like(state.memory["step.sigma"], step)
        size = torch.where(spread > 0, spread.clamp_min(TINY).rsqrt(), 0.0)
        unit = like(size, step)[:, None] * step / sigma
        fresh = math.sqrt(rates.path * (2 - rates.path)) * unit
        path = (1 - rates.path) * state.memory["path"] + fresh  # Eq. (28)
        one = state.covariance.whiten(sigma * path[None])
        _, better, worse = ranked
        negative = rates.negative * seen.folded(worse) * layout.coordinates / seen.lengths.square()
        combined = rates.mu * (seen.folded(better, seen.clip.square()) - negative)  # Eq. (31)
        coefficients = by_gaussian(like(combined, vectors), layout) / count
        statistics = Statistics(
            by_gaussian(vectors, layout),
            torch.cat([coefficients, torch.full_like(coefficients[:1], rates.one)]),
            torch.full_like(coefficients[0], -rates.one - rates.mu * (1 - rates.negative)),
            self.pooling if pools else 0.0,
            further=one,
        )
        return path, statistics

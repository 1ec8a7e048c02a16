r"""Two candidates of a population that a model of the score proposes, instead of chance.

Where the samples that were scored are told and are points of few coordinates, a rule keeps the
latest of them and lets the model of `casbo.rules.surrogate` propose two candidates: one from the
latest costs, one from the best (or, with scores at several steps, from the nearest). How far each
may reach grows and shrinks with its success, and without any the model is asked less often.
See docs/method.md, equations (39) to (44), (46) and (47).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from casbo.covariance import minimum_in_ball
from casbo.credit import Costs
from casbo.rules.base import TINY, Setting, State
from casbo.rules.recurrence import response_of
from casbo.rules.remembered import Remembered
from casbo.rules.response import Response
from casbo.rules.sampled import Sampled
from casbo.rules.surrogate import Quadratic

#: Coordinates of a sample, and of the noise, up to which a model is fitted.
LARGEST_SAMPLE, LARGEST_NOISE = 128, 512
LARGEST_WINDOW, LARGEST_RESPONSE = 400, 600
SMALLEST_POPULATION = 8
#: Candidates whose mean is the origin of the samples' coordinates.
NEWEST = 20
COUNT = 2
#: Costs weigh exp(-RANK_DECAY rank / n) in the regression.
RANK_DECAY = 2.0
SMALLEST_RADIUS, LARGEST_RADIUS = 0.02, 4.0
GROWTH, SHRINKAGE = 1.4, 0.5
#: A proposal succeeds, or fails, by the share of the other candidates that are better.
SUCCESS, FAILURE = 0.1, 0.25
LONGEST_GAP = 4
#: How far below the others' median a proposal must lie to become the mean, in units of how far
#: the best of them does.
OUTSTANDING = 1.5


@dataclass(frozen=True)
class Proposals(Remembered):
    """What is remembered of scored candidates and of the model's luck; float64 on the CPU.

    Arguments:
        noise: Learned coordinates u of the latest candidates, newest first: (n, R, m).
        samples: Their samples at the S scored steps, with shape (n, S, F).
        costs: With shape (n, S).
        radius: How far each proposal may reach, in units of a draw's usual length: (2,).
        wait: Populations until the next proposals, a scalar.
        gap: Populations between the last proposals and these, a scalar.
    """

    noise: Tensor
    samples: Tensor
    costs: Tensor
    radius: Tensor
    wait: Tensor
    gap: Tensor

    prefix: ClassVar[str] = "proposals"

    @classmethod
    def start(cls, setting: Setting) -> Proposals:
        """Before the first population."""
        layout = setting.layout
        empty = torch.zeros(0, dtype=torch.float64)
        one = torch.ones((), dtype=torch.float64)
        return cls(
            empty.reshape(0, layout.draws, layout.coordinates),
            empty.reshape(0, 0, 0),
            empty.reshape(0, 0),
            torch.ones(COUNT, dtype=torch.float64),
            one,
            one,
        )

    @staticmethod
    def possible(setting: Setting) -> bool:
        """Whether the setting allows proposals at all; they also need samples to be told."""
        layout = setting.layout
        coordinates = layout.draws * layout.coordinates
        small = coordinates <= LARGEST_NOISE and setting.population >= SMALLEST_POPULATION
        return small and not layout.tied and setting.noise_norm == "free"

    @property
    def due(self) -> bool:
        """Whether the next population has proposals: as candidates 0 and N/2."""
        return len(self.noise) > 0 and float(self.wait) <= 0

    def made(self, state: State, setting: Setting) -> Tensor:
        """The whitened draws of the two proposals, with shape (2, R, m).

        A model that breaks down, on samples or costs too large to square, proposes the mean.
        """
        away = self.noise.to(state.mean) - state.mean
        near = state.covariance.whiten(away).double().cpu()
        rows = min(LARGEST_RESPONSE, 2 * near[0].numel() + 20, len(near))
        samples = self.samples - self.samples[:NEWEST, -1].mean(0)
        response = _response(state, setting, away[:rows], near[:rows], samples[:rows])
        unit, axes = response.whitening()
        basis, response = response.times(unit).in_span()
        points = samples.flatten(0, 1) @ unit
        found = torch.zeros(COUNT, near[0].numel(), dtype=torch.float64)
        for row, chosen in enumerate(self._windows(points)):
            costs = self.costs.flatten()[chosen]
            costs = costs - costs.mean()
            costs = costs / costs.abs().mean().clamp_min(TINY)  # a score's unit is not to matter
            ranks = costs.argsort().argsort().to(costs) / len(costs)
            weights = (-RANK_DECAY * ranks).exp()
            quadratic = Quadratic.through(points[chosen], costs, weights, axes)
            model = response.pull_back(quadratic)
            if model.finite:
                reach = float(self.radius[row]) * math.sqrt(near[0].numel())
                found[row] = basis @ minimum_in_ball(model.gradient, model.hessian, reach)
        return found.reshape(COUNT, *near.shape[1:]).to(state.mean)

    def _windows(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Which points each proposal's model is fitted to."""
        F = points.shape[1]
        parameters = (F + 1) * (F + 2) // 2
        wide = min(LARGEST_WINDOW, int(1.6 * parameters) + 20)
        narrow = min(LARGEST_WINDOW, int(0.6 * parameters) + 20)
        latest = torch.arange(min(3 * narrow, len(points)))
        terminal = self.samples.shape[1] == 1
        order = self.costs.flatten()[latest] if terminal else points[latest].square().sum(1)
        return torch.arange(min(wide, len(points))), latest[order.argsort(stable=True)[:narrow]]

    def updated(self, state: State, seen: Sampled) -> tuple[Proposals, Tensor | None]:
        """The next memory, and a proposal that is to become the mean (G, m), if one stands out.

        Arguments:
            state: The one that the candidates were drawn in.
            seen: The candidates, with their costs.
        """
        following, outstanding = self._judged(seen) if self.due else (self._waiting(), None)
        learned = state.mean + state.covariance.color(seen.draws)
        found = None if outstanding is None else learned[seen.mirrored + outstanding]
        # of a pair, one candidate foretells the other: none is to be held out without it
        pairs = seen.by_pairs
        return following._remembering(
            learned[pairs.to(learned.device)], seen.costs.of(pairs)
        ), found

    def _judged(self, seen: Sampled) -> tuple[Proposals, int | None]:
        """After a population with proposals: Eqs. (43) and (44)."""
        total = torch.where(seen.costs.failed, torch.inf, seen.costs.values.sum(1))
        others, own = total[: seen.mirrored], total[seen.mirrored :]
        ranks = (others < own[:, None]).double().mean(1)
        usual = math.sqrt(seen.single[0].numel())
        lengths = seen.single.flatten(1).norm(dim=1).double().cpu() / usual
        grown = torch.where(
            lengths >= 0.9 * self.radius, self.radius.maximum(GROWTH * lengths), self.radius
        )
        shrunk = SHRINKAGE * self.radius.minimum(lengths)
        radius = torch.where(ranks <= SUCCESS, grown, self.radius)
        radius = torch.where(ranks > FAILURE, shrunk, radius)
        failed = bool((ranks > SUCCESS).all())
        gap = (2 * self.gap).clamp_max(LONGEST_GAP) if failed else torch.ones_like(self.gap)
        following = replace(
            self, radius=radius.clamp(SMALLEST_RADIUS, LARGEST_RADIUS), wait=gap - 1, gap=gap
        )
        usable = others[others.isfinite()]
        best = int(own.argmin())
        if not len(usable) or not bool(own[best].isfinite()):
            return following, None
        middle = usable.median()
        stands_out = middle - own[best] > OUTSTANDING * (middle - usable.min())
        return following, best if bool(stands_out) else None

    def _waiting(self) -> Proposals:
        """After a population without proposals."""
        return replace(self, wait=self.wait - 1)

    def _remembering(self, noise: Tensor, costs: Costs) -> Proposals:
        """With one more population: learned coordinates u (N, R, m), and costs with samples."""
        samples = costs.samples
        if samples is None or not 0 < samples.shape[-1] <= LARGEST_SAMPLE:
            return self
        kept = ~costs.failed & samples.flatten(1).isfinite().all(1)
        told = costs.values[:, list(costs.scored)]
        same = self.samples.shape[1:] == samples.shape[1:]
        before = self if same else self._nothing(samples)
        return before._with(noise[kept.to(noise.device)], samples[kept], told[kept])

    def _nothing(self, samples: Tensor) -> Proposals:
        """Without any candidate yet, for samples of this shape."""
        S, F = samples.shape[1:]
        return replace(
            self,
            noise=self.noise[:0],
            samples=samples.new_zeros(0, S, F),
            costs=samples.new_zeros(0, S),
        )

    def _with(self, noise: Tensor, samples: Tensor, costs: Tensor) -> Proposals:
        most = max(LARGEST_WINDOW, min(LARGEST_RESPONSE, 2 * math.prod(noise.shape[1:]) + 20))
        return replace(
            self,
            noise=torch.cat([noise.double().cpu(), self.noise])[:most],
            samples=torch.cat([samples, self.samples])[:most],
            costs=torch.cat([costs, self.costs])[:most],
        )


def _response(
    state: State, setting: Setting, away: Tensor, near: Tensor, samples: Tensor
) -> Response:
    """How samples (n, S, F) answer to noise: u - mu, and the same whitened, both (n, R, m)."""
    _, R, m = near.shape
    if not 1 < setting.steps == R == samples.shape[1]:
        return Response.through(near.flatten(1), samples)
    # every step has its own draw, and a sample after it
    unit = torch.eye(m).to(state.mean)[:, None].expand(m, R, m)
    root = state.covariance.color(unit).double().cpu().transpose(0, 1)
    return response_of(near, away.double().cpu(), samples, root)

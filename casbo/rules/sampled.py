"""A population as the default rule reads it: mirrored pairs first, then what comes single."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from casbo.credit import Costs
from casbo.rules.base import TINY
from casbo.rules.relevance import odd_part

#: A single draw counts with at most this many standard deviations beyond a usual length.
LONGEST_DRAW = 2.0


@dataclass(frozen=True)
class Sampled:
    """Draws by mirrored pairs, and those that mirror no other: proposed, or all independent.

    Arguments:
        half: Whitened draws of the first of each of P pairs, with shape (P, R, m).
        single: Whitened draws of J further candidates, with shape (J, R, m).
        costs: Of all N = 2 P + J candidates: the P first ones, their mirror images, the single.
    """

    half: Tensor
    single: Tensor
    costs: Costs

    @classmethod
    def of(cls, draws: Tensor, costs: Costs, *, proposed: bool) -> Sampled:
        """Sort a population whose candidate p + N/2 mirrors p, or, for p = 0, is proposed like it.

        Arguments:
            draws: Whitened draws with shape (N, R, m), or without proposals (N/2, R, m).
            costs: In the same order.
            proposed: Whether candidates 0 and N/2 were proposed.
        """
        half = len(costs.values) // 2
        if not proposed:
            return cls(draws[:half], draws[:0], costs)
        order = [*range(1, half), *range(half + 1, len(draws)), 0, half]
        return cls(draws[1:half], draws[[0, half]], costs.of(torch.tensor(order)))

    @property
    def draws(self) -> Tensor:
        """Whitened draws of all candidates, in the order of the costs: with shape (N, R, m)."""
        return torch.cat([self.half, -self.half, self.single])

    @property
    def by_pairs(self) -> Tensor:
        """The numbers of all candidates, each one's mirror image next to it."""
        pairs = torch.arange(self.mirrored).reshape(2, -1).T.flatten()
        return torch.cat([pairs, torch.arange(self.mirrored, len(self.costs.values))])

    @property
    def mirrored(self) -> int:
        """2 P, the number of candidates drawn by chance."""
        return 2 * len(self.half)

    @property
    def vectors(self) -> Tensor:
        """One draw of each pair, and the single ones: with shape (P + J, R, m)."""
        if len(self.half) and len(self.single):
            return torch.cat([self.half, self.single])
        return self.half if len(self.half) else self.single  # joining would copy

    @cached_property
    def lengths(self) -> Tensor:
        """|z| of the vectors, with shape (P + J, R); in float64 on the CPU, its square not zero."""
        lengths: Tensor = self.vectors.norm(dim=-1).double().cpu()
        return lengths.clamp_min(math.sqrt(TINY))

    @property
    def by_chance(self) -> Costs:
        """The costs of the mirrored candidates."""
        return self.costs.of(torch.arange(self.mirrored)) if len(self.single) else self.costs

    @property
    def clip(self) -> Tensor:
        """Factor in (0, 1] that keeps a single draw from counting as too long: (J, R)."""
        usual = self.half.shape[-1] ** 0.5
        clip: Tensor = ((usual + LONGEST_DRAW) / self.lengths[len(self.half) :]).clamp_max(1.0)
        return clip

    def odd(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """What of values (N, K) is odd in draws (P, R, m), with shape (P, K), and these draws.

        Without pairs, what is left when the mean is taken off, and all draws.
        """
        if not len(self.half):
            return values - values.mean(0), self.single
        return odd_part(values[: self.mirrored]), self.half

    def folded(self, weights: Tensor, scale: Tensor | None = None, sign: int = 1) -> Tensor:
        """Weights (N, R) summed over each pair, the second taken times `sign`: (P + J, R).

        Arguments:
            weights: One for each candidate and draw.
            scale: Multiplies those of the single candidates, with shape (J, R).
            sign: -1 for what is odd in the draw.
        """
        P = len(self.half)
        pairs = weights[:P] + sign * weights[P : 2 * P]
        if not len(self.single):
            return pairs
        single = weights[2 * P :]
        return torch.cat([pairs, single if scale is None else scale * single])

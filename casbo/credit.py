r"""Credit: from scores to costs, from costs to the weights of every draw.

The NaN rule lives here and nowhere else: a candidate with a score that is not finite has failed.
It is never dropped. In ranks it comes last; where values count, it gets the worst cost of the
candidates that did not fail. Where all costs of a column are equal, and where all candidates
failed, the weights are zero and nothing moves. See docs/method.md, equations (10) to (14).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from casbo.errors import CasboError

Direction = Literal["minimize", "maximize"]

#: Costs beyond this are cut off, so that sums and squares of costs stay finite.
LARGEST_COST = 1e140


@dataclass(frozen=True)
class Costs:
    """One population's scores as costs to minimise.

    Arguments:
        values: With shape (N, K); finite: a failed candidate has each column's worst finite cost.
        failed: Which candidates failed, with shape (N,).
        terminal: Whether only the last column was told, the others being zero.
        samples: What the scores are of, where that was told too: S scored steps of F coordinates,
            float64 with shape (N, S, F).
        scored: The S columns of `values` that these samples belong to.
    """

    values: Tensor
    failed: Tensor
    terminal: bool
    samples: Tensor | None = None
    scored: tuple[int, ...] = ()

    @property
    def informative(self) -> bool:
        """Whether anything can be learned: not all failed, and not all the same."""
        alike = bool((self.values == self.values[:1]).all())
        return not bool(self.failed.all()) and (not alike or bool(self.failed.any()))

    def of(self, candidates: Tensor) -> Costs:
        """The costs of some candidates only, given by their numbers."""
        samples = None if self.samples is None else self.samples[candidates]
        return replace(
            self,
            values=self.values[candidates],
            failed=self.failed[candidates],
            samples=samples,
        )

    def seeing(self, samples: Tensor | Sequence[Any]) -> Costs:
        """With the samples that were scored.

        Arguments:
            samples: With shape (N, F) beside terminal costs, or (N, K, F) beside costs at steps,
                NaN at steps that were not scored.

        Raises:
            CasboError: When they have another shape or are not real numbers.
        """
        N, K = self.values.shape
        points = as_points(samples)
        if self.terminal and points.ndim == 2 and len(points) == N:
            return replace(self, samples=points[:, None], scored=(K - 1,))
        if not self.terminal and points.ndim == 3 and points.shape[:2] == (N, K):
            scored = (~points.isnan().all(2).all(0)).nonzero()[:, 0]
            return replace(self, samples=points[:, scored], scored=tuple(scored.tolist()))
        wanted = f"({N}, F)" if self.terminal else f"({N}, {K}, F)"
        raise CasboError(
            f"Expected samples with shape {wanted}, as the scores, got {tuple(points.shape)}."
        )


def costs(
    scores: Tensor | Sequence[float], population: int, steps: int, direction: Direction
) -> Costs:
    """Costs from scores with shape (N,), terminal, or (N, K), one per step.

    Any score that is not finite marks its candidate as failed, at all steps.

    Raises:
        CasboError: When the scores have neither shape, or are not real numbers.
    """
    try:
        told = scores if isinstance(scores, Tensor) else _as_tensor(scores)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CasboError(
            f"Expected scores as numbers with shape ({population},) or ({population}, {steps}), "
            f"got {type(scores).__name__}: {error}."
        ) from error
    if tuple(told.shape) not in {(population,), (population, steps)} or told.is_complex():
        raise CasboError(
            f"Expected real scores with shape ({population},) or ({population}, {steps}) for "
            f"population {population} and {steps} steps, got shape {tuple(told.shape)} of "
            f"{told.dtype}. A failed candidate keeps its place, as NaN."
        )
    told = told.detach().to(device="cpu", dtype=torch.float64)
    terminal = told.ndim == 1
    if terminal:
        told = torch.cat([torch.zeros(population, steps - 1, dtype=told.dtype), told[:, None]], 1)
    values = (-told if direction == "maximize" else told).clamp(-LARGEST_COST, LARGEST_COST)
    values = torch.where(told.isfinite(), values, torch.full_like(values, torch.nan))
    failed = ~values.isfinite().all(1)
    if bool(failed.all()):
        return Costs(torch.zeros_like(values), failed, terminal)
    worst = values[~failed].max(0).values
    return Costs(torch.where(failed[:, None], worst, values), failed, terminal)


def by_step(final: Tensor, steps: Sequence[int], earlier: Tensor, count: int) -> Tensor:
    """Scores with shape (N, K), of K = `count` steps: 0 at those without one.

    Arguments:
        final: Scores of the final samples, with shape (N,).
        steps: S steps before the last.
        earlier: What stands there, with shape (N, S).
        count: K.
    """
    told = torch.zeros(len(final), count, dtype=torch.float64)
    told[:, list(steps)] = earlier
    told[:, -1] = final
    return told


def score_to_go(values: Tensor, first_steps: Sequence[int]) -> Tensor:
    """S_r = sum of the costs at and after the first step that draw r influences: (N, R)."""
    ahead = values.flip(1).cumsum(1).flip(1)  # Eq. (11)
    return ahead[:, list(first_steps)]


def min_max(values: Tensor, failed: Tensor) -> Tensor:
    """(S - min) / (max - min) per column, in [0, 1]."""
    low, high = values.min(0).values, values.max(0).values
    return _ratio(values - low, high - low)  # Eq. (12a)


def z_score(values: Tensor, failed: Tensor) -> Tensor:
    """(S - mean) / standard deviation per column."""
    centred = values - values.mean(0)
    return _ratio(centred, centred.square().mean(0).sqrt())  # Eq. (12b)


def centred_ranks(values: Tensor, failed: Tensor) -> Tensor:
    """Ranks per column, evenly spaced from -1 (best) to 1 (worst); ties share their mean rank."""
    steps = torch.linspace(-1, 1, len(values), dtype=values.dtype, device=values.device)
    return by_rank(steps, values, failed)  # Eq. (12c)


def softmax(values: Tensor, failed: Tensor) -> Tensor:
    """N softmax(z-score) - 1 per column: mean 0, worse costs weigh exponentially more."""
    weights = torch.softmax(z_score(values, failed), 0) * len(values) - 1  # Eq. (12d)
    return torch.where(spread(values, failed), weights, torch.zeros_like(weights))


#: Shaping: costs (N, R) and failed (N,) -> weights h (N, R), larger for worse candidates.
Shaping = Callable[[Tensor, Tensor], Tensor]
SHAPINGS: dict[str, Shaping] = {
    "min_max": min_max,
    "z_score": z_score,
    "ranks": centred_ranks,
    "softmax": softmax,
}


def by_rank(weights: Tensor, values: Tensor, failed: Tensor) -> Tensor:
    """Give weight i to the candidate of rank i (best first) of each column of (N, R).

    Weights (N,) give (N, R), several rows (W, N) of them give (W, N, R). Failed candidates are ranked last; ties share the mean of their weights, so the outcome
    does not depend on the candidates' order. Columns of equal costs get the mean weight.
    """
    ranked = torch.where(failed[:, None], torch.full_like(values, torch.inf), values)
    better = (ranked[None] < ranked[:, None]).sum(1)
    not_worse = (ranked[None] <= ranked[:, None]).sum(1)
    total = torch.nn.functional.pad(weights.cumsum(-1), (1, 0))
    return (total[..., not_worse] - total[..., better]) / (not_worse - better)  # Eq. (13)


def spread(values: Tensor, failed: Tensor) -> Tensor:
    """Which columns of (N, R) tell candidates apart: with shape (R,)."""
    differ = (values != values[:1]).any(0)
    return differ | (bool(failed.any()) and not bool(failed.all()))


def shaped(shaping: Shaping, values: Tensor, failed: Tensor) -> Tensor:
    """The weights h with shape (N, R); zero in columns that do not tell candidates apart."""
    return torch.where(spread(values, failed), shaping(values, failed), torch.zeros_like(values))


def as_points(samples: Tensor | Sequence[Any]) -> Tensor:
    """Samples as float64 on the CPU.

    Raises:
        CasboError: When they are not real numbers.
    """
    try:
        points = samples if isinstance(samples, Tensor) else _as_tensor(samples)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CasboError(f"Expected samples as an array of numbers, got {error}.") from error
    if points.is_complex():
        raise CasboError(f"Expected real samples, got {points.dtype}.")
    return points.detach().to(device="cpu", dtype=torch.float64)


def _as_tensor(scores: object) -> Tensor:
    """Numbers as float64: torch would read a list of Python numbers as float32."""
    return torch.from_numpy(np.array(scores, dtype=np.float64))


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Zero where the denominator is zero: equal costs carry no information."""
    safe = torch.where(denominator > 0, denominator, torch.ones_like(denominator))
    return numerator / safe

r"""A stand-in for the score at unfinished steps: a Gaussian process on what was scored before.

Scores of predicted clean samples (``score_steps``) say which step did what, but each is a query. A
Gaussian process :math:`g`, fitted to the samples that were scored at the end, guesses them for
nothing; this is what the newest code of one of CASBO's authors does for molecules. What the
optimiser is told after step k < K of a trajectory with score F is, by the kind of credit,

* ``baseline``: :math:`g(\hat x_k) - g(\hat x_{k-1})`, and :math:`F - g(\hat x_{K-2})` at the last:
  the score-to-go of step k is then :math:`F - g(\hat x_{k-1})`. What is subtracted was settled
  before the step's noise was drawn, so that a wrong guess costs variance but moves nothing in the
  mean, and the sum of all is F;
* ``cumulative``: :math:`g(\hat x_k)` itself, and F at the last, as if the predicted samples had
  been scored. The objective is then the sum over the steps.

Only F is ever reported, kept or counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from casbo.credit import by_step
from casbo.errors import CasboError
from casbo.gaussian_process import GaussianProcess

Credit = Literal["baseline", "cumulative"]

#: Scored samples that must be in before anything is guessed.
LEAST_POINTS = 16


@dataclass(frozen=True)
class StandIn:
    """Which steps are guessed, and what becomes of the guesses.

    Arguments:
        steps: Steps k from 0 to K - 2 whose predicted clean samples are guessed.
        credit: "baseline" or "cumulative".
        window: The process is fitted to the last so many scored samples.

    Raises:
        CasboError: When an option is outside its domain.
    """

    steps: tuple[int, ...]
    credit: Credit = "baseline"
    window: int = 256

    def __post_init__(self) -> None:
        ordered = tuple(sorted(set(self.steps)))
        if not self.steps or tuple(self.steps) != ordered or ordered[0] < 0:
            raise CasboError(
                f"Expected the steps of a stand-in as ascending numbers from 0, got {self.steps}."
            )
        if self.credit not in get_args(Credit):
            raise CasboError(
                f"Expected a stand-in's credit among {get_args(Credit)}, got {self.credit!r}."
            )
        if self.window < LEAST_POINTS:
            raise CasboError(
                f"Expected a stand-in's window of at least {LEAST_POINTS} samples, "
                f"got {self.window}."
            )

    def describe(self) -> dict[str, Any]:
        """Everything that defines it, as JSON values."""
        return {"steps": list(self.steps), "credit": self.credit, "window": self.window}

    def told(self, final: Tensor, guesses: Tensor, steps: int) -> Tensor:
        """Scores per step (N, K) from final scores (N,) and guesses (N, S) at `steps`."""
        told = by_step(final, self.steps, guesses, steps)
        if self.credit == "baseline":
            places = [*self.steps, steps - 1]
            told[:, places] = told[:, places].diff(dim=1, prepend=told.new_zeros(len(told), 1))
        return told


@dataclass(frozen=True)
class ScoredPoints:
    """The last scored samples as points, oldest first: M of F coordinates.

    Arguments:
        points: With shape (M, F), float64; (0, 0) before the first.
        scores: With shape (M,), finite.
    """

    points: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))
    scores: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    def guesses(self, points: Tensor) -> Tensor | None:
        """Guessed scores (N, S) of points (N, S, F); None as long as too little is known.

        What is no point (NaN) is guessed to be average.
        """
        if len(self.scores) < LEAST_POINTS:
            return None
        process = GaussianProcess.fitted(self.points, self.scores)
        guesses = process(points.flatten(0, 1)).reshape(points.shape[:2])
        return torch.where(guesses.isfinite(), guesses, process.offset)

    def joined(self, points: Tensor, scores: Tensor, window: int) -> ScoredPoints:
        """With N more points (N, F); failed ones (NaN scores) are left out."""
        good = scores.isfinite() & points.isfinite().all(1)
        known = self.points if len(self.points) else points[:0]
        return ScoredPoints(
            torch.cat([known, points[good]])[-window:],
            torch.cat([self.scores, scores[good]])[-window:],
        )

    def state(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        return {"points": self.points, "scores": self.scores} if len(self.scores) else {}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> ScoredPoints:
        """The inverse of `state`."""
        return cls(state["points"], state["scores"]) if state else cls()

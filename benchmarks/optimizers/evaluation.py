"""What one population costs: one batched rollout, and the test function on all its points.

One query is one candidate of the population, with all its per-step scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from casbo_functions import SequentialProblem


@dataclass(frozen=True)
class Evaluation:
    """The scores of a population of N candidates.

    Arguments:
        scores: What an optimiser is told, with shape (N, S): S = 1 where only the final sample is
            scored, else K. All of a failed candidate's scores are NaN.
        costs: The true total costs, without the scorer's noise, with shape (N,).
        samples: What was scored, with shape (N, S, D).
    """

    scores: np.ndarray
    costs: np.ndarray
    samples: np.ndarray

    @property
    def failed(self) -> np.ndarray:
        """Which candidates failed, with shape (N,)."""
        return np.isnan(self.scores).any(1)


def evaluate(problem: SequentialProblem, noise: np.ndarray) -> Evaluation:
    """Score the candidates with noise (N, K, D) as `casbo.steer` would, all in one call.

    A candidate one of whose scores failed, or is not finite, has failed.
    """
    steps = problem.score_steps
    made = problem.rollout(torch.from_numpy(noise), predict=steps)
    points = torch.stack([*(made.predictions[k] for k in steps), made.samples], 1)
    scores = problem.scorer.batch(points).numpy()
    failed = ~np.isfinite(scores).all(1)
    costs = problem.scorer.function(points).sum(1).numpy()
    return Evaluation(np.where(failed[:, None], np.nan, scores), costs, points.numpy())

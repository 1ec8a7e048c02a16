"""A population scored in one call gets what the rollout and the scorer give one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.optimizers.evaluation import evaluate
from casbo.errors import CandidateFailed
from casbo_functions import ProblemSpec, SequentialProblem, core_suite


def one_by_one(problem: SequentialProblem, noise: torch.Tensor) -> np.ndarray:
    """Scores (N, S) as `casbo.steer` asks for them: a sample at a time, NaN for all if one fails."""
    rows = []
    for candidate in noise:
        made = problem.rollout(candidate[None], predict=problem.score_steps)
        samples = [*(made.predictions[k] for k in problem.score_steps), made.samples]
        scores = [problem.scorer(sample)[0] for sample in samples]
        failed = any(isinstance(score, CandidateFailed) for score in scores)
        rows.append([np.nan if failed else float(score) for score in scores])
    return np.array(rows)


@pytest.mark.parametrize("spec", core_suite(), ids=lambda spec: spec.name)
def test_batched_scores_are_the_single_ones(spec: ProblemSpec) -> None:
    problem = spec.problem(seed=3)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(8, spec.steps, spec.dim, generator=generator, dtype=torch.float64)
    scored = evaluate(problem, noise.numpy())
    np.testing.assert_allclose(scored.scores, one_by_one(problem, noise), rtol=1e-12)
    assert scored.scores.shape == (8, spec.steps if spec.cumulative else 1)
    if not spec.noise:
        alive = ~scored.failed
        np.testing.assert_allclose(scored.costs[alive], scored.scores[alive].sum(1), rtol=1e-12)


@pytest.mark.parametrize("score", ["terminal", "cumulative"])
def test_a_tenth_of_the_candidates_fails(score: str) -> None:
    """Within 5 standard errors, however many of a candidate's samples are scored."""
    spec = ProblemSpec.named(f"sphere/identity/{score}/4x6/failures-0.1")
    count = 4000
    noise = np.random.default_rng(0).standard_normal((count, 6, 4))
    scored = evaluate(spec.problem(seed=0), noise)
    assert abs(scored.failed.mean() - 0.1) < 5 * np.sqrt(0.1 * 0.9 / count)
    assert np.isfinite(scored.costs).all()


def test_the_optimal_noise_costs_nothing() -> None:
    problem = ProblemSpec.named("levy/rotation/cumulative/6x3/noise-0.1").problem(seed=1)
    assert evaluate(problem, problem.optimal_noise()[None].numpy()).costs == pytest.approx(0)


def test_noise_that_overflows_is_a_failed_candidate() -> None:
    problem = ProblemSpec.named("sphere/identity/terminal/4x2").problem(seed=0)
    scored = evaluate(problem, np.full((2, 2, 4), 1e300))
    assert scored.failed.all()

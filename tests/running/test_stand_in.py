"""The stand-in: guesses cost no query, add up to the score, look only back, and survive a kill."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from casbo.credit import score_to_go
from casbo.errors import CasboError, RolloutError, RunFolderError
from casbo.rollout import FunctionRollout, Trajectories
from casbo.stand_in import LEAST_POINTS, ScoredPoints, StandIn
from casbo.steering import Steering, steer

from .problems import Sum, sphere

STEPS = st.sets(st.integers(0, 6), min_size=1).map(lambda steps: tuple(sorted(steps)))


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(STEPS, st.integers(1, 5), st.integers(0, 1000))
def test_a_baseline_is_what_was_guessed_before_the_step(
    steps: tuple[int, ...], count: int, seed: int
) -> None:
    final, guesses = random(count, seed=seed), random(count, len(steps), seed=seed + 1)
    told = StandIn(steps).told(final, guesses, 8)
    ahead = score_to_go(told, range(8))
    for k in range(8):
        before = [i for i, step in enumerate(steps) if step < k]
        wanted = final - guesses[:, before[-1]] if before else final
        torch.testing.assert_close(ahead[:, k], wanted)


@given(STEPS, st.integers(1, 5), st.integers(0, 1000))
def test_cumulative_guesses_stand_where_scores_would(
    steps: tuple[int, ...], count: int, seed: int
) -> None:
    final, guesses = random(count, seed=seed), random(count, len(steps), seed=seed + 1)
    told = StandIn(steps, credit="cumulative").told(final, guesses, 8)
    assert torch.equal(told[:, list(steps)], guesses)
    assert torch.equal(told[:, 7], final)
    assert not told[:, [k for k in range(7) if k not in steps]].any()


def test_points_are_the_last_good_ones() -> None:
    points, scores = random(30, 3, seed=1), random(30, seed=2)
    scores[4], points[5, 0] = math.nan, math.nan
    known = (
        ScoredPoints().joined(points[:10], scores[:10], 20).joined(points[10:], scores[10:], 20)
    )
    assert torch.equal(known.points, points[10:])
    few = ScoredPoints().joined(points[:10], scores[:10], 20)
    assert len(few.scores) == 8
    assert few.guesses(points[:2, None]) is None
    again = ScoredPoints.of(known.state())
    guesses = known.guesses(points[:6, None])
    assert guesses is not None
    assert torch.equal(guesses, again.guesses(points[:6, None]))
    torch.testing.assert_close(guesses[5, 0], scores[10:].mean())  # no point: average


def options(credit: str = "baseline", path: Path | None = None) -> dict[str, Any]:
    stand_in = StandIn((0, 2), credit)  # type: ignore[arg-type]
    return {"queries": 96, "population": 16, "seed": 3, "run": path, "stand_in": stand_in}


@pytest.mark.parametrize("credit", ["baseline", "cumulative"])
def test_guesses_cost_no_query_and_change_the_course(credit: str) -> None:
    asked: list[int] = []

    def counting(samples: list[torch.Tensor]) -> list[float]:
        asked.append(len(samples))
        return sphere(samples)

    guided = steer(Sum(steps=5), counting, **options(credit))
    assert sum(asked) == 96
    assert guided.history[-1].queries == 96
    plain = steer(Sum(steps=5), sphere, queries=96, population=16, seed=3, surrogate=False)
    assert guided.history[0].best == plain.history[0].best
    assert not torch.equal(guided.controls.mean, plain.controls.mean)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = steer(Sum(steps=5), sphere, **options())
    with Steering(Sum(steps=5), sphere, **options(path=tmp_path / "run")) as first:
        for _ in range(3):
            next(first)
    for checkpoint in sorted((tmp_path / "run" / "checkpoints").iterdir())[-1:]:
        checkpoint.unlink()  # go back further, to replay an iteration from the ledger
    resumed = steer(Sum(steps=5), sphere, **options(path=tmp_path / "run"))
    assert torch.equal(whole.controls.mean, resumed.controls.mean)
    with pytest.raises(RunFolderError, match="stand_in"):
        steer(Sum(steps=5), sphere, **options("cumulative", tmp_path / "run"))


def test_a_cumulative_stand_in_steers_the_first_steps_too() -> None:
    """Where the score is known well, guesses do what scoring every step does."""
    stand_in = StandIn((0, 1, 2, 3), credit="cumulative")
    shared: dict[str, Any] = {"population": 16, "seed": 3, "surrogate": False}
    guessed = steer(Sum(steps=5), sphere, queries=960, stand_in=stand_in, **shared)
    plain = steer(Sum(steps=5), sphere, queries=960, **shared)

    def early(result: Any) -> float:
        mean = result.controls.mean
        return float((Sum(steps=5)(mean[None], predict=(0,)).predictions[0] - 1).square().sum())

    assert early(guessed) < 0.5 * early(plain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": ()},
        {"steps": (2, 1)},
        {"steps": (-1,)},
        {"steps": (1, 1)},
        {"steps": (0,), "credit": "none"},
        {"steps": (0,), "window": LEAST_POINTS - 1},
    ],
)
def test_bad_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(CasboError, match="Expected"):
        StandIn(**wrong)


class Words(Sum):
    """Samples that are no points."""

    def __call__(self, noise: torch.Tensor, *, predict: Any = ()) -> Trajectories:
        made = super().__call__(noise, predict=predict)
        words = {k: [str(float(x[0])) for x in row] for k, row in made.predictions.items()}
        return Trajectories([str(float(x[0])) for x in made.samples], words)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(CasboError, match="both"):
        steer(Sum(steps=5), sphere, score_steps=(1,), **options())
    with pytest.raises(CasboError, match="steps from 0 to 1"):
        steer(Sum(steps=3), sphere, **options())
    with pytest.raises(RolloutError, match=r"Rollout\.point"):
        steer(Words(steps=5), lambda words: [float(word) for word in words], **options())
    with pytest.raises(RolloutError, match="predict"):
        steer(FunctionRollout(lambda n: n.sum(1), (5, 4)), sphere, **options())

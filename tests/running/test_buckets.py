"""Buckets: what fits is told, what does not is told as failed, and a killed run fills the same."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from casbo.buckets import NameBuckets, Scored
from casbo.errors import CasboError, RunFolderError
from casbo.steering import Steering, steer

from .problems import Sum

SCORES = st.one_of(st.floats(-10, 10), st.just(math.nan))
NAMES = st.sampled_from(["a", "b", "c", None])
HISTORY = st.lists(st.tuples(NAMES, SCORES), max_size=40)


class Signed(Sum):
    """Sorted by the signs of a sample's first two coordinates."""

    def identify(self, sample: Tensor) -> str:
        return f"{sample[0] > 0}{sample[1] > 0}"


def distance(samples: list[Tensor]) -> list[float]:
    return [float((sample - 1).square().sum()) for sample in samples]


@given(HISTORY, st.integers(1, 4), st.one_of(st.none(), st.floats(-5, 5)), st.booleans())
def test_the_first_of_each_bucket_find_room(
    history: list[tuple[str | None, float]], size: int, threshold: float | None, lower: bool
) -> None:
    scored = [Scored(i // 8, name, score) for i, (name, score) in enumerate(history)]
    room = NameBuckets(size, threshold).admitted(scored, "minimize" if lower else "maximize")
    good = [
        name is not None
        and not math.isnan(score)
        and (threshold is None or (score <= threshold if lower else score >= threshold))
        for name, score in history
    ]
    for name in "abc":
        counting = [
            r for r, g, (own, _) in zip(room, good, history, strict=True) if g and own == name
        ]
        assert counting == [True] * min(size, len(counting)) + [False] * (len(counting) - size)
    assert all(free for free, counts in zip(room, good, strict=True) if not counts)


@given(HISTORY, st.integers(0, 40))
def test_what_comes_later_changes_nothing(
    history: list[tuple[str | None, float]], cut: int
) -> None:
    scored = [Scored(0, name, score) for name, score in history]
    buckets = NameBuckets(2)
    assert buckets.admitted(scored, "minimize")[:cut] == buckets.admitted(scored[:cut], "minimize")


def options(path: Path | None) -> dict[str, object]:
    return {"queries": 96, "population": 16, "seed": 3, "run": path, "buckets": NameBuckets(5)}


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = steer(Signed(), distance, **options(None))  # type: ignore[arg-type]
    with Steering(Signed(), distance, **options(tmp_path / "run")) as first:  # type: ignore[arg-type]
        next(first)
        next(first)
    resumed = steer(Signed(), distance, **options(tmp_path / "run"))  # type: ignore[arg-type]
    assert torch.equal(whole.controls.mean, resumed.controls.mean)
    free = steer(Signed(), distance, **{**options(None), "buckets": None})  # type: ignore[arg-type]
    assert not torch.equal(whole.controls.mean, free.controls.mean)
    assert whole.history[0].best == free.history[0].best  # scores stay what they are
    with pytest.raises(RunFolderError, match="buckets"):
        steer(Signed(), distance, **{**options(tmp_path / "run"), "buckets": NameBuckets(6)})  # type: ignore[arg-type]


def test_roomy_buckets_change_nothing() -> None:
    roomy = {**options(None), "buckets": NameBuckets(1000)}
    one = steer(Signed(), distance, **roomy)  # type: ignore[arg-type]
    other = steer(Signed(), distance, **{**roomy, "buckets": None})  # type: ignore[arg-type]
    assert torch.equal(one.controls.mean, other.controls.mean)


@pytest.mark.parametrize("wrong", [(0, None), (True, None), (1.5, None), (3, math.nan)])
def test_bad_buckets(wrong: tuple[int, float | None]) -> None:
    with pytest.raises(CasboError, match="Expected"):
        NameBuckets(*wrong)

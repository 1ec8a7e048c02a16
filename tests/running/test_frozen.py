"""Frozen rows: what is fixed stays fixed, and the rest is the rollout's noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import casbo
from casbo.errors import RolloutError
from casbo.frozen import FrozenRows
from casbo.rollout import FunctionRollout, Rollout, Trajectories
from casbo.testing import check_rollout

K, D = 6, 3
PARENT = torch.randn(K, D, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


class Echo(Rollout):
    """Samples are the noise itself, predictions the row they follow."""

    shape = (K, D)

    def __call__(self, noise: Tensor, *, predict: Any = ()) -> Trajectories:
        return Trajectories(noise, {k: noise[:, k] for k in predict})


def drawn(count: int, shape: tuple[int, int], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


@given(rows=st.sets(st.integers(0, K - 1), max_size=K - 1), count=st.integers(1, 4))
def test_frozen_rows_are_the_parents_and_the_others_the_argument(rows, count):
    rollout = FrozenRows(Echo(), PARENT, rows)
    noise = drawn(count, rollout.shape)
    found = rollout(noise, predict=range(rollout.shape[0]))
    free = [row for row in range(K) if row not in rows]
    for row in rows:
        assert torch.equal(found.samples[:, row], PARENT[row].expand(count, D))
    assert torch.equal(found.samples[:, free], noise)
    for step in range(rollout.shape[0]):
        assert torch.equal(found.predictions[step], noise[:, step])


def test_the_parents_own_noise_gives_the_parent():
    rollout = FrozenRows(Echo(), PARENT, range(3))
    assert torch.equal(rollout(PARENT[None, 3:]).samples[0], PARENT)


def test_it_keeps_the_rules_of_rollouts():
    check_rollout(
        FrozenRows(FunctionRollout(lambda noise: noise.sum((1, 2)), (K, D)), PARENT, {0})
    )


def test_steering_the_rest_leaves_the_frozen_rows_alone():
    rollout = FrozenRows(Echo(), PARENT, range(4))
    result = casbo.steer(
        rollout,
        lambda samples: [float(sample[4:].sum()) for sample in samples],
        queries=256,
        population=16,
        direction="maximize",
    )
    learned = result.controls.noise(32, seed=1)
    samples = rollout(learned).samples
    assert torch.equal(samples[:, :4], PARENT[:4].expand(32, -1, -1))
    assert float(samples[:, 4:].sum((1, 2)).mean()) > 3


def test_what_is_frozen_identifies_it():
    one = FrozenRows(Echo(), PARENT, {0, 1}).describe()
    assert one == FrozenRows(Echo(), PARENT, [1, 0, 0]).describe()
    changed = PARENT.clone()
    changed[5] += 1
    assert one == FrozenRows(Echo(), changed, {0, 1}).describe(), "row 5 is not frozen"
    changed[0] += 1
    assert one != FrozenRows(Echo(), changed, {0, 1}).describe()
    assert one != FrozenRows(Echo(), PARENT, {0}).describe()


@pytest.mark.parametrize(
    ("noise", "rows", "message"),
    [
        (PARENT[:2], {0}, "one candidate's noise with shape"),
        (PARENT, {K}, "rows from 0 to 5"),
        (PARENT, {-1}, "rows from 0 to 5"),
        (PARENT, range(K), "at least one of the 6 rows"),
    ],
)
def test_what_does_not_fit_is_refused(noise, rows, message):
    with pytest.raises(RolloutError, match=message):
        FrozenRows(Echo(), noise, rows)


def test_noise_and_steps_that_do_not_fit_are_refused():
    rollout = FrozenRows(Echo(), PARENT, {0})
    with pytest.raises(RolloutError, match="noise with shape"):
        rollout(drawn(2, (K, D)))
    with pytest.raises(RolloutError, match="steps from 0 to 4"):
        rollout(drawn(2, rollout.shape), predict=[5])

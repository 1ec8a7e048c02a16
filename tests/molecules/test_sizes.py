"""Sizes share a budget: the better ones get more of it, and nobody gets more than there is."""

from __future__ import annotations

import pytest

from casbo.errors import CasboError
from casbo.rollout import FunctionRollout
from casbo_molecules.sizes import steer_sizes


def rollout(atoms):
    """Samples whose score is best for 20 atoms."""
    offset = abs(atoms - 20)
    return FunctionRollout(lambda noise: noise[:, 0, :1] ** 2 + offset, (2, 3))


def value(samples):
    return [float(sample) for sample in samples]


def test_the_best_size_gets_the_most(tmp_path):
    sizes = (12, 20, 24)
    asked = {
        "queries": 96,
        "population": 8,
        "direction": "minimize",
        "run": tmp_path / "sizes",
    }
    found = steer_sizes({n: rollout(n) for n in sizes}, value, **asked)
    assert found[0].atoms == 20
    assert {arm.atoms for arm in found} == set(sizes)
    assert sum(arm.queries for arm in found) <= 96
    assert found[0].queries == max(arm.queries for arm in found)
    assert found[0].queries > found[-1].queries
    assert [arm.dropped for arm in found] == [None, 1, 0]
    assert found[0].result.history[-1].queries == found[0].queries
    again = steer_sizes({n: rollout(n) for n in sizes}, value, **asked)
    assert [(arm.atoms, arm.queries) for arm in again] == [
        (arm.atoms, arm.queries) for arm in found
    ]


def test_one_size_gets_everything(tmp_path):
    (only,) = steer_sizes(
        {20: rollout(20)}, value, queries=32, population=8, direction="minimize", run=tmp_path
    )
    assert (only.queries, only.dropped) == (32, None)


def test_the_greatest_is_the_best_when_maximised(tmp_path):
    found = steer_sizes(
        {n: rollout(n) for n in (10, 20)},
        value,
        queries=32,
        population=8,
        direction="maximize",
        run=tmp_path,
    )
    assert found[0].atoms == 10


@pytest.mark.parametrize("sizes", [(), (10, 20, 30)])
def test_too_small_budgets_are_refused(tmp_path, sizes):
    with pytest.raises(CasboError, match="Expected queries for at least 8"):
        steer_sizes({n: rollout(n) for n in sizes}, value, queries=40, population=8, run=tmp_path)

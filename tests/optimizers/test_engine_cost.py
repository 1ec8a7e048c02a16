"""The engine's cost: what is compared with what, not how long it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.engine_cost.cases import CASES, FULL, GROWTH, LOW_RANK, Case
from benchmarks.engine_cost.limits import limits
from benchmarks.engine_cost.measurement import MODEL_WARM_UP, PEERS, engine, independent_draws
from benchmarks.engine_cost.report import cost_table, peer_table
from casbo.rules.proposals import LARGEST_RESPONSE, LARGEST_WINDOW

SMALL = [
    replace(FULL, steps=3, dim=12, population=6),
    replace(FULL, steps=2, dim=140, population=6),  # too many coordinates to pool
    replace(LOW_RANK, steps=2, dim=600, population=6, rank=4),
]


def test_the_sizes_asked_for_are_measured() -> None:
    sizes = {(case.covariance, case.steps, case.dim) for case in CASES}
    assert {("full", 20, dim) for dim in (64, 256, 1024)} < sizes
    assert {("low_rank", 50, dim) for dim in (16_384, 65_536)} < sizes
    assert set(GROWTH) == {"D", "K", "N", "rank"}


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.title)
def test_draws_that_are_independent_are_counted(case: Case) -> None:
    mirrored = case.covariance == "full"
    assert independent_draws(case.optimizer()) == (3 if mirrored else 6)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.title)
def test_a_measurement_has_all_that_the_tables_show(case: Case) -> None:
    found = engine(case, 1)
    assert all(found[name] > 0 for name in ("engine", *limits(case, found["draws"])))
    found |= {"peak": 1.0, "state": 1.0, "peers": {name: {"over": 60.0} for name in PEERS}}
    assert case.title in cost_table([(case, found)])
    assert "> 60 s" in peer_table([(case, found)])


@pytest.mark.parametrize("samples", ["terminal", "cumulative"])
def test_a_model_proposes_where_samples_are_told(samples: str) -> None:
    """Its memory is full after the warm-up: the cases measure what an iteration ends up costing."""
    case = replace(FULL, steps=2, dim=6, population=10, samples=samples)
    assert engine(case, 1)["engine"] > 0
    assert MODEL_WARM_UP * FULL.population > max(LARGEST_WINDOW, LARGEST_RESPONSE)
    optimizer = case.optimizer()
    for _ in range(MODEL_WARM_UP + 30):  # of 10 candidates only
        optimizer.tell(*case.told(optimizer.ask()))
    noise = optimizer.state_dict()["memory.proposals.noise"]
    before = len(noise)
    optimizer.tell(*case.told(optimizer.ask()))
    assert len(optimizer.state_dict()["memory.proposals.noise"]) == before > 0

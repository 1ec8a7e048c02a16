"""Every optimiser of the benchmark asks and tells as the others do, and finds a sphere's minimum."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.optimizers.evaluation import evaluate
from benchmarks.optimizers.evolution_strategies import LMMAES
from benchmarks.optimizers.methods import METHODS, label, method_named
from benchmarks.optimizers.peer import Peer, Task, with_worst_for_failed
from casbo.errors import CasboError
from casbo_functions import ProblemSpec

NAMES = list(METHODS)


def task(**changes: object) -> Task:
    return Task(
        **({"steps": 5, "dim": 10, "population": 20, "cumulative": True, "seed": 7} | changes)
    )


def peer(name: str, **changes: object) -> Peer:
    return METHODS[name].make(task(**changes))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "openai-es"])
def test_the_first_population_is_standard_normal(name: str) -> None:
    first = np.stack([peer(name, seed=seed).ask() for seed in range(10)])
    assert first.shape == (10, 20, 5, 10)
    assert abs(first.mean()) < 5 / np.sqrt(first.size)
    # VkD-CMA and mirrored rules draw half of a population at the mirror image of the other
    assert abs(np.square(first).mean() - 1) < 5 * np.sqrt(2 / (first.size / 2))


@pytest.mark.parametrize("score", ["terminal", "cumulative"])
@pytest.mark.parametrize("name", NAMES)
def test_a_sphere_is_improved_with_failures_among_the_scores(name: str, score: str) -> None:
    spec = ProblemSpec.named(f"sphere/identity/{score}/10x5/failures-0.1")
    problem, optimizer = spec.problem(seed=2), peer(name, cumulative=spec.cumulative)
    costs = []
    for _ in range(50):
        scored = evaluate(problem, optimizer.ask())
        assert not scored.failed.all()
        optimizer.tell(scored.scores)
        costs.append(float(np.median(scored.costs)))
    if name != "random":
        assert np.median(costs[-5:]) < 0.9 * np.median(costs[:5])


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_run(name: str) -> None:
    def asked(seed: int) -> list[np.ndarray]:
        optimizer, seen = peer(name, seed=seed), []
        for _ in range(3):
            seen.append(optimizer.ask().copy())
            optimizer.tell(np.square(seen[-1]).sum(2))
        return seen

    one, same, other = asked(1), asked(1), asked(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_no_method_touches_the_global_generator() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for name in NAMES:
        optimizer = peer(name)
        for _ in range(3):
            optimizer.tell(np.square(optimizer.ask()).sum(2))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_failed_candidates_get_each_columns_worst() -> None:
    scores = np.array([[1.0, 5.0], [np.nan, np.nan], [3.0, 2.0]])
    assert with_worst_for_failed(scores).tolist() == [[1.0, 5.0], [3.0, 5.0], [3.0, 2.0]]


def test_stepwise_pycma_ranks_by_score_to_go() -> None:
    """A step whose own and later scores are all the same learns nothing about direction."""
    optimizer = peer("stepwise-pycma")
    noise = optimizer.ask()
    scores = np.zeros((20, 5))
    scores[:, 2] = noise[:, 2, 0]  # causes: steps 0, 1 and 2; steps 3 and 4 come later
    told: list[list[float]] = []
    for one in optimizer.strategies:
        one.tell = lambda points, costs: told.append(costs)
    optimizer.tell(scores)
    assert [costs == noise[:, 2, 0].tolist() for costs in told] == [True, True, True, False, False]
    assert told[3] == told[4] == [0.0] * 20


def test_lm_ma_es_transforms_by_the_product_of_its_directions() -> None:
    """Its samples are those of the dense matrix that algorithm 1 of the paper stands for."""
    strategy = LMMAES(task(steps=2, dim=3))
    for _ in range(4):
        strategy.tell(np.square(strategy.ask()).sum(2) * [1.0, 30.0])
    points, identity = strategy.ask_points(), np.eye(6)
    matrix = identity
    for fading, direction in list(zip(strategy.fading, strategy.directions, strict=True))[:4]:
        matrix = ((1 - fading) * identity + fading * np.outer(direction, direction)) @ matrix
    expected = strategy.mean + strategy.sigma * strategy.draws @ matrix.T
    np.testing.assert_allclose(points, expected, rtol=1e-12)


def test_names_and_labels_lead_to_methods() -> None:
    name = label("default", {"pooling": 0.1, "a": 2})
    assert name == "default[a=2,pooling=0.1]"
    assert method_named(name) is METHODS["default"]
    assert label("vkd", {}) == "vkd"
    with pytest.raises(CasboError, match="pycma-diagonal"):
        method_named("nelder-mead")

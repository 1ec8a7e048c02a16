"""What the rules do not see: rotations, units, order; and that rounding and restarts stay small.

`TABLE` says which rule has which invariance, as docs/method.md states them. Every check compares
two walks of the same rule with the same base draws, the second one turned, bent, shuffled, rounded
or interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from casbo import Optimizer, orthonormal
from casbo.checkpoint import decode, encode
from casbo.covariance import COVARIANCES
from casbo.credit import Costs, costs
from casbo.rules import Rule, Setting, State, rule_of
from casbo.spaces import Layout

from .problems import normal

K, D, N = 2, 4, 10
SETTING = Setting(Layout(K, D, tuple(range(K))), N, K)

#: A rule and its options, by the name that the table uses.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {}),
    "default, unpooled": ("default", {"pooling": 0.0}),
    "default, seeing samples": ("default", {}),
    "paper": ("paper", {}),
    "paper by ranks": ("paper", {"shaping": "ranks"}),
    "paper, theorem": ("paper", {"schedule": "theorem"}),
    "bdtg": ("bdtg", {}),
    "ingo": ("ingo", {}),
    "ingo by ranks": ("ingo", {"shaping": "ranks"}),
}
#: Told what was scored, so that a model proposes candidates.
SEEING = ("default, seeing samples",)
BY_RANKS = ("paper by ranks", "ingo by ranks")
UNSEEING = tuple(name for name in CASES if name not in SEEING)
#: Who has which invariance. Pooling makes the steps share axes, so they can only turn together. A
#: model of the score expects the noise to enter samples as itself, and curvature along their axes.
#: A model remembers the newest candidates in their order, and what it proposes has as few digits
#: in float32 as its regression leaves: there only what is reached can be compared.
TABLE: dict[str, tuple[str, ...]] = {
    "one rotation": UNSEEING,
    "rotation of each step": tuple(name for name in CASES if CASES[name] != ("default", {})),
    "affine": tuple(CASES),
    "increasing": BY_RANKS,
    "order of candidates": UNSEEING,
    "rounding": UNSEEING,
    "precision": tuple(CASES),
    "restart": tuple(CASES),
}

Cost = Callable[[Tensor], Tensor]


def having(invariance: str) -> pytest.MarkDecorator:
    """Run a test for each rule that the table gives the invariance."""
    return pytest.mark.parametrize("case", TABLE[invariance])


def valley(u: Tensor) -> Tensor:
    """A convex cost of condition 27, the minimum at 1, for each step: (N, K).

    Not a quadratic: one that a model has solved leaves nothing but rounding to compare.
    """
    weights = torch.tensor([1.0, 3.0, 9.0, 27.0]).double()
    return (weights * (u - 1).abs().pow(1.5)).sum(-1)


def terminal(u: Tensor) -> Tensor:
    """The same for both steps together, at the end only: (N,)."""
    return valley(u).sum(-1)


def base_draws(rule: Rule, iteration: int, seed: int) -> Tensor:
    """Whitened draws (N, K, D), in mirrored pairs where the rule wants them."""
    count = N // 2 if rule.mirrors(SETTING) else N
    half = normal(count, K, D, seed=1000 * seed + iteration)
    return torch.cat([half, -half]) if rule.mirrors(SETTING) else half


def told(case: str, scores: Tensor, points: Tensor) -> Costs:
    """The costs of a population; where samples are seen, with the points (N, K, D) scored."""
    found = costs(scores, N, K, "minimize")
    if case not in SEEING:
        return found
    return found.seeing(points.flatten(1) if found.terminal else points)


def walk(
    case: str,
    cost: Cost = valley,
    *,
    covariance: str = "full",
    turn: Tensor | None = None,
    order: Tensor | None = None,
    iterations: int = 6,
    seed: int = 0,
) -> State:
    """The state after some iterations of a rule, called as the optimiser calls it.

    Arguments:
        cost: Of learned coordinates (N, K, D): with shape (N, K), or (N,) for a terminal one.
        turn: Rotations (K, D, D): draws turned by them, costs of what is turned back.
        order: A permutation of the candidates.
    """
    name, options = CASES[case]
    rule = rule_of(name, options)
    zero = torch.zeros(K, D).double()
    state = State(zero, COVARIANCES[covariance].identity(K, D), rule.memory(SETTING, zero))
    for iteration in range(iterations):
        draws = base_draws(rule, iteration, seed)
        draws = draws if order is None else draws[order]
        draws = draws if turn is None else torch.einsum("kij,nkj->nki", turn, draws)
        proposed = rule.propose(state, SETTING)
        if proposed is not None:
            draws[[0, N // 2]] = proposed
        u = state.mean + state.covariance.color(draws)
        u = u if turn is None else torch.einsum("kji,nkj->nki", turn, u)
        state = rule.update(state, draws, told(case, cost(u), u), SETTING)
    return state


def assert_same(found: State, expected: State, turn: Tensor | None = None, **close: Any) -> None:
    """The same means and covariances, the expected ones turned."""
    mean, dense = expected.mean, expected.covariance.dense()
    if turn is not None:
        mean = torch.einsum("kij,kj->ki", turn, mean)
        dense = turn @ dense @ turn.mT
    torch.testing.assert_close(found.mean, mean, **close)
    torch.testing.assert_close(found.covariance.dense(), dense, **close)


def rotations(seed: int, count: int) -> Tensor:
    """Random orthogonal matrices (K, D, D), as many different ones as said."""
    return orthonormal(normal(count, D, D, seed=seed)).expand(K, D, D)


@having("one rotation")
@pytest.mark.parametrize("covariance", ["full", "low_rank", "isotropic"])
@pytest.mark.parametrize("cost", [valley, terminal])
def test_one_rotation_of_all_steps(case: str, covariance: str, cost: Cost) -> None:
    if case == "default, unpooled" and covariance == "low_rank":
        pytest.skip("what cannot pool is unpooled already")
    turn = rotations(3, 1)
    turned = walk(case, cost, covariance=covariance, turn=turn)
    assert_same(turned, walk(case, cost, covariance=covariance), turn)


@having("rotation of each step")
@settings(max_examples=3)
@given(seed=st.integers(0, 1000))
def test_a_rotation_of_each_step(case: str, seed: int) -> None:
    turn = rotations(seed, K)
    assert_same(walk(case, turn=turn, seed=seed), walk(case, seed=seed), turn)


@having("affine")
@settings(max_examples=4)
@given(scale=st.floats(-6, 6), shift=st.floats(-1e3, 1e3), seed=st.integers(0, 1000))
@pytest.mark.parametrize("cost", [valley, terminal])
def test_increasing_affine_transforms(
    case: str, cost: Cost, scale: float, shift: float, seed: int
) -> None:
    """The unit and the zero of a score do not matter."""
    factor = 10**scale
    length, close = 6, {"rtol": 1e-6, "atol": 1e-8}
    if case in SEEING:  # few candidates make a model that amplifies rounding from step to step
        factor, shift = 2.0 ** round(scale), 0.0
        length, close = 3, {"rtol": 1e-4, "atol": 1e-5}
    other = walk(case, lambda u: factor * (cost(u) + shift), seed=seed, iterations=length)
    assert_same(other, walk(case, cost, seed=seed, iterations=length), **close)


@having("increasing")
@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
def test_any_increasing_transform_of_a_terminal_score(case: str, seed: int) -> None:
    """Any other values in the same order, in every iteration others: bit for bit the same."""
    rng = np.random.default_rng(seed)

    def bent(u: Tensor) -> Tensor:
        gaps = rng.lognormal(sigma=3.0, size=N)
        return torch.from_numpy(np.cumsum(gaps))[terminal(u).argsort().argsort()]

    other, plain = walk(case, bent, seed=seed), walk(case, terminal, seed=seed)
    assert torch.equal(other.mean, plain.mean)
    assert torch.equal(other.covariance.dense(), plain.covariance.dense())


@having("order of candidates")
@settings(max_examples=4)
@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize("cost", [valley, terminal])
def test_the_order_of_candidates(case: str, cost: Cost, seed: int) -> None:
    """Any order; where candidates come in pairs, any order of pairs and of the two of a pair."""
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(rng.permutation(N))
    if rule_of(*CASES[case]).mirrors(SETTING):
        pairs, flip = rng.permutation(N // 2), rng.random(N // 2) < 0.5
        first = np.where(flip, pairs + N // 2, pairs)
        order = torch.from_numpy(np.concatenate([first, (first + N // 2) % N]))
    assert_same(walk(case, cost, order=order), walk(case, cost))


def optimiser(case: str, population: int = N, **options: Any) -> Optimizer:
    name, rule_options = CASES[case]
    return Optimizer(K, D, population, seed=2, rule=name, **rule_options, **options)


def tell(case: str, optimizer: Optimizer, scores: Tensor, noise: Tensor) -> None:
    """Tell scores (N, K); where samples are seen, with the points (N, K, D) scored."""
    optimizer.tell(scores, noise if case in SEEING else None)


@having("rounding")
def test_float32_is_float64_within_rounding(case: str) -> None:
    """100 iterations of a search in float64, its scores told to a float32 one as well.

    Scores of their own would part the paths at the first two candidates that rounding ranks the
    other way round; with the same scores an error is only carried along. Each iteration rounds
    the state some ten times by 6e-8 of its largest entry: 100 of them make 6e-5 if all errors
    add, and 1e-3 leaves sixteen times that for a Sigma that grows, as `bdtg`'s does.
    """
    single, double = (optimiser(case, 20, dtype=dtype) for dtype in (torch.float32, torch.float64))
    for _ in range(100):
        noise = double.ask()
        assert single.ask().dtype == torch.float32
        for optimizer in (single, double):
            optimizer.tell(valley(noise))
    found, expected = single.controls, double.controls
    size = float(expected.mean.abs().max())
    torch.testing.assert_close(found.mean.double(), expected.mean, rtol=0, atol=1e-3 * size)
    dense = expected.covariance.dense()
    size = float(dense.abs().max())
    torch.testing.assert_close(found.covariance.dense().double(), dense, rtol=0, atol=1e-3 * size)


@having("precision")
def test_float32_reaches_what_float64_reaches(case: str) -> None:
    """With scores of their own, 100 iterations gain the same decades, give or take a tenth."""
    gained = []
    for dtype in (torch.float32, torch.float64):
        optimizer = optimiser(case, 20, dtype=dtype)
        start = float(valley(optimizer.controls.mean_noise().double()[None]).sum())
        for _ in range(100):
            noise = optimizer.ask().double()
            tell(case, optimizer, valley(noise), noise)
        reached = float(valley(optimizer.controls.mean_noise().double()[None]).sum())
        # float32 noise around 1 has a spacing of 6e-8: a distance of 1e-5 is still well resolved
        gained.append(math.log10(start / max(reached, 1e-9)))
    assert gained[0] == pytest.approx(gained[1], rel=0.1, abs=0.01)


@having("restart")
@settings(max_examples=3)
@given(stop=st.integers(0, 7), seed=st.integers(0, 1000))
def test_a_restart_in_mid_run(case: str, stop: int, seed: int) -> None:
    """From a state_dict, as a run folder keeps it, a run goes on bit for bit."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.standard_normal((8, N, K)))
    scores[torch.from_numpy(rng.random((8, N)) < 0.1)] = math.nan
    straight, first, second = (optimiser(case) for _ in range(3))
    for iteration in range(8):
        if iteration == stop:
            second.load_state_dict(decode(encode(first.state_dict()), "the test's"))
            first = second
        noise = straight.ask()
        assert torch.equal(first.ask(), noise)
        tell(case, straight, scores[iteration], noise)
        tell(case, first, scores[iteration], noise)
    assert torch.equal(straight.controls.mean, first.controls.mean)
    assert torch.equal(straight.ask(), first.ask())

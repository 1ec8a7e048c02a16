"""The theorem's schedule: every step of its proof holds, whatever the scores are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from casbo import CasboError, Optimizer
from casbo.checkpoint import decode, encode
from casbo.covariance import COVARIANCES, Full
from casbo.credit import costs
from casbo.rules import Paper, Setting, State
from casbo.rules.schedule import FLOOR, Progress, TheoremSchedule
from casbo.spaces import Layout

from .problems import normal, search, varied

STEPS, M, N = 2, 3, 6
SETTING = Setting(Layout(STEPS, M, (0, 1)), N, STEPS)


def absolute(noise: Tensor) -> Tensor:
    """Convex and without a gradient at its minimum: every step's l1 distance from 1.5, (N, K)."""
    return (noise - 1.5).abs().sum(-1)


def starting(rule: Paper) -> State:
    zero = torch.zeros(STEPS, M).double()
    return State(zero, Full.identity(STEPS, M), rule.memory(SETTING, zero))


positive = st.floats(0.01, 100)


@given(t=st.integers(1, 10**6), alpha=positive, beta=positive, nu=positive)
def test_gamma_is_how_fast_the_metric_may_grow(
    t: int, alpha: float, beta: float, nu: float
) -> None:
    """(T5): with H <= nu I, alpha_t H_t / beta_{t+1} never exceeds gamma_t I."""
    schedule = TheoremSchedule(alpha, beta, nu)
    allowed = nu * schedule.precision_step(t) / schedule.mean_step(t + 1)
    assert schedule.pull(t) == pytest.approx(allowed, rel=1e-12)


def test_sequences_by_hand() -> None:
    schedule = TheoremSchedule(alpha=2.0, beta=3.0, nu=5.0)
    assert (schedule.mean_step(8), schedule.precision_step(8)) == (24.0, 6.0)
    assert schedule.pull(8) == pytest.approx(2 * 5 / (3 * 3))
    assert schedule.bounds(8) == (FLOOR * 5.0, 5.0)


@pytest.mark.parametrize("name", sorted(COVARIANCES))
@pytest.mark.parametrize("t", [1, 30])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_one_step_is_what_the_equations_say(name: str, t: int, scale: float) -> None:
    """Against dense algebra: (T2) makes the mean a stationary point, H keeps its bounds (T4)."""
    schedule = TheoremSchedule(alpha=0.7, beta=1.3, nu=0.9)
    state = State(normal(2, M), varied(name, 2, M), {})
    draws, slopes = normal(8, 2, M, seed=1), scale * normal(8, 2, seed=2)
    curvatures = scale * normal(8, 2, seed=3).abs()
    after = schedule.step(state, draws, slopes, curvatures, t)

    before = torch.linalg.inv(state.covariance.dense())
    product = state.covariance.color((slopes[..., None] * draws).sum(0)[None])[0]  # Sigma g
    gradient = (before @ product[..., None])[..., 0]
    change = after.mean - state.mean
    metric = (before @ change[..., None])[..., 0] / schedule.mean_step(t)
    residual = gradient + schedule.pull(t) * after.mean + metric
    assert float(residual.abs().max()) < 1e-9 * max(1.0, float(gradient.abs().max()))

    grown = (torch.linalg.inv(after.covariance.dense()) - before) / schedule.precision_step(t)
    least, most = schedule.bounds(t)
    found = torch.linalg.eigvalsh(0.5 * (grown + grown.mT))
    assert float(found.min()) > least - 1e-9
    assert float(found.max()) < most + 1e-9


def test_curvature_keeps_its_bounds_in_many_coordinates() -> None:
    """Where a dense covariance's root is not the symmetric one, H is the same."""
    schedule, m = TheoremSchedule(), 60
    state = State(torch.zeros(1, m).double(), Full.identity(1, m), {})
    for t in range(1, 6):
        before = torch.linalg.inv(state.covariance.dense())
        draws, weights = normal(8, 1, m, seed=t), normal(8, 1, seed=9 + t).abs() / 8
        state = schedule.step(state, draws, weights, weights, t)
        grown = torch.linalg.inv(state.covariance.dense()) - before
        found = torch.linalg.eigvalsh(grown[0]) / schedule.precision_step(t)
        least, most = schedule.bounds(t)
        assert float(found.min()) > least - 1e-9
        assert float(found.max()) < most + 1e-9
        assert (
            float(found.sum()) < m * least + (most - least) + 1e-9
        )  # what was seen, by its trace


scores = arrays.arrays(np.float64, (5, N, STEPS), elements=st.floats(-1e3, 1e3))
points = arrays.arrays(np.float64, (STEPS, M), elements=st.floats(-20, 20))


@settings(max_examples=60)
@given(scores=scores, point=points, seed=st.integers(0, 100))
def test_the_regret_inequality_holds_for_any_scores(
    scores: np.ndarray, point: np.ndarray, seed: int
) -> None:
    """(T7) is algebra: it holds on every path, even where scores have no expectation at all."""
    rule = Paper(schedule="theorem", alpha=0.8, beta=1.5, nu=0.6)
    schedule, state = rule.sequences(), starting(rule)
    target = torch.from_numpy(point)
    regret, t = 0.0, 0
    bound = 0.5 * float((target - state.mean).square().sum()) / schedule.beta
    for step, values in enumerate(torch.from_numpy(scores)):
        told = costs(values, N, STEPS, "minimize")
        if not told.informative:
            continue
        draws, t = normal(N, STEPS, M, seed=100 * seed + step), t + 1
        slopes = Progress.of(state.memory).after(told).slopes(told, (0, 1))
        whitened = (slopes[..., None] * draws).sum(0)  # Sigma^{1/2} g
        inverse = torch.linalg.inv(state.covariance.dense())
        product = state.covariance.color(whitened[None])[0]
        gradient = (inverse @ product[..., None])[..., 0]
        regret += float((gradient * (state.mean - target)).sum())
        bound += 0.5 * schedule.pull(t) * float(target.square().sum())
        bound += 0.5 * schedule.mean_step(t) * float(whitened.square().sum())
        state = rule.update(state, draws, told, SETTING)
    assert regret <= bound + 1e-7 * (1 + abs(bound))


def test_the_gradient_is_unbiased_and_keeps_its_size() -> None:
    """E |a z + b| has the slope a (2 Phi(b / |a|) - 1); a population's own range is not in it."""
    populations, a, b = 4_000, 0.3, 0.2
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.standard_normal((populations, N)))
    values = (a * z + b).abs()
    progress = Progress(torch.tensor(3.0).double(), torch.tensor(0.5).double())
    found = []
    for draws, column in zip(z, values, strict=True):
        told = costs(column, N, 1, "minimize")
        found.append(float(progress.slopes(told, (0,))[:, 0] @ draws))
    expected = a * math.erf(b / a / 2**0.5) / 0.5
    assert abs(np.mean(found) - expected) < 6 * np.std(found) / populations**0.5


def test_the_unit_is_the_first_populations_spread() -> None:
    first, later = (costs(k * normal(N, STEPS, seed=k), N, STEPS, "minimize") for k in (1, 7))
    progress = Progress.zeros().after(first).after(later)
    assert float(progress.iteration) == 2
    assert float(progress.unit) == pytest.approx(float(first.values.sum(1).std(correction=0)))


@settings(max_examples=5)
@given(power=st.integers(-20, 20), shift=st.integers(-1000, 1000))
def test_scale_and_shift_of_the_scores_do_not_matter(power: int, shift: int) -> None:
    plain, other = (
        search(f, 60, 2, 3, 6, rule="paper", schedule="theorem")
        for f in (absolute, lambda x: 2.0**power * (absolute(x) + shift))
    )
    torch.testing.assert_close(plain.controls.mean, other.controls.mean, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"covariance": "diagonal"},
        {"covariance": "isotropic"},
        {"covariance": "low_rank", "rank": 2},
        {"space": "shared"},
        {"dtype": torch.float32},
    ],
)
def test_the_iteration_survives_a_restart(options: dict[str, Any]) -> None:
    def make() -> Optimizer:
        return Optimizer(2, 4, 8, rule="paper", schedule="theorem", **options)

    straight, stopped, resumed = make(), make(), make()
    for optimizer in (straight, stopped):
        for _ in range(5):
            optimizer.tell(absolute(optimizer.ask()))
    resumed.load_state_dict(decode(encode(stopped.state_dict()), "the test's"))
    for optimizer in (straight, resumed):
        for _ in range(5):
            optimizer.tell(absolute(optimizer.ask()))
    assert float(resumed.state_dict()["memory.schedule.iteration"]) == 10
    assert torch.equal(straight.controls.mean, resumed.controls.mean)
    assert torch.equal(straight.ask(), resumed.ask())


def test_a_shared_gaussian_takes_the_mean_over_its_draws() -> None:
    """With K = 1 there is nothing to share: both spaces are the same search."""
    alone, shared = (
        search(absolute, 60, 1, 3, 6, rule="paper", schedule="theorem", space=space)
        for space in ("per_step", "shared")
    )
    torch.testing.assert_close(alone.controls.mean, shared.controls.mean)


def test_average_regret_falls_like_the_root_of_the_iterations_and_within_its_bound() -> None:
    """(T10) bounds the expected regret; two seeds stay below it at every T, and fall as fast."""
    K, D, iterations = 2, 2, 600
    lipschitz = (K * D) ** 0.5  # of the sum of K D absolute values
    for seed in range(2):
        rule = Paper(schedule="theorem")
        optimizer = Optimizer(K, D, 20, seed=seed, rule=rule)
        means = []
        while optimizer.iteration < iterations:
            values = absolute(optimizer.ask())
            means.append(float(values.sum(1).mean()))
            optimizer.tell(values)
        regret = np.cumsum(means) / np.arange(1, iterations + 1)
        unit = float(optimizer.state_dict()["memory.schedule.unit"])
        for T in (10, 50, 200, 600):
            bound = rule.sequences().bound(T, K * D, lipschitz / unit, K * D * 1.5**2)
            assert regret[T - 1] / unit < bound
        times = np.unique(np.geomspace(iterations / 8, iterations, 30).astype(int))
        slope = np.polyfit(np.log(times), np.log(regret[times - 1]), 1)[0]
        assert slope < -0.4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "growing"}, "'constant' or 'theorem', got 'growing'"),
        ({"schedule": "theorem", "alpha": 0.0}, "alpha between 1e-06 and 1e[+]06, got 0"),
        ({"schedule": "theorem", "beta": -1.0}, "beta"),
        ({"schedule": "theorem", "nu": math.nan}, "nu"),
        ({"schedule": "theorem", "step": 0.5}, "no option step with schedule='theorem'"),
        ({"schedule": "theorem", "prior_pull": 0.1}, "no option prior_pull"),
        ({"schedule": "theorem", "mean_form": "natural"}, "no option mean_form"),
        ({"schedule": "theorem", "shaping": "z_score"}, "no option shaping"),
        ({"beta": 1.0, "nu": 1.0}, "no option beta or nu with schedule='constant'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CasboError, match=message):
        Optimizer(2, 3, 4, rule="paper", **options)

"""Rules: convergence, special cases under one seed, invariances, closed-form optima."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from casbo import Optimizer, Subspace, orthonormal
from casbo.covariance import Full
from casbo.credit import by_rank, costs
from casbo.errors import CasboError
from casbo.rules import RULES, Default, Ingo, Paper, Setting, State, rule_of
from casbo.rules.default import RankWeights
from casbo.rules.relevance import odd_part, signal, wiener
from casbo.rules.step_size import rank_gain
from casbo.spaces import Layout

from .problems import normal, search, varied
from .test_mirror import linear_gaussian

NAMES = sorted(RULES)


def sphere(noise: Tensor) -> Tensor:
    """Squared distance of every step's noise from 1.5: (N, K)."""
    return (noise - 1.5).square().sum(-1)


@pytest.mark.parametrize(
    ("rule", "options", "far"),
    [
        ("default", {}, 1e-9),
        ("default", {"covariance": "diagonal"}, 1e-9),
        ("default", {"covariance": "isotropic"}, 1e-9),
        ("default", {"covariance": "low_rank", "rank": 3}, 1e-9),
        ("default", {"space": "shared"}, 1e-9),
        ("ingo", {}, 1e-3),
        ("ingo", {"mean_form": "mean"}, 1e-3),
        ("ingo", {"covariance": "diagonal"}, 1e-6),
        ("ingo", {"space": "shared"}, 1e-3),
        ("bdtg", {"noise_norm": "free"}, 1e-6),
        # min-max weights move the mean too little for Sigma's decay: `paper` stops half-way
        ("paper", {}, 6.0),
        ("paper", {"step": 3.0}, 4.0),
    ],
)
def test_convergence_on_a_sphere(rule: str, options: dict[str, Any], far: float) -> None:
    optimizer = search(sphere, 5_000, 2, 5, 20, rule=rule, seed=3, **options)
    assert float((optimizer.controls.mean_noise() - 1.5).square().sum()) < far
    assert far < float(torch.tensor(2 * 5 * 1.5**2))


def test_bdtg_finds_a_direction_where_norms_are_kept() -> None:
    """With projected noise only mu's direction counts: its samples must score better."""
    optimizer = search(sphere, 1_000, 2, 5, 20, rule="bdtg", seed=3)
    assert optimizer.noise_norm == "project"
    steered, plain = (
        sphere(noise).mean() for noise in (optimizer.controls.noise(200, 1), normal(200, 2, 5))
    )
    assert float(steered) < 0.4 * float(plain)


def test_mean_and_sigma_of_noise_only_scores_stay_in_bounds() -> None:
    """A score of pure noise must neither blow the controls up nor end the search."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        optimizer = Optimizer(1, 40, 32, seed=seed)
        for _ in range(20):
            optimizer.ask()
            optimizer.tell(torch.from_numpy(rng.standard_normal(32)))
        deviation = float(optimizer.controls.spectrum().log().mean().mul(0.5).exp())
        assert 0.15 < deviation < 1.5


def test_small_noisy_budgets_are_used() -> None:
    """20 x 32 queries, 40 coordinates, noise of one standard deviation of the score."""
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        slope = torch.nn.functional.normalize(normal(40, seed=seed), dim=0)

        def score(u: Tensor, slope: Tensor = slope) -> Tensor:
            return u @ slope - u.square().sum(-1) / 12

        plain = score(normal(4000, 40, seed=99))
        optimizer = Optimizer(1, 40, 32, seed=seed, direction="maximize")
        first = None
        for _ in range(20):
            told = score(optimizer.ask()[:, 0])
            optimizer.tell(told + plain.std() * torch.from_numpy(rng.standard_normal(32)))
            first = optimizer.controls.mean[0] @ slope if first is None else first
        assert float(first) > 0  # the mean moves the right way from the first iteration on
        steered = score(optimizer.controls.noise(64, seed=1)[:, 0])
        gains.append(float((steered.mean() - plain.mean()) / plain.std()))
    assert float(np.mean(gains)) > 2.5


@pytest.mark.parametrize("rule", NAMES)
def test_the_optimal_steering_of_a_linear_gaussian_model_is_reached(rule: str) -> None:
    """E[F] is |A mu - x*|^2 / 2 + tr(A Sigma A^T) / 2: least at A mu = x*, Sigma -> 0."""
    target = torch.tensor([1.0, -2.0, 0.5]).double()
    options: dict[str, Any] = {"noise_norm": "free"}
    if rule == "paper":
        options["step"] = 0.2

    def cost(noise: Tensor) -> Tensor:
        return linear_gaussian(noise, target)

    optimizer = search(cost, 12_000, 3, 3, 30, rule=rule, seed=1, **options)
    reached = float(cost(optimizer.controls.mean_noise()[None]))
    start = float(0.5 * target.square().sum())
    assert reached < (0.2 * start if rule == "paper" else 1e-5)


@pytest.mark.parametrize("mean_form", ["mean", "natural"])
def test_the_pulled_optimum_is_the_closed_form_one(mean_form: str) -> None:
    """With a pull, the fixed point minimises E[F] + rho KL(p || N(0, I)).

    For F = |u - x*|^2 / 2 with the exact gradients g = mu - x*, H = I / 2 it is
    mu = x* / (1 + rho), Sigma = rho / (1 + rho) I. The draws that give exact gradients are the
    columns of +- sqrt(m) I with the matching weights.
    """
    rho, m, beta = 0.5, 3, 0.2
    target = torch.tensor([[1.0, -2.0, 0.5]]).double()
    from casbo.rules.mirror import MirrorStep

    state = State(torch.zeros(1, m).double(), Full.identity(1, m))
    axes = torch.eye(m).double()
    for _ in range(400):
        root = state.covariance.color(axes[:, None, :])[:, 0]
        slope = root @ (state.mean - target)[0]
        step = MirrorStep(beta, beta, rho, mean_form)  # type: ignore[arg-type]
        draws = torch.cat([axes, torch.linalg.eigh(root @ root).eigenvectors.T])[:, None]
        eigenvalues = torch.linalg.eigh(root @ root).eigenvalues
        zero = torch.zeros(m).double()
        state = step(
            state,
            draws,
            torch.cat([slope, zero])[:, None],
            torch.cat([zero, eigenvalues])[:, None],
            torch.zeros(1).double(),
        )
    torch.testing.assert_close(state.mean, target / (1 + rho))
    torch.testing.assert_close(state.covariance.dense()[0], rho / (1 + rho) * axes)


@pytest.mark.parametrize("rule", NAMES)
def test_without_pull_rho_changes_nothing(rule: str) -> None:
    plain, barely = (
        search(sphere, 100, 2, 4, 10, rule=rule, prior_pull=rho) for rho in (0.0, 1e-14)
    )
    torch.testing.assert_close(plain.controls.mean, barely.controls.mean)
    torch.testing.assert_close(
        plain.controls.covariance.dense(), barely.controls.covariance.dense()
    )


@pytest.mark.parametrize("rule", NAMES)
def test_a_pull_keeps_the_controls_near_the_prior(rule: str) -> None:
    free, pulled = (
        search(sphere, 600, 2, 4, 20, rule=rule, prior_pull=rho).controls.kl_to_prior().sum()
        for rho in (0.0, 0.3)
    )
    assert float(pulled) < 0.7 * float(free)


@pytest.mark.parametrize("rule", NAMES)
def test_low_rank_equals_full_while_it_is_exact(rule: str) -> None:
    options = {"pooling": 0.0} if rule == "default" else {}
    m, rank = 8, 8
    more = {"step": 0.1} if rule in {"paper", "ingo"} else {}
    full = search(sphere, 60, 2, m, 10, rule=rule, **options, **more)
    low = search(
        sphere, 60, 2, m, 10, rule=rule, covariance="low_rank", rank=rank, **options, **more
    )
    torch.testing.assert_close(low.controls.mean, full.controls.mean)
    torch.testing.assert_close(low.controls.covariance.dense(), full.controls.covariance.dense())


@pytest.mark.parametrize("rule", ["paper", "bdtg", "ingo"])
def test_low_rank_equals_full_in_few_of_many_coordinates(rule: str) -> None:
    more = {"step": 0.1} if rule in {"paper", "ingo"} else {}
    full = search(sphere, 24, 2, 40, 8, rule=rule, **more)
    low = search(sphere, 24, 2, 40, 8, rule=rule, covariance="low_rank", rank=24, **more)
    torch.testing.assert_close(low.controls.mean, full.controls.mean)
    torch.testing.assert_close(low.controls.covariance.dense(), full.controls.covariance.dense())


@pytest.mark.parametrize("rule", NAMES)
def test_one_step_is_plain_black_box_optimisation(rule: str) -> None:
    """K = 1: terminal scores, step scores and a shared Gaussian are all the same."""
    terminal = search(lambda x: sphere(x)[:, 0], 200, 1, 4, 10, rule=rule)
    shared = search(lambda x: sphere(x)[:, 0], 200, 1, 4, 10, rule=rule, space="shared")
    stepwise = search(sphere, 200, 1, 4, 10, rule=rule)
    for other in (shared, stepwise):
        torch.testing.assert_close(other.controls.mean, terminal.controls.mean)


@pytest.mark.parametrize("rule", NAMES)
def test_independent_steps_are_optimised_as_if_alone(rule: str) -> None:
    """With a last step that only its own noise moves, score-to-go is that step's own score."""
    options: dict[str, Any] = {"pooling": 0.0} if rule == "default" else {}
    setting = Setting(Layout(2, 3, (0, 1)), 8, 2)
    alone = Setting(Layout(1, 3, (0,)), 8, 1)
    ours = rule_of(rule, {"prior_pull": 0.0, **options})
    half = normal(4, 2, 3)
    draws = torch.cat([half, -half])
    values = sphere(draws + 0.1)
    both, single = (
        State(
            torch.zeros(s.layout.groups, 3).double(),
            Full.identity(s.layout.groups, 3),
            ours.memory(s, torch.zeros(s.layout.groups, 3).double()),
        )
        for s in (setting, alone)
    )
    both = ours.update(both, draws, costs(values, 8, 2, "minimize"), setting)
    last = costs(values[:, 1:], 8, 1, "minimize")
    single = ours.update(single, draws[:, 1:], last, alone)
    torch.testing.assert_close(both.mean[1], single.mean[0])
    if rule != "default":  # the default rule's step size is common to all steps
        torch.testing.assert_close(both.covariance.dense()[1], single.covariance.dense()[0])


@pytest.mark.parametrize("rule", ["paper", "ingo"])
def test_rank_shaped_rules_ignore_increasing_transforms(rule: str) -> None:
    plain, bent = (
        search(f, 300, 1, 4, 10, rule=rule, shaping="ranks")
        for f in (sphere, lambda x: sphere(x).pow(0.2) - 7)
    )
    torch.testing.assert_close(plain.controls.mean, bent.controls.mean)


@pytest.mark.parametrize("rule", NAMES)
def test_affine_transforms_change_nothing(rule: str) -> None:
    plain, other = (
        search(f, 200, 2, 4, 10, rule=rule) for f in (sphere, lambda x: 8 * sphere(x) + 3)
    )
    torch.testing.assert_close(plain.controls.mean, other.controls.mean)


@pytest.mark.parametrize("rule", NAMES)
def test_maximising_is_minimising_the_negative(rule: str) -> None:
    down = search(sphere, 200, 2, 4, 10, rule=rule)
    up = search(lambda x: -sphere(x), 200, 2, 4, 10, rule=rule, direction="maximize")
    assert torch.equal(down.controls.mean, up.controls.mean)


@pytest.mark.parametrize("rule", NAMES)
def test_full_does_not_see_rotations(rule: str) -> None:
    """Turned draws of a turned cost give the turned state."""
    turn = orthonormal(normal(4, 4, seed=3))
    ours, setting = rule_of(rule, {}), Setting(Layout(2, 4, (0, 1)), 10, 2)

    def run(turned: bool) -> State:
        zero = torch.zeros(2, 4).double()
        state = State(zero, Full.identity(2, 4), ours.memory(setting, zero))
        for step in range(5):
            half = normal(5, 2, 4, seed=step)
            draws = torch.cat([half, -half])
            draws = draws @ turn.T if turned else draws
            u = state.mean + state.covariance.color(draws)
            weights = torch.tensor([1.0, 3.0, 9.0, 27.0]).double()
            plain = u @ turn if turned else u
            values = (weights * (plain - 1).square()).sum(-1)
            state = ours.update(state, draws, costs(values, 10, 2, "minimize"), setting)
        return state

    plain, turned = run(False), run(True)
    torch.testing.assert_close(turned.mean, plain.mean @ turn.T)
    torch.testing.assert_close(turned.covariance.dense(), turn @ plain.covariance.dense() @ turn.T)


@pytest.mark.parametrize("rule", NAMES)
def test_a_rotated_basis_is_the_same_search(rule: str) -> None:
    """A subspace of all coordinates searches like the space itself."""
    plain = search(sphere, 100, 2, 4, 10, rule=rule)
    basis = search(sphere, 100, 2, 4, 10, rule=rule, space=Subspace(torch.eye(4)))
    torch.testing.assert_close(plain.controls.mean, basis.controls.mean)


def test_scale_explores_wider() -> None:
    """An optimum 30 away along two coordinates: found with scale 10 in a few iterations."""
    basis = torch.eye(20)[:, :2]

    def cost(noise: Tensor) -> Tensor:
        return (noise[:, 0, :2] - 30).square().sum(-1)

    wide = search(cost, 200, 1, 20, 20, space=Subspace(basis, scale=10.0))
    assert float((wide.controls.mean_noise()[0, :2] - 30).norm()) < 3
    assert float(wide.controls.mean_noise()[0, 2:].norm()) == 0


def test_paper_can_only_shrink() -> None:
    optimizer = Optimizer(2, 4, 10, rule="paper")
    largest = 1.0
    for _ in range(20):
        optimizer.tell(sphere(optimizer.ask()))
        now = float(optimizer.controls.spectrum().max())
        assert now <= largest + 1e-12
        largest = now


def test_signed_rank_weights() -> None:
    weights = RankWeights.of(20)
    torch.testing.assert_close(weights.signed, -weights.signed.flip(0))
    torch.testing.assert_close(weights.positive.sum(), torch.tensor(1.0).double())
    torch.testing.assert_close(weights.negative.sum(), torch.tensor(1.0).double())
    assert bool((weights.positive[:10] > 0).all())
    assert bool((weights.positive[10:] == 0).all())
    assert weights.positive_mass == pytest.approx(1 / float(weights.positive.square().sum()))


def test_relevance_is_unbiased_and_finds_the_steps_that_matter() -> None:
    """Score 0 depends on draw 0 alone, score 1 on both equally, score 2 on neither."""
    pairs, m = 50, 4
    slope = torch.nn.functional.normalize(torch.ones(m).double(), dim=0)
    found = []
    for seed in range(60):
        half, noise = normal(pairs, 2, m, seed=seed), normal(2 * pairs, seed=1000 + seed)
        draws = torch.cat([half, -half])
        along = draws @ slope
        values = torch.stack([along[:, 0], along.sum(-1) / 2**0.5, noise], dim=1)
        found.append(signal(odd_part(values), half))
    estimates = torch.stack(found)
    expected = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.5, 0.0]]).double()
    # scaling to unit root mean square biases by O(1/P)
    error = estimates.std(0) / 60**0.5
    assert bool(((estimates.mean(0) - expected).abs() < 6 * error + 2 / pairs).all())
    weights = wiener(estimates.mean(0), (0, 1), m / pairs)
    assert float(weights[1, 0]) == 0  # before the draw's first step
    assert float(weights[0, 0]) == 1
    assert float(weights[0, 2]) < 0.3


def test_rank_gain() -> None:
    old, new = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])
    assert rank_gain(old, new) == 1
    assert rank_gain(new, old) == -1
    assert rank_gain(old, old) == 0
    both = torch.cat([old, new]).argsort().argsort().double()
    assert rank_gain(old, new) == float(both[:2].mean() - both[2:].mean()) / 2


def test_sigma_limits() -> None:
    def flat(noise: Tensor) -> Tensor:
        return noise.sum(-1)

    low = search(sphere, 2_000, 1, 5, 10, sigma_floor=0.5, covariance="isotropic")
    high = search(flat, 2_000, 1, 5, 10, sigma_ceiling=2.0, covariance="isotropic")
    floor, ceiling = (o.state_dict()["memory.step.sigma"] for o in (low, high))
    assert float(floor) == 0.5
    assert float(ceiling) == 2.0


def test_ranking_with_failures_is_ranking_them_last() -> None:
    """A failed candidate does what the worst candidate does, up to the scale of values."""
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    failed = torch.tensor([False, False, False, True])
    weights = RankWeights.of(4).signed
    plain = by_rank(weights, values.double()[:, None], torch.zeros(4, dtype=torch.bool))
    shown = torch.tensor([1.0, 2.0, 3.0, 0.0]).double()[:, None]
    torch.testing.assert_close(by_rank(weights, shown, failed), plain)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rule_of("cma", {}), "among"),
        (lambda: rule_of("default", {"pool": 1}), "pooling"),
        (lambda: Default(pooling=2.0), "pooling between 0 and 1, got 2"),
        (lambda: Default(sigma_floor=-1.0), "sigma_floor"),
        (lambda: Default(sigma_ceiling=0.5), "sigma_ceiling"),
        (lambda: Default(prior_pull=-1.0), "prior_pull"),
        (lambda: Paper(shaping="best"), "min_max"),
        (lambda: Ingo(mean_form="odd"), "natural"),  # type: ignore[arg-type]
        (lambda: Paper(step=0.0), "step"),
        (lambda: Optimizer(2, 3, 7), "even"),
        (lambda: Optimizer(2, 3, 1, rule="ingo"), "at least 2"),
    ],
)
def test_bad_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(CasboError, match=message):
        make()


def test_a_rule_object_is_taken_as_it_is() -> None:
    assert Optimizer(1, 3, 4, rule=Ingo(step=0.5)).rule == Ingo(step=0.5)
    assert Optimizer(1, 3, 4, rule=Ingo(step=0.5), prior_pull=0.1).rule == Ingo(0.5, 0.1)


def test_a_start_covariance_may_be_given() -> None:
    start = varied("full", 2, 3)
    optimizer = Optimizer(2, 3, 4, covariance=start)
    assert optimizer.controls.covariance is start

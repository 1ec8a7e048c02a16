"""How samples answer to the noise: directly, or step by step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from casbo import Optimizer, orthonormal
from casbo.covariance import Full, Statistics, minimum_in_ball
from casbo.rules import Setting, State
from casbo.rules.proposals import Proposals, _response
from casbo.rules.recurrence import RIDGES, Recurrence, response_of
from casbo.rules.response import Response
from casbo.rules.surrogate import Quadratic
from casbo.spaces import Layout

from .problems import identity, normal, symmetric


@pytest.mark.parametrize("rows", [60, 9], ids=["determined", "fewer rows than coordinates"])
def test_a_response_is_exact_where_candidates_went(rows: int) -> None:
    slope, centre = normal(12, 2, 3, seed=1), normal(2, 3, seed=2)
    noise = normal(rows, 12, seed=3)
    found = Response.through(noise, centre + torch.einsum("nc,csf->nsf", noise, slope))
    if rows > 12:
        torch.testing.assert_close(found.slope, slope, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.centre, centre, rtol=1e-4, atol=1e-4)
    mixed = normal(rows, seed=4).softmax(0) @ noise
    predicted = found.centre + torch.einsum("c,csf->sf", mixed, found.slope)
    truth = centre + torch.einsum("c,csf->sf", mixed, slope)
    torch.testing.assert_close(predicted, truth, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("coordinates", [20, 5], ids=["few samples' coordinates", "as many"])
@pytest.mark.parametrize("radius", [0.1, 1.0, 100.0])
def test_the_minimum_lies_in_the_span(coordinates: int, radius: float) -> None:
    """Sought in all coordinates of the noise, or only in those that samples answer to."""
    response = Response(normal(2, 3, seed=1), normal(coordinates, 2, 3, seed=2))
    basis, narrow = response.in_span()
    unit = torch.eye(basis.shape[1]).double()
    torch.testing.assert_close(basis.T @ basis, unit)
    noise = normal(4, coordinates, seed=5)
    torch.testing.assert_close(narrow.of(noise @ basis), response.of(noise))
    for curved in (symmetric(3, seed=4), symmetric(3, seed=4) @ symmetric(3, seed=4)):
        quadratic = Quadratic(normal(3, seed=3), curved)
        whole, inside = response.pull_back(quadratic), narrow.pull_back(quadratic)
        wanted = minimum_in_ball(whole.gradient, whole.hessian, radius)
        found = basis @ minimum_in_ball(inside.gradient, inside.hessian, radius)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_pulling_back_is_the_chain_rule() -> None:
    response = Response(normal(2, 3, seed=1), normal(5, 2, 3, seed=2))
    quadratic = Quadratic(normal(3, seed=3), symmetric(3, seed=4))

    def cost(v: torch.Tensor) -> torch.Tensor:
        x = response.centre + torch.einsum("c,csf->sf", v, response.slope)
        return (x @ quadratic.gradient + 0.5 * ((x @ quadratic.hessian) * x).sum(1)).sum()

    found = response.pull_back(quadratic)
    origin = torch.zeros(5, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(cost, origin)
    torch.testing.assert_close(found.gradient, gradient)
    hessian = torch.autograd.functional.hessian(cost, origin)
    torch.testing.assert_close(found.hessian, hessian)


def test_whitened_samples_and_the_axes_of_their_own_coordinates() -> None:
    response = Response(normal(2, 3, seed=1), normal(5, 2, 3, seed=2))
    unit, axes = response.whitening()
    flat = (response.slope @ unit).flatten(0, 1)
    torch.testing.assert_close(flat.T @ flat / 2, identity(3), rtol=1e-6, atol=1e-6)
    points = normal(4, 3, seed=3)
    ratio = (points @ unit @ axes) / points
    torch.testing.assert_close(ratio, ratio[:1].expand(4, 3))
    torch.testing.assert_close(axes.norm(dim=0), torch.ones(3).double())


def walked(noise: Tensor, lags: int, gain: Tensor, *, turn: Tensor | None = None) -> Tensor:
    """Samples (n, K, F) of a recurrence with `lags` samples before; noise (n, K, m)."""
    F = gain.shape[1]
    maps = [identity(F) if turn is None else turn]
    maps = [maps[0]] if lags == 1 else [2 * maps[0], -maps[0]]
    samples: list[Tensor] = []
    for k in range(noise.shape[1]):
        x = 0.3 + noise[:, k] @ gain
        for map_, before in zip(maps, reversed(samples), strict=False):
            x = x + before @ map_
        samples.append(x)
    return torch.stack(samples, 1)


def foretold(noise: Tensor, samples: Tensor, fresh: Tensor) -> Tensor:
    """What the response fitted to candidates says of fresh whitened noise, Sigma being I."""
    _, K, m = noise.shape
    root = identity(m).expand(K, m, m)
    return response_of(noise, noise, samples, root).of(fresh.flatten(1))


@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("width", [6, 4], ids=["as wide as a sample", "narrower"])
def test_a_linear_recurrence_is_found_before_there_are_as_many_candidates_as_coordinates(
    lags: int, width: int
) -> None:
    K, F = 12, 6
    gain, turn = normal(width, F, seed=1), orthonormal(normal(F, F, seed=2))
    noise, fresh = normal(45, K, width, seed=3), normal(9, K, width, seed=4)
    truth = walked(fresh, lags, gain, turn=turn)
    found = foretold(noise, walked(noise, lags, gain, turn=turn), fresh)
    assert float((found - truth).norm() / truth.norm()) < 5e-3


@pytest.mark.parametrize("lags", [1, 2])
def test_multiples_of_the_noise_and_the_samples_before_are_found_from_eight(lags: int) -> None:
    """A random walk and a double integrator, as most samplers nearly are: 121 coordinates."""
    K, F = 6, 20
    gain = 0.4 * identity(F)
    noise, fresh = normal(8, K, F, seed=3), normal(9, K, F, seed=4)
    truth = walked(fresh, lags, gain)
    found = foretold(noise, walked(noise, lags, gain), fresh)
    assert float((found - truth).norm() / truth.norm()) < 1e-3


def test_a_mirror_image_is_not_held_out_without_its_pair() -> None:
    """Sixty-four candidates of 192 coordinates: x(-z) would foretell x(z) to a direct model."""
    optimizer, K, D = Optimizer(12, 16, 64, seed=1), 12, 16
    gain = 0.4 * identity(D) + 0.02 * normal(D, D, seed=1)
    x = walked(optimizer.ask(), 1, gain)
    optimizer.tell(x.square().sum(2), x)
    memory = Proposals.of(optimizer._state.memory)
    fresh = normal(9, K, D, seed=2)
    found = foretold(memory.noise, memory.samples, fresh)
    truth = walked(fresh, 1, gain)
    assert float((found - truth).norm() / truth.norm()) < 0.1


@pytest.mark.parametrize("m", [3, 45], ids=["symmetric root", "another root"])
def test_the_root_of_the_covariance_is_the_one_that_noise_is_coloured_with(m: int) -> None:
    K, F, n = 2, 2, 400
    start, seeds = Full.identity(K, m), range(3)
    for seed in seeds:  # turned away from the identity, as a search turns it
        vectors = normal(5, K, m, seed=seed)
        weights = torch.full((5, K), 0.3).double()
        start = start.updated(Statistics(vectors, weights, torch.zeros(K).double()), "covariance")
    setting = Setting(Layout(K, m, tuple(range(K))), 20, K)
    whitened, mean = normal(n, K, m, seed=7), normal(K, m, seed=8)
    away = start.color(whitened)
    gain = normal(m, F, seed=9)
    samples = walked(mean + away, 1, gain)
    found = _response(State(mean, start, {}), setting, away, whitened, samples)
    fresh = normal(9, K, m, seed=10)
    truth = walked(mean + start.color(fresh), 1, gain)
    error = (found.of(fresh.flatten(1)) - truth).norm() / truth.norm()
    assert float(error) < 1e-3


def test_a_response_through_a_hidden_state_is_found_directly() -> None:
    """Each sample a map of its own of all noise: no recurrence of samples."""
    K, m, F = 3, 4, 2
    slope = normal(K * m, K, F, seed=1)
    noise = normal(90, K, m, seed=2)
    samples = torch.einsum("nc,csf->nsf", noise.flatten(1), slope)
    root = identity(m).expand(K, m, m)
    found = response_of(noise, noise, samples, root)
    torch.testing.assert_close(found.slope, slope, rtol=1e-4, atol=1e-4)


def test_a_recurrence_as_a_response_says_the_same() -> None:
    K, m, F = 4, 3, 2
    transitions = (normal(K, F, F, seed=1), normal(K, F, F, seed=2))
    recurrence = Recurrence(normal(K, F, seed=3), transitions, normal(K, m, F, seed=4))
    root, whitened = normal(K, m, m, seed=5), normal(7, K, m, seed=6)
    away = torch.einsum("nki,kij->nkj", whitened, root)
    found = recurrence.response(root).of(whitened.flatten(1))
    torch.testing.assert_close(found, recurrence.of(away))


@settings(max_examples=60)
@given(
    count=st.integers(1, 30),
    shape=st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3)),
    scale=st.sampled_from([0.0, 1e-200, 1e-12, 1.0, 1e9, 1e200]),
    lags=st.integers(1, 2),
    seed=st.integers(0, 10**6),
)
def test_whatever_is_told_a_recurrence_has_its_shapes(
    count: int, shape: tuple[int, int, int], scale: float, lags: int, seed: int
) -> None:
    """Constant, tiny and huge samples: numbers may break down, nothing may be raised."""
    K, m, F = shape
    noise, samples = normal(count, K, m, seed=seed), scale * normal(count, K, F, seed=seed + 1)
    weights = torch.ones(count, dtype=torch.float64)
    found = list(Recurrence.through(noise, samples, weights, lags))
    assert len(found) == len(RIDGES)
    assert all(one.of(noise).shape == samples.shape for one in found)
    if scale < 1e200:
        assert all(bool(one.of(noise).isfinite().all()) for one in found)
    root = identity(m).expand(K, m, m)
    response = response_of(noise, noise, samples, root)
    assert response.slope.shape == (K * m, K, F)
    if scale < 1e200:
        assert bool(response.slope.isfinite().all())


def test_a_bowl_at_the_end_of_a_double_integrator_is_found_within_two_hundred_queries() -> None:
    K, D, N = 5, 20, 20
    target = normal(D, seed=1)
    optimizer, best = Optimizer(K, D, N, seed=2), []
    for _ in range(10):
        x = walked(optimizer.ask().double(), 2, 0.2 * identity(D))
        costs = (x - target).square().sum(2)
        best.append(float(costs.sum(1).min()))
        optimizer.tell(costs, x)
    assert min(best) < 1e-3 * best[0]  # any path can be followed: the minimum is 0

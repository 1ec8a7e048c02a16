"""The model of the score: regressions against what made the data, and the ball's minimum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo.covariance import minimum_in_ball
from casbo.rules.surrogate import Quadratic, Response

from .problems import normal


def symmetric(size: int, seed: int) -> torch.Tensor:
    matrix = normal(size, size, seed=seed)
    return matrix + matrix.T


@pytest.mark.parametrize("size", [1, 3, 6])
def test_a_quadratic_is_found_from_as_many_costs_as_it_has_numbers(size: int) -> None:
    gradient, hessian = normal(size, seed=1), symmetric(size, seed=2)
    points = normal((size + 1) * (size + 2) // 2 + 5, size, seed=3)
    costs = 7 + points @ gradient + 0.5 * torch.einsum("ni,ij,nj->n", points, hessian, points)
    found = Quadratic.through(points, costs, torch.ones(len(points), dtype=torch.float64))
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.hessian, hessian, rtol=1e-4, atol=1e-4)


def test_a_round_bowl_is_found_from_far_fewer() -> None:
    """66 numbers, 30 costs: curvature alike in all directions is what the prior expects."""
    points = normal(30, 10, seed=3)
    centre = 0.5 * normal(10, seed=4)
    costs = (points - centre).square().sum(1)
    found = Quadratic.through(points, costs, torch.ones(30, dtype=torch.float64))
    reached = torch.linalg.solve(found.hessian, -found.gradient)
    assert (reached - centre).norm() < 0.5 * centre.norm()


def test_noise_is_averaged_not_fitted() -> None:
    points, gradient = normal(2000, 2, seed=5), normal(2, seed=6)
    costs = points @ gradient + 0.5 * normal(2000, seed=7)
    found = Quadratic.through(points, costs, torch.ones(2000, dtype=torch.float64))
    error = (found.gradient - gradient).norm()
    assert error < 6 * 0.5 * (2 / 2000) ** 0.5
    assert found.hessian.abs().max() < 6 * 0.5 * (2 / 2000) ** 0.5


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


@settings(max_examples=100)
@given(size=st.integers(1, 8), seed=st.integers(0, 10**6), radius=st.floats(1e-3, 1e3))
def test_the_minimum_in_a_ball_satisfies_its_conditions(
    size: int, seed: int, radius: float
) -> None:
    """Nocedal and Wright, theorem 4.1: (H + shift I) v = -g, H + shift I >= 0, shift only at the
    boundary."""
    gradient, hessian = normal(size, seed=seed), symmetric(size, seed=seed + 1)
    found = minimum_in_ball(gradient, hessian, radius)
    assert float(found.norm()) <= radius * (1 + 1e-9)
    residual = hessian @ found + gradient
    shift = -float(residual @ found) / float(found @ found)
    assert float((residual + shift * found).norm()) < 1e-5 * (1 + float(residual.norm()))
    assert shift >= -float(torch.linalg.eigvalsh(hessian)[0]) - 1e-6
    if float(found.norm()) < radius * (1 - 1e-6):
        assert abs(shift) < 1e-5


def test_nothing_is_made_of_what_rounding_leaves_where_a_model_is_flat() -> None:
    """Few candidates span few directions: the others must not fill the ball up."""
    along = torch.zeros(8).double()
    along[:3] = torch.tensor([1.0, -2.0, 0.5])
    hessian = torch.diag((along != 0).double())
    exact = minimum_in_ball(along, hessian, 10.0)
    torch.testing.assert_close(exact, -along)
    rounded = minimum_in_ball(along + 1e-10 * normal(8, seed=1), hessian, 10.0)
    torch.testing.assert_close(rounded, exact)

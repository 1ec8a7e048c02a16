"""The model of the score: regressions against what made the data, and the ball's minimum."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo.covariance import minimum_in_ball
from casbo.rules.surrogate import Quadratic

from .problems import identity, normal, symmetric


@pytest.mark.parametrize("size", [1, 3, 6])
def test_a_quadratic_is_found_from_as_many_costs_as_it_has_numbers(size: int) -> None:
    gradient, hessian = normal(size, seed=1), symmetric(size, seed=2)
    points = normal((size + 1) * (size + 2) // 2 + 5, size, seed=3)
    costs = 7 + points @ gradient + 0.5 * torch.einsum("ni,ij,nj->n", points, hessian, points)
    found = Quadratic.through(points, costs, torch.ones(len(points)).double(), identity(size))
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.hessian, hessian, rtol=1e-4, atol=1e-4)


def test_a_round_bowl_is_found_from_far_fewer() -> None:
    """66 numbers, 30 costs: curvature alike in all directions is what the prior expects."""
    points = normal(30, 10, seed=3)
    centre = 0.5 * normal(10, seed=4)
    costs = (points - centre).square().sum(1)
    found = Quadratic.through(points, costs, torch.ones(30).double(), identity(10))
    reached = torch.linalg.solve(found.hessian, -found.gradient)
    assert (reached - centre).norm() < 0.5 * centre.norm()


def test_curvature_along_axes_is_found_from_far_fewer() -> None:
    """231 numbers, 60 costs: an own curvature along each axis is what the second prior expects."""
    points, curvature = normal(60, 20, seed=3), torch.logspace(0, 3, 20, dtype=torch.float64)
    centre, axes = 0.5 * normal(20, seed=4), normal(20, 20, seed=5)
    axes = axes / axes.norm(dim=0)
    costs = (((points - centre) @ axes).square() * curvature).sum(1)
    found = Quadratic.through(points, costs, torch.ones(60).double(), axes)
    hessian = 2 * (axes * curvature) @ axes.T
    torch.testing.assert_close(found.hessian, hessian, rtol=1e-2, atol=0.1)
    torch.testing.assert_close(found.gradient, -hessian @ centre, rtol=1e-2, atol=0.1)


def test_noise_is_averaged_not_fitted() -> None:
    points, gradient = normal(2000, 2, seed=5), normal(2, seed=6)
    costs = points @ gradient + 0.5 * normal(2000, seed=7)
    found = Quadratic.through(points, costs, torch.ones(2000).double(), identity(2))
    error = (found.gradient - gradient).norm()
    assert error < 6 * 0.5 * (2 / 2000) ** 0.5
    assert found.hessian.abs().max() < 6 * 0.5 * (2 / 2000) ** 0.5


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

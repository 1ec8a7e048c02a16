"""Every test function is least, flat and zero where it says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo_functions import FORMULAS, ShiftedFunction

DIMS = (2, 5, 12)


def around(function: ShiftedFunction, scale: float, count: int, seed: int) -> torch.Tensor:
    """Points (count, D) around the optimum at a distance of about `scale` a coordinate."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(count, function.dim, generator=generator, dtype=torch.float64)
    return function.optimum + scale * steps


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dim", DIMS)
def test_the_optimum_is_the_minimum(name: str, dim: int) -> None:
    function = ShiftedFunction(name, dim, seed=3)
    assert float(function(function.optimum)) == pytest.approx(function.optimal_value, abs=1e-20)
    for scale in (1e-3, 0.1, 1.0, 5.0):
        assert bool(
            (function(around(function, scale, 500, seed=1)) > function.optimal_value).all()
        )


@pytest.mark.parametrize("name", [n for n, f in FORMULAS.items() if f.smooth])
def test_the_gradient_vanishes_at_the_optimum(name: str) -> None:
    function = ShiftedFunction(name, 6, seed=2)
    x = function.optimum.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(function(x), x)
    hessian = torch.autograd.functional.hessian(function, function.optimum)
    assert torch.allclose(gradient, torch.zeros(6, dtype=torch.float64), atol=1e-12)
    assert float(torch.linalg.eigvalsh(hessian).min()) > 0


@pytest.mark.parametrize("name", [n for n, f in FORMULAS.items() if not f.smooth])
def test_every_direction_leads_up_from_a_kink(name: str) -> None:
    """0 is a subgradient: every one-sided directional derivative at the optimum is positive."""
    function = ShiftedFunction(name, 6, seed=2)
    directions = torch.nn.functional.normalize(
        around(function, 1.0, 300, 5) - function.optimum, dim=-1
    )
    slopes = function(function.optimum + 1e-7 * directions) / 1e-7
    assert float(slopes.min()) > 0.1


@pytest.mark.parametrize("name", [n for n, f in FORMULAS.items() if f.convex])
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
@settings(max_examples=40)
def test_convex_functions_are_convex(name: str, seed: int, share: float) -> None:
    function = ShiftedFunction(name, 4)
    left, right = around(function, 2.0, 2, seed)
    chord = share * function(left) + (1 - share) * function(right)
    assert float(function(share * left + (1 - share) * right)) <= float(chord) * (1 + 1e-12) + 1e-9


def test_values_by_hand() -> None:
    """The formulas against arithmetic on one point, two steps off the optimum in D = 2."""
    expected = {
        "sphere": 5.0,
        "ellipsoid": 1.0 + 4e6,
        "l1-ellipsoid": 1.0 + 2e6,
        "l1/2-ellipsoid": 1.0 + 1e6 * math.sqrt(2),
        "discus": 1e6 + 4.0,
        # z = (2, -1), w = (1.25, 0.5)
        "levy": math.sin(1.25 * math.pi) ** 2
        + 0.0625 * (1 + 10 * math.sin(1.25 * math.pi + 1) ** 2)
        + 0.25 * (1 + math.sin(math.pi) ** 2),
        "rastrigin10": 1.0 + 400.0,  # integers: the cosines are 1
        "rosenbrock": 100.0 * (-1.0 - 4.0) ** 2 + 1.0,
    }
    assert set(expected) == set(FORMULAS)
    for name, value in expected.items():
        function = ShiftedFunction(name, 2, seed=1)
        offset = torch.tensor([1.0, -2.0], dtype=torch.float64)
        assert float(function(function.optimum + offset)) == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("name", FORMULAS)
def test_batches_seeds_and_precisions_agree(name: str) -> None:
    function = ShiftedFunction(name, 5, seed=4)
    points = around(function, 1.0, 12, seed=0)
    values = function(points)
    assert torch.equal(function(points.reshape(3, 4, 5)), values.reshape(3, 4))
    assert torch.allclose(torch.stack([function(p) for p in points]), values, rtol=1e-12)
    single = function(points.float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), values, rtol=2e-3, atol=1e-3)
    assert torch.equal(ShiftedFunction(name, 5, seed=4).optimum, function.optimum)
    assert not torch.equal(ShiftedFunction(name, 5, seed=5).optimum, function.optimum)


def test_one_dimension_is_not_a_division_by_zero() -> None:
    for name, formula in FORMULAS.items():
        if formula.least_dim == 1:
            function = ShiftedFunction(name, 1)
            assert torch.isfinite(function(function.optimum + 1.0)).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(CasboError, match=r"sphere.*got 'parabola'"):
        ShiftedFunction("parabola", 3)
    with pytest.raises(CasboError, match="at least 2 coordinates"):
        ShiftedFunction("rosenbrock", 1)
    with pytest.raises(CasboError, match=r"3 coordinates, got shape \(7, 4\)"):
        ShiftedFunction("sphere", 3)(torch.zeros(7, 4))

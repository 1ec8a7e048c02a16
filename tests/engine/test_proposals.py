"""Candidates that a model of the score proposes, through the optimiser's ask and tell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from casbo import CasboError, Optimizer
from casbo.rules.proposals import LARGEST_SAMPLE

from .problems import normal

STEPS, DIM, POPULATION = 4, 6, 12
MAPS = normal(STEPS, DIM, DIM, seed=11) / STEPS
TARGET = normal(DIM, seed=12)
CURVATURE = torch.logspace(0, 3, DIM, dtype=torch.float64)


def points(noise: Tensor) -> Tensor:
    return torch.einsum("nki,kij->nj", noise, MAPS.to(noise))


def bowl(x: Tensor) -> Tensor:
    return ((x - TARGET).square() * CURVATURE).sum(1)


def searched(iterations: int, *, tell: Any = None, **options: Any) -> tuple[Optimizer, float]:
    """An optimiser after some populations, and the best cost."""
    optimizer = Optimizer(STEPS, DIM, POPULATION, seed=3, **options)
    best = torch.inf
    for _ in range(iterations):
        x = points(optimizer.ask())
        best = min(best, float(bowl(x).min()))
        (tell or Optimizer.tell)(optimizer, bowl(x), x)
    return optimizer, best


def without_samples(optimizer: Optimizer, scores: Tensor, _: Tensor) -> None:
    optimizer.tell(scores)


def alike(a: Optimizer, b: Optimizer) -> bool:
    return torch.equal(a.ask(), b.ask())


def test_a_quadratic_score_is_solved_once_its_numbers_are_seen() -> None:
    """28 numbers of a quadratic of 6 coordinates, 24 of the response: 72 queries hold them."""
    _, seeing = searched(10)
    _, blind = searched(10, tell=without_samples)
    assert seeing < 1e-6
    assert blind > 1e-2


def test_samples_help_only_a_rule_that_uses_them() -> None:
    a, _ = searched(6, surrogate=False)
    b, _ = searched(6, tell=without_samples)
    assert not a.wants_samples
    assert alike(a, b)
    assert not Optimizer(STEPS, DIM, POPULATION, rule="paper").wants_samples
    assert not Optimizer(STEPS, DIM, POPULATION, noise_norm="project").wants_samples
    assert not Optimizer(STEPS, DIM, POPULATION, space="shared").wants_samples
    assert not Optimizer(STEPS, DIM, 6).wants_samples


def test_samples_of_many_coordinates_change_nothing() -> None:
    wide = normal(DIM, LARGEST_SAMPLE + 1, seed=5)
    a, _ = searched(5, tell=lambda o, scores, x: o.tell(scores, x @ wide))
    b, _ = searched(5, tell=without_samples)
    assert alike(a, b)


def test_the_samples_coordinate_system_does_not_matter() -> None:
    """Any invertible affine map of what is told leaves the search as it was."""
    turned = normal(DIM, DIM, seed=6)
    shift = normal(DIM, seed=7)
    a, _ = searched(3)
    b, _ = searched(3, tell=lambda o, scores, x: o.tell(scores, x @ turned + shift))
    torch.testing.assert_close(a.ask(), b.ask(), rtol=1e-4, atol=1e-4)


def test_a_failed_candidates_sample_is_not_learned_from() -> None:
    def spoiled(garbage: float) -> Any:
        def tell(optimizer: Optimizer, scores: Tensor, x: Tensor) -> None:
            scores, x = scores.clone(), x.clone()
            scores[2], x[2] = torch.nan, garbage
            optimizer.tell(scores, x)

        return tell

    a, _ = searched(4, tell=spoiled(1e9))
    b, _ = searched(4, tell=spoiled(torch.nan))
    assert alike(a, b)


def test_scores_at_every_step_count_as_further_costs() -> None:
    """With an unscored step left out; what is told there is not read."""

    def stepwise(optimizer: Optimizer, unread: float) -> float:
        noise = optimizer.ask()
        x = torch.cumsum(torch.einsum("nki,kij->nkj", noise, MAPS), 1)
        scores = (x - TARGET).square().sum(2)
        scores[:, 0], x[:, 0] = 0, torch.nan
        optimizer.tell(scores + 0 * unread, x)
        return float(scores.sum(1).min())

    optimizer = Optimizer(STEPS, DIM, POPULATION, seed=4)
    costs = [stepwise(optimizer, 1.0) for _ in range(25)]
    blind = Optimizer(STEPS, DIM, POPULATION, seed=4, surrogate=False)
    assert min(costs) < 0.1 * min(stepwise(blind, 1.0) for _ in range(25))


@pytest.mark.parametrize("asked", [False, True], ids=["between", "while scoring"])
def test_a_search_goes_on_exactly_from_its_state(asked: bool) -> None:
    optimizer, _ = searched(5)
    if asked:
        optimizer.ask()
    other = Optimizer(STEPS, DIM, POPULATION, seed=3)
    other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        noise = other.ask()
        assert torch.equal(noise, optimizer.ask())
        x = points(noise)
        for one in (optimizer, other):
            one.tell(bowl(x), x)
    assert alike(optimizer, other)


def test_in_a_subspace_only_learned_coordinates_are_proposed() -> None:
    from casbo import Subspace, orthonormal

    basis = orthonormal(normal(DIM, 2, seed=8))
    optimizer = Optimizer(STEPS, DIM, POPULATION, seed=3, space=Subspace(basis, 2.0))
    plain = Optimizer(STEPS, DIM, POPULATION, seed=3, space=Subspace(basis, 2.0), surrogate=False)
    for _ in range(2):
        noise, other = optimizer.ask(), plain.ask()
        outside = torch.eye(DIM, dtype=torch.float64) - basis @ basis.T
        torch.testing.assert_close(noise @ outside, other @ outside)
        x = points(noise)
        optimizer.tell(bowl(x), x)
        plain.tell(bowl(points(other)))


@pytest.mark.parametrize(
    "samples",
    [torch.zeros(3, 2), torch.zeros(POPULATION), torch.zeros(POPULATION, 2, 2), "points", [[1j]]],
)
def test_other_shapes_are_refused(samples: Any) -> None:
    optimizer = Optimizer(STEPS, DIM, POPULATION)
    optimizer.ask()
    with pytest.raises(CasboError, match="Expected"):
        optimizer.tell(torch.arange(POPULATION), samples)


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1e200], ids=["constant", "tiny", "huge"])
def test_samples_that_no_model_fits_do_no_harm(scale: float) -> None:
    optimizer, _ = searched(8, tell=lambda o, scores, x: o.tell(scores, scale * x))
    assert optimizer.ask().isfinite().all()


def test_the_default_number_type_of_torch_does_not_matter() -> None:
    """An application may have set it: the same search, bit for bit."""
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            optimizer = Optimizer(3, 4, 12)
            for _ in range(12):
                samples = optimizer.ask().cumsum(1)
                scores = (samples - 1).abs().pow(1.5).sum(-1)
                optimizer.tell(scores, samples)
            found.append(optimizer.ask())
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(*found)

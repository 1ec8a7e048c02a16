"""The default rule where every step's noise keeps the norm of what the model was trained with."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from casbo import Optimizer
from casbo.rules import rule_of
from casbo.rules.default import LARGEST_FREE
from casbo.spaces import Layout

from .problems import normal

K, D, N = 4, LARGEST_FREE + 88, 16


def linear(noise: Tensor) -> Tensor:
    """The noise's coordinate along one direction: mean 0, standard deviation 1."""
    direction = torch.nn.functional.normalize(normal(noise[0].numel(), seed=9), dim=0)
    return noise.flatten(1).double() @ direction


def searched(iterations: int, *shape: int, **options: Any) -> Optimizer:
    """An optimiser of shape (K, D, N) after some iterations of maximising the linear score."""
    optimizer = Optimizer(*shape, direction="maximize", **options)
    for _ in range(iterations):
        optimizer.tell(linear(optimizer.ask()))
    return optimizer


@pytest.mark.parametrize("coordinates", [LARGEST_FREE, LARGEST_FREE + 1])
def test_many_coordinates_stay_on_the_shell_unless_told_otherwise(coordinates: int) -> None:
    usual = "free" if coordinates == LARGEST_FREE else "project"
    assert rule_of("default", {}).norm(Layout(1, coordinates, (0,))) == usual
    assert Optimizer(1, coordinates, 4).noise_norm == usual
    assert Optimizer(1, coordinates, 4, noise_norm="free").noise_norm == "free"


@pytest.mark.parametrize("space", ["per_step", "shared"])
def test_the_norm_is_kept_while_the_score_rises(space: str) -> None:
    optimizer = searched(0, K, D, N, rank=8, space=space)
    for _ in range(30):
        noise = optimizer.ask()
        # chi with D degrees of freedom: sqrt(D) with a standard deviation of 0.7
        assert float((noise.norm(dim=-1) - math.sqrt(D)).abs().max()) < 0.71 * 6
        optimizer.tell(linear(noise))
    assert float(linear(optimizer.ask()).mean()) > (12.0 if space == "per_step" else 0.0)


def test_what_a_linear_score_can_give_is_mostly_taken() -> None:
    """Q queries know the projection of the direction on Q of K D coordinates, no more."""
    optimizer = searched(40, K, D, N, rank=8)
    mean = optimizer.controls.mean_noise()
    on_shell = mean * mean.square().mean(-1, keepdim=True).rsqrt()
    queries, coordinates = optimizer.queries, K * D
    bound = math.sqrt(coordinates * queries / (queries + coordinates))
    assert 0.8 * bound < float(linear(on_shell[None])) < 1.2 * bound


def test_second_moments_before_rescaling_are_those_of_plain_noise_or_more() -> None:
    optimizer = searched(0, K, D, N, rank=8)
    for _ in range(15):
        optimizer.tell(linear(optimizer.ask()))
        controls = optimizer.controls
        # what the rank-one update does to C is not part of it: a few in a thousand
        second = controls.mean.square().mean() + controls.covariance.variances().mean()
        assert float(second) > 0.99
        assert float(controls.covariance.spectrum().median()) < 1 + 1e-9


def test_a_low_rank_is_the_full_covariance_until_directions_are_dropped() -> None:
    """4 iterations of 7 candidates and a path each make 32 directions of 36."""
    shape, options = (2, 36, 7), {"noise_norm": "project", "pooling": 0.0}
    full = searched(0, *shape, covariance="full", **options)
    low = searched(0, *shape, covariance="low_rank", rank=36, **options)
    for _ in range(4):
        noise = full.ask()
        torch.testing.assert_close(low.ask(), noise)
        for optimizer in (full, low):
            optimizer.tell(linear(noise))
    torch.testing.assert_close(low.controls.mean, full.controls.mean)


def test_nothing_grows_with_the_square_of_the_coordinates() -> None:
    rank = 3
    state = searched(6, K, D, N, rank=rank).state_dict()
    largest = max(v.numel() for v in state.values() if isinstance(v, Tensor))
    assert largest <= K * D * rank


def test_candidates_are_independent_and_may_be_odd_in_number() -> None:
    noise = Optimizer(K, D, 5).ask()
    unit = noise.flatten(1) / noise.flatten(1).norm(dim=1, keepdim=True)
    assert float((unit @ unit.T - torch.eye(5).double()).abs().max()) < 6 / math.sqrt(K * D)


def test_scores_per_step_are_charged_to_the_steps_before_them() -> None:
    """A score of the first step's noise says nothing about the mean of later ones."""

    def tell(optimizer: Optimizer) -> None:
        noise = optimizer.ask()
        scores = torch.zeros(N, K).double()
        scores[:, 0] = noise[:, 0].double() @ normal(D, seed=2)
        optimizer.tell(scores)

    optimizer = Optimizer(K, D, N, direction="maximize", rank=8)
    for _ in range(10):
        tell(optimizer)
    gained = torch.cosine_similarity(
        optimizer.controls.mean, normal(D, seed=2).expand(K, D), dim=-1
    )
    assert float(gained[0]) > 0.3
    assert float(gained[1:].abs().max()) < 6 / math.sqrt(D)

"""What several engine tests need: random inputs from seeds, and plain search loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from casbo import Optimizer
from casbo.covariance import COVARIANCES, Covariance, LowRank, Statistics


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard-normal numbers in float64."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def statistics(count: int, groups: int, m: int, seed: int = 0, **more: Any) -> Statistics:
    """Random statistics with weights of both signs."""
    weights = 0.5 * normal(count, groups, seed=seed + 1) / count
    return Statistics(normal(count, groups, m, seed=seed), weights, -weights.sum(0), **more)


def varied(name: str, groups: int, m: int, seed: int = 0) -> Covariance:
    """A covariance of the type named, after two random updates."""
    options = {"rank": m} if COVARIANCES[name] is LowRank else {}
    covariance = COVARIANCES[name].identity(groups, m, **options)
    for step in range(2):
        covariance = covariance.updated(statistics(6, groups, m, seed + 10 * step), "precision")
    return covariance


def search(
    cost: Callable[[Tensor], Tensor], queries: int, *shape: int, **options: Any
) -> Optimizer:
    """Run an optimiser of shape (K, D, N) on a cost of the noise."""
    optimizer = Optimizer(*shape, **options)
    while optimizer.queries < queries:
        optimizer.tell(cost(optimizer.ask()))
    return optimizer


def identity(size: int) -> Tensor:
    """I in float64."""
    return torch.eye(size).double()


def symmetric(size: int, seed: int) -> Tensor:
    """A random symmetric matrix, not definite."""
    matrix = normal(size, size, seed=seed)
    return matrix + matrix.T

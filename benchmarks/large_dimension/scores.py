"""Scores of noise (N, K, D) whose statistics under N(0, I) are known; higher is better.

Directions are random and found by nobody but the search. With Q queries and Q far below K D, all
that can be known of a linear score's direction gives sqrt(Q) standard deviations to noise of the
usual norm.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from casbo import orthonormal

#: Coordinates a quadratic score looks at.
RANK = 40
#: Standard deviation of the targets' coordinates: further out than plain noise gets.
FAR = 2.0


class Score(ABC):
    """A score with its mean and standard deviation under N(0, I)."""

    #: Mean and standard deviation under N(0, I).
    mean: float
    deviation: float
    #: All that the score looks at lies in these directions (K D, RANK).
    basis: Tensor

    @abstractmethod
    def __call__(self, noise: Tensor) -> Tensor:
        """The scores (N,) of noise (N, K, D)."""

    def gain(self, noise: Tensor) -> float:
        """Mean score of noise, in standard deviations above that of plain noise."""
        return float((self(noise).mean() - self.mean) / self.deviation)


class Linear(Score):
    """The noise's coordinate along one random direction, which lies in `RANK` known ones.

    Arguments:
        summed: Whether that direction is the same in every step: then the score looks at the
            steps' summed noise.
    """

    def __init__(self, steps: int, dim: int, generator: torch.Generator, *, summed: bool) -> None:
        rows = dim if summed else steps * dim
        basis = orthonormal(torch.randn(rows, RANK, generator=generator))
        self.basis = basis.repeat(steps, 1) / math.sqrt(steps) if summed else basis
        along = torch.randn(RANK, generator=generator)
        self.direction = self.basis @ (along / along.norm())
        self.mean, self.deviation = 0.0, 1.0

    def __call__(self, noise: Tensor) -> Tensor:
        return noise.flatten(1) @ self.direction.to(noise)


class Quadratic(Score):
    """Minus the squared distance from a target in `RANK` random directions of all K D."""

    def __init__(self, steps: int, dim: int, generator: torch.Generator) -> None:
        self.basis = orthonormal(torch.randn(steps * dim, RANK, generator=generator))
        self.target = FAR * torch.randn(RANK, generator=generator)
        self.mean, self.deviation = _moments(self.target)

    def __call__(self, noise: Tensor) -> Tensor:
        away = noise.flatten(1) @ self.basis.to(noise) - self.target.to(noise)
        return -away.square().sum(-1)


@dataclass(frozen=True)
class Problem:
    """A score to be found by its name.

    Arguments:
        title: What the tables call it.
        kind: "linear", "summed" or "quadratic".
        noise: Standard deviation of what is added to the scores told, in units of the score's.
    """

    title: str
    kind: str
    noise: float = 0.0

    def score(self, steps: int, dim: int, seed: int) -> Score:
        """The score that a seed makes."""
        generator = torch.Generator().manual_seed(seed)
        if self.kind == "quadratic":
            return Quadratic(steps, dim, generator)
        return Linear(steps, dim, generator, summed=self.kind == "summed")


PROBLEMS = {
    "linear": Problem("linear", "linear"),
    "linear-noisy": Problem("linear, as much noise as signal", "linear", noise=1.0),
    "summed": Problem("linear in the summed noise of all steps", "summed"),
    "quadratic": Problem(f"quadratic in {RANK} directions", "quadratic"),
    "quadratic-noisy": Problem(
        f"quadratic in {RANK} directions, as much noise as signal", "quadratic", noise=1.0
    ),
}


def _moments(target: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of -|z - t|^2 for z ~ N(0, I)."""
    squared, count = float(target.square().sum()), target.numel()
    return -(squared + count), math.sqrt(4 * squared + 2 * count)

"""What an optimiser is to this benchmark: it asks for noise and is told scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Task:
    """What an optimiser may know before it starts.

    Arguments:
        steps: K.
        dim: D.
        population: N, candidates of an iteration.
        cumulative: Whether it is told one score a step, or that of the final sample only.
        seed: Of the optimiser's own draws.
    """

    steps: int
    dim: int
    population: int
    cumulative: bool
    seed: int

    @property
    def coordinates(self) -> int:
        """All K D of them."""
        return self.steps * self.dim


class Peer(ABC):
    """An optimiser of noise (K, D) that starts at N(0, I)."""

    @abstractmethod
    def ask(self) -> np.ndarray:
        """The noise of the next population, with shape (N, K, D)."""

    @abstractmethod
    def tell(self, scores: np.ndarray) -> None:
        """Learn from the scores (N, S) of the population asked for, lower being better.

        Failed candidates are NaN; at least one candidate has not failed.
        """

    def tell_with_samples(self, scores: np.ndarray, samples: np.ndarray) -> None:
        """The same for optimisers that also look at what was scored, with shape (N, S, D)."""
        self.tell(scores)


class JointPeer(Peer):
    """An optimiser that sees K D coordinates and the total cost."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def ask(self) -> np.ndarray:
        return self.ask_points().reshape(-1, self.task.steps, self.task.dim)

    def tell(self, scores: np.ndarray) -> None:
        self.tell_costs(with_worst_for_failed(scores).sum(1))

    @abstractmethod
    def ask_points(self) -> np.ndarray:
        """The next population, with shape (N, K D)."""

    @abstractmethod
    def tell_costs(self, costs: np.ndarray) -> None:
        """Learn from total costs (N,), all finite."""


def with_worst_for_failed(scores: np.ndarray) -> np.ndarray:
    """Scores (N, S) with each column's worst of the others in place of a failed candidate's."""
    return np.where(np.isnan(scores), np.nanmax(scores, axis=0), scores)

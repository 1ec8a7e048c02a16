"""Evolution strategies that are not at hand as a package with ask and tell: written from papers."""

from __future__ import annotations

import math

import numpy as np

from .peer import JointPeer, Peer, Task


class RandomSearch(Peer):
    """Plain draws from N(0, I): the model as it is, and luck."""

    def __init__(self, task: Task) -> None:
        self.shape = (task.population, task.steps, task.dim)
        self.generator = np.random.default_rng(task.seed)

    def ask(self) -> np.ndarray:
        return self.generator.standard_normal(self.shape)

    def tell(self, scores: np.ndarray) -> None:
        pass


class OpenAIES(JointPeer):
    """The evolution strategy of Salimans et al. 2017 (arXiv 1703.03864) with Adam.

    Mirrored samples, centred ranks, a fixed sigma; Adam (Kingma and Ba 2015) as published. The
    defaults are the best of sigma 0.1, 0.3, 1 with rate 0.03, 0.1, 0.3 on seeds 100 and 101.

    Arguments:
        sigma: Standard deviation of the samples.
        rate: Adam's step size.
    """

    def __init__(self, task: Task, *, sigma: float = 0.1, rate: float = 0.1) -> None:
        super().__init__(task)
        self.sigma, self.rate = sigma, rate
        self.generator = np.random.default_rng(task.seed)
        self.mean = np.zeros(task.coordinates)
        self.first, self.second = np.zeros_like(self.mean), np.zeros_like(self.mean)
        self.iteration = 0
        self.draws = np.empty((0, task.coordinates))

    def ask_points(self) -> np.ndarray:
        half = self.generator.standard_normal((self.task.population // 2, self.task.coordinates))
        self.draws = np.concatenate([half, -half])
        return self.mean + self.sigma * self.draws

    def tell_costs(self, costs: np.ndarray) -> None:
        ranks = np.argsort(np.argsort(costs)) / (len(costs) - 1) - 0.5
        gradient = ranks @ self.draws / (len(costs) * self.sigma)
        self.iteration += 1
        self.first += 0.1 * (gradient - self.first)
        self.second += 0.001 * (gradient**2 - self.second)
        first = self.first / (1 - 0.9**self.iteration)
        second = self.second / (1 - 0.999**self.iteration)
        self.mean = self.mean - self.rate * first / (np.sqrt(second) + 1e-8)


class LMMAES(JointPeer):
    """LM-MA-ES: Loshchilov, Glasmachers and Beyer 2017, "Limited-Memory Matrix Adaptation for
    Large Scale Black-box Optimization" (arXiv 1705.06693), algorithm 1 with its constants.

    The transformation matrix is a product of rank-one terms of m = 4 + floor(3 ln n) directions.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        n, N = task.coordinates, task.population
        parents = N // 2
        weights = math.log(parents + 0.5) - np.log(np.arange(1, parents + 1))
        self.weights = weights / weights.sum()
        self.mass = 1 / np.square(self.weights).sum()  # mu_w
        powers = np.arange(4 + int(3 * math.log(n)))
        self.fading = 1 / (1.5**powers * n)  # c_d
        # rates above 1 would mean less memory than none: N may exceed n / 2
        self.path_rates = np.minimum(1.0, N / (4.0**powers * n))  # c_c
        self.sigma_rate = min(1.0, 2 * N / n)  # c_sigma
        self.generator = np.random.default_rng(task.seed)
        self.mean, self.sigma, self.iteration = np.zeros(n), 1.0, 0
        self.sigma_path = np.zeros(n)
        self.directions = np.zeros((len(powers), n))  # m_i
        self.draws = self.steps = np.empty((0, n))

    def ask_points(self) -> np.ndarray:
        self.draws = self.generator.standard_normal((self.task.population, self.mean.size))
        self.steps = self.draws
        known = min(self.iteration, len(self.directions))
        for fading, direction in zip(self.fading[:known], self.directions, strict=False):
            along = self.steps @ direction
            self.steps = (1 - fading) * self.steps + fading * np.outer(along, direction)
        return self.mean + self.sigma * self.steps

    def tell_costs(self, costs: np.ndarray) -> None:
        best = np.argsort(costs, kind="stable")[: len(self.weights)]
        drawn = self.weights @ self.draws[best]
        self.mean = self.mean + self.sigma * (self.weights @ self.steps[best])
        self.sigma_path = _faded(self.sigma_path, drawn, self.sigma_rate, self.mass)
        self.directions = _faded(self.directions, drawn, self.path_rates[:, None], self.mass)
        excess = np.square(self.sigma_path).sum() / self.mean.size - 1
        self.sigma *= math.exp(self.sigma_rate / 2 * excess)
        self.iteration += 1


def _faded(
    path: np.ndarray, step: np.ndarray, rate: np.ndarray | float, mass: float
) -> np.ndarray:
    """A cumulation path that keeps unit variance under random selection."""
    return (1 - rate) * path + np.sqrt(mass * rate * (2 - rate)) * step

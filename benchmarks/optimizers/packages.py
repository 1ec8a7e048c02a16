"""Optimisers of other packages, and casbo's own rules, as peers of this benchmark."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

import casbo
from casbo.errors import require

from .peer import JointPeer, Peer, Task, with_worst_for_failed


class PyCMA(JointPeer):
    """`cma.CMAEvolutionStrategy` on all K D coordinates: mean 0, sigma 1, its own defaults.

    Arguments:
        options: Options of pycma.
    """

    def __init__(self, task: Task, **options: Any) -> None:  # noqa: ANN401
        super().__init__(task)
        self.strategy = strategy(task.coordinates, task.population, task.seed, **options)

    def ask_points(self) -> np.ndarray:
        self.points = self.strategy.ask()
        return np.stack(self.points)

    def tell_costs(self, costs: np.ndarray) -> None:
        self.strategy.tell(self.points, costs.tolist())


def diagonal_pycma(task: Task) -> Peer:
    """pycma with a diagonal covariance throughout."""
    return PyCMA(task, CMA_diagonal=True)


def vkd_cma(task: Task) -> Peer:
    """VkD-CMA (Akimoto and Hansen 2016): D (I + V V^T) D, its rank adapted, as pycma ships it."""
    samplers = require("cma.restricted_gaussian_sampler", "benchmarks")
    return PyCMA(task, **samplers.GaussVkDSampler.extend_cma_options())


class StepwisePyCMA(Peer):
    """One pycma a step, on D coordinates each, ranked by that step's score-to-go.

    With a terminal score alone every step is ranked by it.
    """

    def __init__(self, task: Task) -> None:
        seeds = np.random.SeedSequence(task.seed).generate_state(task.steps)
        self.strategies = [strategy(task.dim, task.population, int(seed)) for seed in seeds]

    def ask(self) -> np.ndarray:
        self.points = [one.ask() for one in self.strategies]
        return np.stack([np.stack(points) for points in self.points], 1)

    def tell(self, scores: np.ndarray) -> None:
        costs = with_worst_for_failed(scores)
        ahead = np.cumsum(costs[:, ::-1], axis=1)[:, ::-1]
        ahead = np.broadcast_to(ahead, (len(costs), len(self.strategies)))
        for one, points, told in zip(self.strategies, self.points, ahead.T, strict=True):
            one.tell(points, told.tolist())


def strategy(
    dim: int,
    population: int,
    seed: int,
    **options: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """A `cma.CMAEvolutionStrategy` that starts at N(0, I) and draws from a generator of its own."""
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape)

    own = {
        "popsize": population,
        "randn": draw,
        "seed": np.nan,
        "verbose": -9,
        "verb_log": 0,
    }
    if "CMA_sampler" in options:  # such a sampler is not handed pycma's own generator
        own["CMA_sampler_options"] = {"randn": draw}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return require("cma", "benchmarks").CMAEvolutionStrategy(
            np.zeros(dim), 1.0, {**own, **options}
        )


class Cmaes(JointPeer):
    """A class of cmaes on all K D coordinates: mean 0, sigma 1, its own defaults.

    Arguments:
        kind: "CMA", or "SepCMA" with a diagonal covariance (Ros and Hansen 2008).
    """

    def __init__(self, task: Task, kind: str) -> None:
        super().__init__(task)
        self.strategy = getattr(require("cmaes", "benchmarks"), kind)(
            mean=np.zeros(task.coordinates),
            sigma=1.0,
            population_size=task.population,
            seed=task.seed,
        )

    def ask_points(self) -> np.ndarray:
        self.points = np.stack([self.strategy.ask() for _ in range(self.task.population)])
        return self.points

    def tell_costs(self, costs: np.ndarray) -> None:
        self.strategy.tell(list(zip(self.points, costs.tolist(), strict=True)))


class Casbo(Peer):
    """`casbo.Optimizer` with one of its rules.

    Arguments:
        rule: The rule's name.
        samples: Whether it is told the samples beside the scores, as `casbo.steer` tells them.
        options: Options of `casbo.Optimizer`, among them the rule's.
    """

    def __init__(self, task: Task, rule: str, *, samples: bool = True, **options: Any) -> None:  # noqa: ANN401
        self.cumulative, self.samples = task.cumulative, samples
        self.optimizer = casbo.Optimizer(
            task.steps, task.dim, task.population, seed=task.seed, rule=rule, **options
        )

    def ask(self) -> np.ndarray:
        return self.optimizer.ask().numpy()

    def tell(self, scores: np.ndarray) -> None:
        told = scores if self.cumulative else scores[:, 0]
        self.optimizer.tell(torch.from_numpy(told))

    def tell_with_samples(self, scores: np.ndarray, samples: np.ndarray) -> None:
        if not self.samples:
            self.tell(scores)
            return
        told, seen = (scores, samples) if self.cumulative else (scores[:, 0], samples[:, 0])
        self.optimizer.tell(torch.from_numpy(told), torch.from_numpy(seen))

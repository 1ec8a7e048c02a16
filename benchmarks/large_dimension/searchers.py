"""Who searches: casbo's rules, and what else is used in very many coordinates."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import casbo

from ..optimizers.evolution_strategies import LMMAES
from ..optimizers.packages import Cmaes
from ..optimizers.peer import JointPeer, Task
from .scores import Score


class Searcher(ABC):
    """Asks for noise, is told scores, of which higher ones are better."""

    @abstractmethod
    def ask(self) -> Tensor:
        """Noise with shape (N, K, D) in float32."""

    @abstractmethod
    def tell(self, scores: Tensor) -> None:
        """Learn from scores (N,)."""

    @abstractmethod
    def mean(self) -> Tensor:
        """The mean of the noise, with shape (K, D)."""


class Ours(Searcher):
    """`casbo.Optimizer`, with a covariance of low rank unless the space is small.

    Arguments:
        options: Of the optimiser.
    """

    def __init__(self, task: Task, device: str, **options: Any) -> None:  # noqa: ANN401
        self.optimizer = casbo.Optimizer(
            task.steps,
            task.dim,
            task.population,
            seed=task.seed,
            direction="maximize",
            dtype=torch.float32,
            device=device,
            **options,
        )

    def ask(self) -> Tensor:
        return self.optimizer.ask()

    def tell(self, scores: Tensor) -> None:
        self.optimizer.tell(scores)

    def mean(self) -> Tensor:
        return self.optimizer.controls.mean_noise()


class Theirs(Searcher):
    """An optimiser of all K D coordinates, on the CPU.

    Arguments:
        peer: With a mean, or a strategy that has one.
        project: Whether every step's noise is rescaled to its usual norm before it is scored.
    """

    def __init__(self, task: Task, peer: JointPeer, *, project: bool = False) -> None:
        self.task, self.peer, self.project = task, peer, project

    def ask(self) -> Tensor:
        noise = torch.from_numpy(self.peer.ask()).float()
        return on_shell(noise) if self.project else noise

    def tell(self, scores: Tensor) -> None:
        self.peer.tell(-scores.double().cpu().numpy()[:, None])

    def mean(self) -> Tensor:
        owner = self.peer if hasattr(self.peer, "mean") else self.peer.strategy
        return torch.from_numpy(np.asarray(owner.mean, dtype=np.float32)).reshape(
            self.task.steps, self.task.dim
        )


class MeanShift(JointPeer):
    """The plainest search: the mean moves by the mean of z-scores times draws.

    Independent draws of N(mean, I), which stays as wide as it is: `bdtg` without its covariance.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.generator = np.random.default_rng(task.seed)
        self.mean = np.zeros(task.coordinates, dtype=np.float32)
        self.draws = np.empty((0, task.coordinates), dtype=np.float32)

    def ask_points(self) -> np.ndarray:
        shape = (self.task.population, self.task.coordinates)
        self.draws = self.generator.standard_normal(shape, dtype=np.float32)
        return self.mean + self.draws

    def tell_costs(self, costs: np.ndarray) -> None:
        weights = (costs.mean() - costs) / max(costs.std(), 1e-300)
        self.mean = self.mean + (weights / len(costs)).astype(np.float32) @ self.draws


class SNES(JointPeer):
    """Separable natural evolution strategy: Schaul, Glasmachers and Schmidhuber 2011, "High
    dimensions and heavy tails for natural evolution strategies" (GECCO), its default rates.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        n, N = task.coordinates, task.population
        self.generator = np.random.default_rng(task.seed)
        self.mean = np.zeros(n, dtype=np.float32)
        self.deviations = np.ones(n, dtype=np.float32)
        self.draws = np.empty((0, n), dtype=np.float32)
        raw = np.maximum(0, math.log(N / 2 + 1) - np.log(np.arange(1, N + 1)))
        self.utilities = (raw / raw.sum() - 1 / N).astype(np.float32)
        self.rate = (3 + math.log(n)) / (5 * math.sqrt(n))

    def ask_points(self) -> np.ndarray:
        shape = (self.task.population, self.task.coordinates)
        self.draws = self.generator.standard_normal(shape, dtype=np.float32)
        return self.mean + self.deviations * self.draws

    def tell_costs(self, costs: np.ndarray) -> None:
        draws = self.draws[np.argsort(costs, kind="stable")]
        self.mean = self.mean + self.deviations * (self.utilities @ draws)
        moments = self.utilities @ (np.square(draws, out=draws) - 1)
        self.deviations = self.deviations * np.exp(np.float32(self.rate / 2) * moments)


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Arguments:
        title: What the tables call it.
        make: Makes the searcher from the task, the device and the score.
        peer: Whether it is what casbo's default is held against.
    """

    title: str
    make: Callable[[Task, str, Score], Searcher]
    peer: bool = True


def _ours(**options: Any) -> Callable[[Task, str, Score], Searcher]:  # noqa: ANN401
    return lambda task, device, score: Ours(task, device, **options)


def _in_subspace(task: Task, device: str, score: Score) -> Searcher:
    """One Gaussian in the directions that the score looks at, of the whole trajectory."""
    blocks = [(slice(0, task.steps), score.basis)]
    return Ours(task, device, space=casbo.Subspace.blocks(blocks), noise_norm="project")


def _theirs(
    peer: Callable[[Task], JointPeer], *, project: bool = False
) -> Callable[[Task, str, Score], Searcher]:
    return lambda task, device, score: Theirs(task, peer(task), project=project)


METHODS = {
    "default": Method("`default`", _ours(), peer=False),
    "shared": Method("`default`, space `shared`", _ours(space="shared"), peer=False),
    "subspace": Method("`default` in the directions that count", _in_subspace, peer=False),
    "free": Method("`default`, noise norm free", _ours(noise_norm="free"), peer=False),
    "bdtg": Method("`bdtg`, projected", _ours(rule="bdtg")),
    "shift": Method("mean shift", _theirs(MeanShift)),
    "shift-projected": Method("mean shift, projected", _theirs(MeanShift, project=True)),
    "sep-cma": Method("sep-CMA (cmaes)", _theirs(lambda task: Cmaes(task, "SepCMA"))),
    "snes": Method("SNES", _theirs(SNES)),
    "snes-projected": Method("SNES, projected", _theirs(SNES, project=True)),
    "lm-ma-es": Method("LM-MA-ES", _theirs(LMMAES)),
}
#: What runs where nothing else is asked for.
USUAL = (
    "default",
    "bdtg",
    "shift",
    "shift-projected",
    "sep-cma",
    "snes",
    "snes-projected",
    "lm-ma-es",
)
#: What runs besides, on scores that are low-dimensional in a way that a space can say.
BESIDES = {
    "linear": ("subspace",),
    "linear-noisy": ("subspace",),
    "summed": ("shared",),
    "quadratic": ("subspace",),
}


def on_shell(noise: Tensor) -> Tensor:
    """Noise (N, K, D) or (K, D), every step's rescaled to root mean square 1."""
    size = noise.square().mean(-1, keepdim=True).sqrt()
    return noise / size.clamp_min(torch.finfo(noise.dtype).tiny)

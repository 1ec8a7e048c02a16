"""One run: what was gained, and how far the noise had drifted, at every iteration."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..optimizers.peer import Task
from .scores import PROBLEMS, Score
from .searchers import METHODS, Searcher, on_shell


@dataclass(frozen=True)
class Run:
    """A method on a problem.

    Arguments:
        problem: Its name.
        method: Its name.
        seed: Of the problem and of the method.
        shape: (N, K, D).
        gain: Mean score of each population, in plain noise's standard deviations above its mean.
        norm: Root mean square of each population's noise, 1 for plain noise.
        shell: The gain of the same noise with every step's rescaled to norm 1.
        mean_gain: The gain of the mean sample on the shell.
        drift: Root mean square of the mean.
        seconds: CPU seconds of ask and tell.
    """

    problem: str
    method: str
    seed: int
    shape: tuple[int, int, int]
    gain: list[float]
    norm: list[float]
    shell: list[float]
    mean_gain: list[float]
    drift: list[float]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Run:
        """The inverse of `to_json`."""
        population, steps, dim = fields["shape"]
        return cls(**{**fields, "shape": (population, steps, dim)})

    def at(self, queries: int, name: str) -> float:
        """What a list holds after so many queries."""
        return float(getattr(self, name)[min(queries // self.shape[0], len(self.gain) - 1)])


def run(problem: str, method: str, task: Task, iterations: int, device: str) -> Run:
    """Spend N queries an iteration; the last population is drawn but told nothing."""
    population, seed = task.population, task.seed
    score = PROBLEMS[problem].score(task.steps, task.dim, seed)
    searcher = METHODS[method].make(task, device, score)
    errors = torch.Generator().manual_seed(10_000 + seed)
    amount = PROBLEMS[problem].noise * score.deviation
    lists: dict[str, list[float]] = {
        name: [] for name in ("gain", "norm", "shell", "mean_gain", "drift")
    }
    seconds = 0.0
    for iteration in range(iterations + 1):
        begun = time.process_time()
        noise = searcher.ask()
        seconds += time.process_time() - begun
        scores = score(noise).double().cpu()
        for name, value in _observed(searcher, score, noise).items():
            lists[name].append(value)
        if iteration < iterations:
            told = scores + amount * torch.randn(population, generator=errors, dtype=scores.dtype)
            begun = time.process_time()
            searcher.tell(told)
            seconds += time.process_time() - begun
    shape = (population, task.steps, task.dim)
    return Run(problem, method, seed, shape, **lists, seconds=seconds / max(iterations, 1))


def _observed(searcher: Searcher, score: Score, noise: Tensor) -> dict[str, float]:
    mean = searcher.mean()
    return {
        "gain": score.gain(noise),
        "norm": float(noise.square().mean().sqrt()),
        "shell": score.gain(on_shell(noise)),
        "mean_gain": score.gain(on_shell(mean)[None]) if bool(mean.any()) else 0.0,
        "drift": float(mean.square().mean().sqrt()),
    }

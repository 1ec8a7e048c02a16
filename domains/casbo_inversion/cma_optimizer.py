"""pycma's CMA-ES behind the optimiser's ask and tell: the published choice.

All randomness of an iteration is a function of the seed and the iteration. The state is the list of
scores told: a run that goes on tells them again to a fresh strategy, so nothing is pickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from casbo.controls import SEARCH_STREAM, Controls
from casbo.covariance import Full
from casbo.credit import costs
from casbo.errors import require
from casbo.scorer import Direction
from casbo.spaces import PerStep

from .errors import InversionError
from .objective import generator

FORMAT = "casbo-cma-1"
#: What the paper's code runs it with.
PUBLISHED_POPULATION = 20


class CmaOptimizer:
    """`cma.CMAEvolutionStrategy` with the face of `casbo.Optimizer`, for rollouts with K = 1.

    Arguments:
        steps: K, which must be 1.
        dim: D.
        population: N, candidates per iteration.
        seed: Not negative.
        direction: "minimize" or "maximize" the scores.
        sigma: The initial step size, sigma_0.
        space, rule, covariance: Must be what `casbo.steer` gives by default: pycma has its own.

    Raises:
        InversionError: For any option outside its domain.
        casbo.errors.MissingExtraError: When cma is not installed.
    """

    def __init__(
        self,
        steps: int,
        dim: int,
        population: int,
        seed: int = 0,
        direction: Direction = "minimize",
        *,
        sigma: float = 1.0,
        space: Any = None,  # noqa: ANN401
        rule: str = "default",
        covariance: str = "full",
    ) -> None:
        if steps != 1 or dim < 2 or population < 3 or seed < 0 or not sigma > 0:
            raise InversionError(
                "Expected one step of at least 2 coordinates, a population of at least 3, a seed of "
                f"at least 0 and sigma above 0 for pycma, got {steps}, {dim}, {population}, {seed} "
                f"and {sigma}."
            )
        usual = rule == "default" and covariance in {"auto", "full"}
        if not isinstance(space, (PerStep, type(None))) or not usual:
            raise InversionError(
                "Expected no space, rule or covariance with pycma, which has its own, got "
                f"{space!r}, {rule!r} and {covariance!r}."
            )
        self.steps, self.dim, self.population = steps, dim, population
        self.seed, self.direction, self.sigma = seed, direction, sigma
        self._told: list[Tensor] = []
        self._asked: Tensor | None = None
        self._begin()

    @property
    def iteration(self) -> int:
        """Populations told so far."""
        return len(self._told)

    @property
    def queries(self) -> int:
        """Candidates told so far."""
        return self.iteration * self.population

    @property
    def controls(self) -> Controls:
        """The strategy's mean and covariance."""
        matrix = torch.from_numpy(
            np.asarray(self._strategy.sm.covariance_matrix, dtype=np.float64)
        )
        scales = torch.from_numpy(np.asarray(self._strategy.sigma_vec.scaling * np.ones(self.dim)))
        dense = self._strategy.sigma**2 * scales[:, None] * matrix * scales
        eigenvalues, vectors = torch.linalg.eigh((dense + dense.T) / 2)
        floor = torch.finfo(eigenvalues.dtype).tiny
        covariance = Full.from_spectrum(eigenvalues.clamp_min(floor)[None], vectors[None])
        mean = torch.from_numpy(np.array(self._strategy.mean, dtype=np.float64))[None]
        return Controls(mean, covariance, PerStep(), (1, self.dim))

    def ask(self) -> Tensor:
        """The next population, with shape (N, 1, D); the same until it is told."""
        if self._asked is None:
            self._random = generator(SEARCH_STREAM, self.seed, self.iteration)
            rows = self._strategy.ask(self.population)
            self._asked = torch.from_numpy(np.array(rows, dtype=np.float64))[:, None]
        return self._asked.clone()

    def tell(self, scores: Tensor | Sequence[float]) -> None:
        """Learn from the scores (N,) of the population asked for; failed ones count as the worst.

        Raises:
            InversionError: When no population is pending.
            casbo.errors.CasboError: When the scores' shape is another.
        """
        if self._asked is None:
            raise InversionError("Expected ask() before tell(): there is no population to score.")
        told = costs(scores, self.population, 1, self.direction)
        if told.informative:  # else nothing is learned, as in `casbo.Optimizer`
            rows = list(self._asked[:, 0].numpy())
            self._strategy.tell(rows, told.values[:, -1].tolist())
        kept = torch.as_tensor(scores, dtype=torch.float64).detach().cpu().reshape(-1).clone()
        self._told.append(kept)
        self._asked = None

    def state_dict(self) -> dict[str, Any]:
        """The scores told so far, with shape (T, N), and the options."""
        empty = torch.zeros(0, self.population, dtype=torch.float64)
        return {
            "format": FORMAT,
            "configuration": json.dumps(self._configuration(), sort_keys=True),
            "scores": torch.stack(self._told) if self._told else empty,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict` of an optimiser with the same options.

        Raises:
            InversionError: When the state is of another format or of other options.
        """
        own = json.dumps(self._configuration(), sort_keys=True)
        if state.get("format") != FORMAT or state.get("configuration") != own:
            raise InversionError(
                f"Expected a state of format {FORMAT} and options {own}, got "
                f"{state.get('format')!r} and {state.get('configuration')}."
            )
        self._begin()
        for scores in state["scores"]:
            self.ask()
            self.tell(scores)

    def _begin(self) -> None:
        """A strategy at the start."""
        cma = require("cma", "inversion")
        self._told, self._asked = [], None
        self._random = generator(SEARCH_STREAM, self.seed, 0)

        def draw(*shape: int) -> Any:  # noqa: ANN401
            return self._random.standard_normal(shape)

        # randn and no seed: pycma would seed numpy's global generator otherwise
        options = {"popsize": self.population, "verbose": -9, "randn": draw, "seed": math.nan}
        self._strategy = cma.CMAEvolutionStrategy(np.zeros(self.dim), self.sigma, options)

    def _configuration(self) -> dict[str, Any]:
        return {
            "shape": [self.steps, self.dim],
            "population": self.population,
            "seed": self.seed,
            "direction": self.direction,
            "sigma": self.sigma,
        }

"""Telling: from a population's entries in the ledger to what the optimiser learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from casbo.buckets import Buckets, Scored
from casbo.credit import by_step
from casbo.errors import CasboError
from casbo.ledger import FINAL, Entry, Ledger, Slot
from casbo.optimizer import Optimizer
from casbo.population import Population
from casbo.rules.proposals import LARGEST_SAMPLE
from casbo.run_config import Plan
from casbo.stand_in import ScoredPoints, StandIn


class Telling:
    """Tells an optimiser the scores of every population, and what they are of.

    Arguments:
        plan: The run's settings.
        buckets: A diversity filter; candidates whose bucket is full are told as failed.
        stand_in: What is guessed at unfinished steps.

    Raises:
        CasboError: When the stand-in's steps are not the rollout's, or some are scored already.
    """

    def __init__(
        self, plan: Plan, buckets: Buckets | None = None, stand_in: StandIn | None = None
    ) -> None:
        self._plan, self._buckets, self._stand_in = plan, buckets, stand_in
        self._points = ScoredPoints()
        if stand_in is None:
            return
        if plan.score_steps:
            raise CasboError(
                "Expected score_steps or a stand-in, got both: what is scored is not guessed."
            )
        if stand_in.steps[-1] > plan.shape[0] - 2:
            raise CasboError(
                f"Expected a stand-in for steps from 0 to {plan.shape[0] - 2} (the sample after "
                f"the last is scored), got {stand_in.steps}."
            )

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps whose predicted clean samples are wanted, scored or not."""
        return self._plan.score_steps if self._stand_in is None else self._stand_in.steps

    def describe(self) -> dict[str, Any]:
        """What a run's config says of it, where there is something to say."""
        filters = {} if self._buckets is None else {"buckets": self._buckets.describe()}
        if self._stand_in is None:
            return filters
        return {**filters, "stand_in": self._stand_in.describe()}

    def state(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        return self._points.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._points = ScoredPoints.of(state)

    def tell(
        self,
        optimizer: Optimizer,
        entries: Mapping[Slot, Entry],
        population: Population,
        ledger: Ledger,
    ) -> None:
        """Tell the scores of the population that the optimiser asked for last."""
        final = torch.tensor(
            [entries[(n, FINAL)].score for n in population.numbers], dtype=torch.float64
        )
        admitted = final.clone()
        admitted[~self._room(optimizer.iteration, ledger)] = torch.nan
        if self._stand_in is not None:
            optimizer.tell(self._guessed(self._stand_in, final, admitted, population))
            return
        scores = self._by_step(admitted, entries) if self._plan.score_steps else admitted
        if getattr(optimizer, "wants_samples", False):
            optimizer.tell(scores, population.points(LARGEST_SAMPLE))
        else:
            optimizer.tell(scores)

    def _by_step(self, final: Tensor, entries: Mapping[Slot, Entry]) -> Tensor:
        """Scores with shape (N, K), 0 at steps that are not scored."""
        steps = self._plan.score_steps
        rows = [[entries[(n, step)].score for step in steps] for n in range(len(final))]
        earlier = torch.tensor(rows, dtype=torch.float64)
        return by_step(final, steps, earlier, self._plan.shape[0])

    def _guessed(
        self, stand_in: StandIn, final: Tensor, admitted: Tensor, population: Population
    ) -> Tensor:
        """Scores with shape (N, K), guessed by what was known before this population."""
        points = population.points_at((*stand_in.steps, FINAL))
        guesses = self._points.guesses(points[:, :-1])
        self._points = self._points.joined(points[:, -1], final, stand_in.window)
        return (
            admitted if guesses is None else stand_in.told(admitted, guesses, self._plan.shape[0])
        )

    def _room(self, iteration: int, ledger: Ledger) -> Tensor:
        """Which of an iteration's N candidates the diversity filter has room for."""
        if self._buckets is None:
            return torch.ones(self._plan.population_size, dtype=torch.bool)
        scored = [
            Scored(
                row["iteration"],
                row["sample"],
                float("nan" if row["score"] is None else row["score"]),
            )
            for row in ledger.rows()
            if row["step"] == FINAL and row["iteration"] <= iteration
        ]
        room = self._buckets.admitted(scored, self._plan.direction)
        now = [free for free, one in zip(room, scored, strict=True) if one.iteration == iteration]
        return torch.tensor(now, dtype=torch.bool)

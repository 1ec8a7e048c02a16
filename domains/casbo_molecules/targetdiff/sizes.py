"""Several sizes of molecule that share one budget of queries, by successive halving.

Every size is steered by itself. After each round the worse half is dropped and the rest go on
where they are, with all that is left; every round costs about the same (Karnin et al. 2013).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casbo.errors import CasboError
from casbo.result import Result
from casbo.rollout import Rollout
from casbo.scorer import Scorer, scorer_direction
from casbo.steering import steer

JUDGED = 5  # best candidates whose mean score a size is judged by


@dataclass(frozen=True)
class Sized:
    """One size: its run so far, the queries it has had, and the round after which it was dropped.

    ``dropped`` is None for the size that was never dropped.
    """

    atoms: int
    result: Result | None
    queries: int
    dropped: int | None = None

    @property
    def score(self) -> float:
        """Mean score of its best candidates, NaN if there are none."""
        best = self.result.bests(JUDGED) if self.result is not None else []
        return sum(found.score for found in best) / len(best) if best else math.nan


def steer_sizes(
    rollouts: Mapping[int, Rollout],
    scorer: Scorer,
    *,
    queries: int,
    population: int,
    run: str | Path,
    direction: str | None = None,
    **options: Any,  # noqa: ANN401
) -> list[Sized]:
    """Steer rollouts of several sizes within one budget; the best size first.

    Parameters
    ----------
    rollouts
        Number of atoms -> a rollout of that size.
    scorer, population, direction, options
        As for :func:`casbo.steer`; every size gets the same.
    queries
        The budget of all sizes together. Called again with the same arguments, it goes on.
    run
        The folder in which each size has its run, ``atoms-N``.

    Raises
    ------
    CasboError
        If the budget is less than one iteration of every size in its first round, or a run fails.
    """
    rounds = max(1, math.ceil(math.log2(len(rollouts)))) if rollouts else 0
    if not rounds or queries // rounds // len(rollouts) < population:
        raise CasboError(
            f"Expected queries for at least {population} of each of {len(rollouts)} sizes in each "
            f"of {rounds} rounds, got {queries}: ask for {population * len(rollouts) * rounds}."
        )
    sign = -1.0 if scorer_direction(scorer, direction) == "maximize" else 1.0
    alive = [Sized(atoms, None, 0) for atoms in rollouts]
    dropped: list[Sized] = []
    left = queries
    for number in range(rounds):
        share = left // (rounds - number) // len(alive) // population * population
        alive = [
            Sized(
                arm.atoms,
                steer(
                    rollouts[arm.atoms],
                    scorer,
                    queries=arm.queries + share,
                    population=population,
                    run=Path(run) / f"atoms-{arm.atoms}",
                    direction=direction,
                    **options,
                ),
                arm.queries + share,
            )
            for arm in alive
        ]
        left -= share * len(alive)
        alive = _ranked(alive, sign)
        keep = max(1, math.ceil(len(alive) / 2))
        dropped = [_drop(arm, number) for arm in alive[keep:]] + dropped
        alive = alive[:keep]
    return alive + dropped


def _ranked(arms: Sequence[Sized], sign: float) -> list[Sized]:
    """Best first; a size without a score is last."""
    return sorted(arms, key=lambda arm: math.inf if math.isnan(arm.score) else sign * arm.score)


def _drop(arm: Sized, number: int) -> Sized:
    return Sized(arm.atoms, arm.result, arm.queries, number)

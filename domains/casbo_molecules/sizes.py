"""Several sizes of molecule that share one budget of queries, by successive halving.

Every size is steered by itself. After each round the worse half is dropped and the rest go on
where they are, with all that is left; every round costs about the same (Karnin et al. 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from casbo.errors import CasboError
from casbo.result import Result
from casbo.rollout import Rollout
from casbo.scorer import Scorer, scorer_direction
from casbo.steering import steer

JUDGED = 5  # best different candidates whose mean score a size is judged by


@dataclass(frozen=True)
class Sized:
    """One size in the race.

    Parameters
    ----------
    atoms
        The size.
    result
        Its run so far; None before the first round.
    queries
        Those it has had.
    score
        Mean score of its best candidates in these, NaN if there are none.
    dropped
        The round after which it was dropped, None for the size that never was.
    """

    atoms: int
    result: Result | None = None
    queries: int = 0
    score: float = math.nan
    dropped: int | None = None


def halve(
    sizes: Sequence[int],
    steered: Callable[[int, int], Result],
    *,
    queries: int,
    population: int,
    direction: str,
) -> list[Sized]:
    """Spend a budget on several sizes; the best size first.

    Parameters
    ----------
    sizes
        Numbers of atoms, all different.
    steered
        Takes a size and its queries so far and in this round; steers, or goes on, in that size's
        run folder.
    queries
        The budget of all sizes together. Asked again for the same, it goes on: what a size is
        judged by are its first queries, whatever its run has had since.
    population
        Queries of an iteration.
    direction
        "minimize" or "maximize".

    Raises
    ------
    CasboError
        If the budget is less than one iteration of every size in its first round, or a run fails.
    """
    rounds = required_rounds(sizes, queries, population)
    alive = [Sized(atoms) for atoms in sizes]
    dropped: list[Sized] = []
    left = queries
    for number in range(rounds):
        share = left // (rounds - number) // len(alive) // population * population
        left -= share * len(alive)
        alive = _ranked([_go_on(one, share, steered, direction) for one in alive], direction)
        kept = max(1, math.ceil(len(alive) / 2))
        losers = [replace(one, dropped=number) for one in alive[kept:]]
        alive, dropped = alive[:kept], losers + dropped
    return alive + dropped


def required_rounds(sizes: Sequence[int], queries: int, population: int) -> int:
    """Rounds until one size is left.

    Raises
    ------
    CasboError
        If the budget is less than one iteration of every size in the first of them.
    """
    rounds = max(1, math.ceil(math.log2(len(sizes)))) if sizes else 0
    if not rounds or queries // rounds // len(sizes) < population:
        raise CasboError(
            f"Expected queries for at least {population} of each of {len(sizes)} sizes in each "
            f"of {rounds} rounds, got {queries}: ask for {population * len(sizes) * rounds}."
        )
    return rounds


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
        As :func:`halve`.
    """
    wanted = scorer_direction(scorer, direction)

    def steered(atoms: int, spent: int) -> Result:
        return steer(
            rollouts[atoms],
            scorer,
            queries=spent,
            population=population,
            run=Path(run) / folder_of(atoms),
            direction=wanted,
            **options,
        )

    return halve(list(rollouts), steered, queries=queries, population=population, direction=wanted)


def folder_of(atoms: int) -> str:
    """The name of a size's run folder."""
    return f"atoms-{atoms}"


def _go_on(one: Sized, share: int, steered: Callable[[int, int], Result], direction: str) -> Sized:
    queries = one.queries + share
    result = steered(one.atoms, queries)
    return Sized(one.atoms, result, queries, _judged(result, queries, direction))


def _judged(result: Result, queries: int, direction: str) -> float:
    """Mean score of the best different candidates among a run's first queries."""
    from casbo.ledger import FINAL
    from casbo.run_folder import RunFolder

    assert result.run is not None
    config = result.config
    iterations = queries // (config["population"] * (1 + len(config["score_steps"])))
    ledger = RunFolder(result.run).open_ledger()
    try:
        scores = {
            row["sample"] or (row["iteration"], row["number"]): row["score"]
            for row in ledger.rows()
            if row["step"] == FINAL and row["iteration"] < iterations and row["score"] is not None
        }
    finally:
        ledger.close()
    best = sorted(scores.values(), reverse=direction == "maximize")[:JUDGED]
    return sum(best) / len(best) if best else math.nan


def _ranked(sizes: Sequence[Sized], direction: str) -> list[Sized]:
    """Best first; a size without a score is last."""
    sign = -1.0 if direction == "maximize" else 1.0
    return sorted(sizes, key=lambda one: math.inf if math.isnan(one.score) else sign * one.score)

"""Claim: guessing unfinished steps costs no query, but on smooth functions it does not pay either.

    python -m benchmarks.stand_in

The cost above the optimum, in powers of ten, after 2,000 queries of problems whose score is of the
final sample only: the default rule as it is, without its model of the score, and without it but
with a Gaussian process standing in for the score of every step before the last.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import casbo
from casbo.stand_in import StandIn
from casbo_functions.problems import sequential_problem

from .markdown import table

#: Function, dynamics, D, K.
PROBLEMS = (
    ("sphere", "rotation", 10, 5),
    ("sphere", "mixture", 10, 5),
    ("levy", "identity", 20, 10),
    ("levy", "mixture", 20, 10),
    ("rosenbrock", "mixture", 20, 10),
)
METHODS = ("default", "without a model", "baseline", "cumulative")


def options(method: str, steps: int) -> dict[str, Any]:
    """What `casbo.steer` is given for a method."""
    if method == "default":
        return {}
    if method == "without a model":
        return {"surrogate": False}
    return {"stand_in": StandIn(tuple(range(steps - 1)), credit=method)}  # type: ignore[arg-type]


def reached(problem: tuple[str, str, int, int], method: str, queries: int, seed: int) -> float:
    """log10 of the best cost above the optimum."""
    function, dynamics, dim, steps = problem
    made = sequential_problem(function, dynamics=dynamics, dim=dim, steps=steps, seed=seed)
    result = casbo.steer(
        made.rollout,
        made.scorer,
        queries=queries,
        population=20,
        seed=seed,
        progress=False,
        **options(method, steps),
    )
    return math.log10(max(result.history[-1].best - made.optimal_value, 1e-12))


def main() -> None:
    """Parse the command line, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()
    rows = []
    for problem in PROBLEMS:
        medians = [
            float(np.median([reached(problem, m, chosen.queries, s) for s in chosen.seeds]))
            for m in METHODS
        ]
        function, dynamics, dim, steps = problem
        name = f"{function}, {dynamics}, D = {dim}, K = {steps}"
        rows.append([name, *(f"{median:.1f}" for median in medians)])
    print(table(["", *METHODS], rows))


if __name__ == "__main__":
    main()

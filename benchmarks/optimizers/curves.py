"""Files of runs as curves: the least cost so far after every iteration, by problem and method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from casbo.errors import CasboError

from .runs import key_of, read

#: Costs below this count as this, the minimum being 0: BBOB's final precision.
SOLVED = 1e-8

Curves = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Study:
    """All runs of one population and one budget.

    Arguments:
        population: N.
        queries: The budget.
        curves: Problem -> method -> the least cost so far after each of T iterations, one row a
            seed, with shape (seeds, T).
        seeds: The seeds of the runs.
        seconds: Method -> mean CPU seconds of ask and tell in an iteration.
        diverged: Method -> runs that ended early.
        versions: What made the runs, as they say themselves.
    """

    population: int
    queries: int
    curves: Curves
    seeds: tuple[int, ...]
    seconds: Mapping[str, float]
    diverged: Mapping[str, int]
    versions: tuple[Mapping[str, str], ...]

    @property
    def methods(self) -> list[str]:
        """Every method that ran any problem."""
        return list(dict.fromkeys(name for curves in self.curves.values() for name in curves))

    def medians(self, problem: str) -> dict[str, np.ndarray]:
        """Each method's median curve (T,) over its seeds on a problem."""
        return {name: np.median(rows, axis=0) for name, rows in self.curves[problem].items()}

    def fewest_seeds(self, name: str) -> int:
        """With how many seeds a method ran the problem that it ran with the fewest."""
        return min(len(curves[name]) for curves in self.curves.values() if name in curves)


def load(
    paths: Iterable[Path],
    *,
    population: int | None = None,
    queries: int | None = None,
    seeds: Container[int] | None = None,
    methods: Container[str] | None = None,
) -> Study:
    """Read files of runs; of a run that is there twice, the last line counts.

    Raises:
        CasboError: When no run is left, or the runs have more than one population and budget.
    """
    paths = list(paths)
    absent = [str(path) for path in paths if not path.is_file()]
    if absent:
        raise CasboError(f"Expected files of runs, found none at {', '.join(absent)}.")
    lines = {
        key_of(line): line
        for path in paths
        for line in read(path)
        if population in {None, line["population"]}
        and queries in {None, line["queries"]}
        and (seeds is None or line["seed"] in seeds)
        and (methods is None or line["method"] in methods)
    }
    kinds = sorted({(line["population"], line["queries"]) for line in lines.values()})
    if len(kinds) != 1:
        found = "; ".join(f"{budget} queries with population {N}" for N, budget in kinds) or "none"
        raise CasboError(
            f"Expected runs of one population and budget, found {found}: choose with "
            "--population and --queries."
        )
    return _study(*kinds[0], list(lines.values()))


def _study(population: int, queries: int, lines: list[dict[str, Any]]) -> Study:
    rows: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(dict))
    seconds, diverged = defaultdict(list), defaultdict(int)
    for line in lines:
        best = [np.inf if cost is None else max(cost, SOLVED) for cost in line["best"]]
        rows[line["problem"]][line["method"]][line["seed"]] = best
        seconds[line["method"]].append(line["cpu_seconds"] / len(best))
        diverged[line["method"]] += line["stopped"] is not None
    curves = {
        problem: {
            name: np.array([by_seed[seed] for seed in sorted(by_seed)])
            for name, by_seed in methods.items()
        }
        for problem, methods in rows.items()
    }
    made_by = {tuple(sorted(line["versions"].items())): line["versions"] for line in lines}
    return Study(
        population,
        queries,
        curves,
        tuple(sorted({line["seed"] for line in lines})),
        {name: float(np.mean(spent)) for name, spent in seconds.items()},
        dict(diverged),
        tuple(made_by.values()),
    )

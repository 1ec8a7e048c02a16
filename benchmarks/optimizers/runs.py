"""Runs: a method spends its queries on a problem, and one JSON line tells what it reached.

A file of runs grows by whole lines. What it holds already is not run again; a line cut off by an
interruption is not read and its run is done anew.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from casbo.errors import CasboError
from casbo_functions import ProblemSpec

from .. import json_lines, provenance
from .evaluation import evaluate
from .methods import label, method_named
from .peer import Peer, Task

#: Seeds whose outcome is reported. Nothing is tuned on them: tuning takes seeds from 100 on.
REPORTED_SEEDS = range(10)
FIRST_TUNING_SEED = 100
#: What an optimiser that has diverged may raise: its run ends there, its curve stays level.
DIVERGED = (ArithmeticError, AssertionError, ValueError, RuntimeError)


@dataclass(frozen=True)
class Run:
    """One method on one problem under one seed.

    Arguments:
        problem: The name of the problem.
        method: A key of `METHODS`.
        seed: Both the problem's seed and the method's are derived from it.
        population: N.
        queries: Score queries to spend, a multiple of N.
        options: Options of the method.
    """

    problem: str
    method: str
    seed: int
    population: int
    queries: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        """What tells runs apart in a file."""
        name = label(self.method, self.options)
        return (self.problem, name, self.seed, self.population, self.queries)

    def seed_of(self, *words: object) -> int:
        """A seed below 2^31 derived from this run's seed, the problem's name and some words."""
        text = repr((self.seed, self.problem, *words)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little") >> 1

    def make(self) -> Peer:
        """The optimiser at its start.

        Raises:
            CasboError: For options that the method does not have.
        """
        method = method_named(self.method)
        if self.options and not method.configurable:
            raise CasboError(f"Expected no --option for {self.method!r}, which takes none.")
        spec = ProblemSpec.named(self.problem)
        seed = self.seed_of("method", self.method)
        task = Task(spec.steps, spec.dim, self.population, spec.cumulative, seed)
        try:
            return method.make(task, **self.options)
        except TypeError as error:
            raise CasboError(f"Expected options that {self.method!r} has: {error}.") from error


def outcome(run: Run) -> dict[str, Any]:
    """Do a run and return its line: the least true cost so far after every iteration.

    Candidates that failed count as queries and not as a cost. An optimiser that raises, or asks
    for noise that is not finite, has diverged: the rest of its curve stays where it was.
    """
    torch.set_num_threads(1)
    problem_seed = run.seed_of("problem")
    problem = ProblemSpec.named(run.problem).problem(problem_seed)
    peer, iterations = run.make(), run.queries // run.population
    best, seconds, stopped = [], 0.0, None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for _ in range(iterations):
            begun = time.process_time()
            try:
                noise = peer.ask()
                seconds += time.process_time() - begun
                if not np.isfinite(noise).all():
                    raise FloatingPointError("asked for noise that is not finite")
                scored = evaluate(problem, noise)
                begun = time.process_time()
                if not scored.failed.all():
                    peer.tell_with_samples(scored.scores, scored.samples)
                seconds += time.process_time() - begun
            except DIVERGED as error:
                stopped = f"{type(error).__name__}: {error}"[:200]
                break
            reached = np.where(scored.failed, np.inf, scored.costs).min()
            best.append(min(float(reached), best[-1] if best else np.inf))
    best += (best[-1:] or [np.inf]) * (iterations - len(best))
    return {
        "problem": run.problem,
        "method": label(run.method, run.options),
        "seed": run.seed,
        "population": run.population,
        "queries": run.queries,
        "problem_seed": problem_seed,
        "cpu_seconds": round(seconds, 4),
        "stopped": stopped,
        "versions": versions(),
        "best": [float(f"{cost:.6g}") if np.isfinite(cost) else None for cost in best],
    }


@cache
def versions() -> dict[str, str]:
    """The versions that a run depends on, and the commit of casbo ("+": with changes)."""
    return provenance.versions(("casbo", "torch", "numpy", "cma", "cmaes"))


def planned(
    problems: Iterable[ProblemSpec],
    methods: Iterable[str],
    seeds: Iterable[int],
    *,
    population: int,
    queries: int,
    options: Mapping[str, Any],
) -> list[Run]:
    """All runs, those of the first seed first; methods only at the sizes they are meant for.

    Raises:
        CasboError: For an unknown method, or options that one of them does not have.
    """
    if population < 4 or population % 2:
        raise CasboError(f"Expected an even population of at least 4, got {population}.")
    if queries < population:
        raise CasboError(f"Expected at least {population} queries, got {queries}.")
    spent = queries // population * population
    specs, names = list(problems), list(methods)
    runs = [
        Run(spec.name, name, seed, population, spent, dict(options))
        for seed in seeds
        for name in names
        for spec in specs
        if spec.dim * spec.steps <= (method_named(name).most_coordinates or np.inf)
    ]
    for first in {run.method: run for run in runs}.values():
        first.make()
    return runs


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of runs; none if there is no such file.

    Raises:
        CasboError: When it cannot be read, or a line that is whole is not a run.
    """
    return json_lines.read(path, {"problem", "method", "best"}, "a run")


def key_of(line: Mapping[str, Any]) -> tuple[str, str, int, int, int]:
    """What tells the run of a line apart from others in the file."""
    return (
        line["problem"],
        line["method"],
        line["seed"],
        line["population"],
        line["queries"],
    )


def missing(runs: Iterable[Run], path: Path) -> list[Run]:
    """The runs that a file does not hold yet."""
    there = {key_of(line) for line in read(path)}
    return [run for run in runs if run.key not in there]


def carry_out(runs: list[Run], path: Path, *, jobs: int = 1) -> Iterator[dict[str, Any]]:
    """Do the runs, append each one's line to the file when it is done, and yield it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("ab").close()  # what cannot be written shows before anything is spent
    for line in _outcomes(runs, jobs):
        json_lines.append(path, line)
        yield line


def _outcomes(runs: list[Run], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs == 1:
        yield from map(outcome, runs)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(outcome, run) for run in runs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

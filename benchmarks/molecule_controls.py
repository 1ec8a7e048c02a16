"""Claim: which controls of a small TargetDiff or EDM earn most for the same number of queries.

    python benchmarks/molecule_controls.py

For the small TargetDiff that comes with the package, or a small model in a folder. First its
heritability: parent-child correlation of the score by rows of noise and by how much of them is
fresh, with the similarity of child and parent. Then an ablation: each method spends the same queries
on each seed, and is judged by fresh samples of what it learned, which it has not been scored on. The
score is Vina's energy on the embedded receptor after a local minimisation where the sample lies
("minimize"; for EDM, which knows no pocket, "dock"), or QED.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from command_line import exit_code
from markdown import table
from rdkit import DataStructs
from rdkit.Chem import QED, rdFingerprintGenerator
from small_models import small_rollout

import casbo
from casbo.frozen import FrozenRows
from casbo.rollout import Rollout
from casbo.steering import steer
from casbo_molecules.molecule import Molecule
from casbo_molecules.sizes import steer_sizes
from casbo_molecules.target import default_target
from casbo_molecules.training.targetdiff import SHIPPED
from casbo_molecules.vina import VinaScore

POPULATION = 16
FRESH = 64  # samples of what was learned, beside the budget


class QedScore:
    """Scorer: N molecules -> their QED, NaN where the atoms make none."""

    direction = "maximize"

    def __call__(self, samples: Sequence[Molecule]) -> list[float]:
        return [qed(sample) for sample in samples]


def qed(sample: Molecule) -> float:
    """Quantitative estimate of drug-likeness, 0 to 1."""
    return math.nan if sample.mol is None else QED.qed(sample.mol)


@dataclass(frozen=True)
class Method:
    """What is steered.

    Arguments:
        types: What becomes of the noise of types: "steered" or "frozen".
        start_only: Whether all rows but the start are fixed.
        symmetric: Whether the rollout's permutation-aware space is used, else all noise of each row.
        parents: How many good candidates are re-noised; 0 steers from scratch.
        from_row: With parents, the share of the rows before which their noise is frozen.
        eta: Of the sampler.
    """

    types: str = "steered"
    start_only: bool = False
    symmetric: bool = False
    parents: int = 0
    from_row: float = 0.5
    eta: float | None = None


METHODS = {
    "all noise, types steered": Method(),
    "all noise, types frozen": Method(types="frozen"),
    "start noise only, types steered": Method(start_only=True),
    "start noise only, types frozen": Method(types="frozen", start_only=True),
    "start noise only, eta 0, types frozen": Method(types="frozen", start_only=True, eta=0.0),
    "permutation-aware, types steered": Method(symmetric=True),
    "permutation-aware, types frozen": Method(types="frozen", symmetric=True),
    "best parent, first half frozen": Method(parents=1),
    "best parent, first three quarters frozen": Method(parents=1, from_row=0.75),
    "best parent, first half frozen, types frozen": Method(types="frozen", parents=1),
    "four parents, first half frozen, halving": Method(parents=4),
    "four parents, first three quarters frozen, halving": Method(parents=4, from_row=0.75),
}


@dataclass(frozen=True)
class Outcome:
    """Of one method and seed: mean and valid share of fresh samples, best score of the budget."""

    mean: float
    best: float
    valid: float
    qed: float
    different: float


@dataclass(frozen=True)
class Experiment:
    """One model, one score, one budget."""

    folder: Path
    atoms: int
    steps: int
    eta: float
    scorer: Any
    queries: int

    @property
    def sign(self) -> float:
        """1 where less is better."""
        return 1.0 if self.scorer.direction == "minimize" else -1.0

    def rollout(self, method: Method, seed: int = 0) -> Rollout:
        """The model with what the method asks of its sampler."""
        eta = self.eta if method.eta is None else method.eta
        return small_rollout(
            self.folder, self.atoms, steps=self.steps, eta=eta, types=method.types, seed=seed
        )

    def scores(self, samples: Sequence[Molecule]) -> list[float]:
        """One number for each sample, NaN where it fails."""
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Molecule) -> float:
        if sample.mol is None:
            return math.nan
        found = self.scorer([sample])
        return float(found["vina"][0] if isinstance(found, dict) else found[0])

    def plain(self, types: str, seed: int) -> Outcome:
        """As many queries without steering."""
        rollout = self.rollout(Method(types), seed)
        samples = sampled(rollout, self.queries, seed)
        return self.judged(samples, self.best_of(self.scores(samples)))

    def steered(self, method: Method, seed: int) -> Outcome:
        """Spend the budget by a method, then draw fresh samples."""
        rollout = self.rollout(method, seed)
        if method.parents:
            return self._renoised(rollout, method, seed)
        if method.start_only and rollout.shape[0] > 1:
            noise = normal((1, *rollout.shape), seed)[0]
            rollout = FrozenRows(rollout, noise, range(1, rollout.shape[0]))
        space = rollout.space() if method.symmetric else casbo.PerStep()
        result = steer(rollout, self.scorer, queries=self.queries, **self._options(seed, space))
        return self.judged(result.sample(FRESH, seed), result.bests(1)[0].score)

    def _renoised(self, rollout: Rollout, method: Method, seed: int) -> Outcome:
        """A quarter of the budget finds parents; the rest steers their later rows."""
        first = self.queries // 4 // POPULATION * POPULATION
        noise = normal((first, *rollout.shape), seed)
        scores = np.array(self.scores(rollout(noise).samples))
        order = np.argsort(np.where(np.isnan(scores), np.inf, self.sign * scores))
        rows = range(round(method.from_row * rollout.shape[0]))
        children = {
            number: FrozenRows(rollout, noise[parent], rows)
            for number, parent in enumerate(order[: method.parents])
        }
        with tempfile.TemporaryDirectory() as folder:
            race = steer_sizes(
                children,
                self.scorer,
                queries=self.queries - first,
                run=folder,
                **self._options(seed, casbo.PerStep()),
            )
            result = race[0].result
            found = [one.result.bests(1)[0].score for one in race if one.result.bests(1)]
            return self.judged(
                result.sample(FRESH, seed), self.best_of([*found, *scores.tolist()])
            )

    def _options(self, seed: int, space: casbo.Space) -> dict[str, Any]:
        return {
            "population": POPULATION,
            "seed": seed,
            "space": space,
            "failure_limit": 1.0,
            "progress": False,
        }

    def best_of(self, scores: Sequence[float]) -> float:
        """The best score that did not fail."""
        return self.sign * min(self.sign * s for s in scores if not math.isnan(s))

    def judged(self, samples: Sequence[Molecule], best: float) -> Outcome:
        """The outcome of samples that nothing was learned from."""
        scores = [score for score in self.scores(samples) if not math.isnan(score)]
        valid = [sample for sample in samples if sample.mol is not None]
        return Outcome(
            statistics.fmean(scores) if scores else math.nan,
            best,
            len(valid) / len(samples),
            statistics.fmean(map(qed, valid)) if valid else math.nan,
            len({sample.smiles for sample in valid}) / max(1, len(valid)),
        )


def normal(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Standard-normal numbers of a seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def sampled(rollout: Rollout, count: int, seed: int) -> list[Molecule]:
    """Plain samples."""
    return list(rollout(normal((count, *rollout.shape), seed)).samples)


def ablation(experiment: Experiment, options: argparse.Namespace) -> None:
    """Print a line for each method."""
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    ways: dict[str, Callable[[int], Outcome]] = {
        f"nothing, types {types}": partial(experiment.plain, types)
        for types in ("steered", "frozen")
    } | {name: partial(experiment.steered, method) for name, method in METHODS.items()}
    if options.only:
        ways = {name: way for name, way in ways.items() if any(x in name for x in options.only)}
    found: dict[str, list[Outcome]] = {name: [] for name in ways}
    for seed in seeds:
        for name, way in ways.items():
            found[name].append(way(seed))
            print(seed, name, found[name][-1], sep=": ", file=sys.stderr, flush=True)
    rows = [[name, *line(outcomes)] for name, outcomes in found.items()]
    print(f"\n{experiment.queries} queries, {len(seeds)} seeds, {FRESH} fresh samples each\n")
    print(table(["steered", "mean of fresh", "best", "valid", "QED", "different"], rows))


def line(outcomes: Sequence[Outcome]) -> list[str]:
    """Means over seeds, two of them with standard errors."""
    shares = [
        f"{statistics.fmean(getattr(one, key) for one in outcomes):.2f}"
        for key in ("valid", "qed", "different")
    ]
    return [
        *(spread([getattr(one, key) for one in outcomes]) for key in ("mean", "best")),
        *shares,
    ]


def spread(values: Sequence[float]) -> str:
    """Mean and standard error over seeds."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):.2f} ± {error:.2f}"


def inherited(experiment: Experiment, parents: int) -> None:
    """Print the heritability of the model's noise, and of its parts."""
    for types in ("steered", "frozen"):
        rollout = experiment.rollout(Method(types=types))
        found = casbo.heritability(
            rollout,
            experiment.scorer,
            scales=(0.1, 0.3, 0.6, 1.0),
            blocks=rows_of(rollout.shape[0]),
            parents=parents,
            similarity=tanimoto,
        )
        print(f"\ntypes {types}: {rollout.shape[0]} rows of {rollout.shape[1]} numbers\n")
        print(found.table(), flush=True)


def rows_of(K: int) -> dict[str, Sequence[int]]:
    """Start, halves and the last quarter of the rows."""
    return {
        "start": range(1),
        "early half": range(1, K // 2),
        "late half": range(K // 2, K),
        "last quarter": range(3 * K // 4, K),
    }


def tanimoto(parent: Molecule, child: Molecule) -> float:
    """Similarity of Morgan fingerprints, NaN where one is no molecule."""
    if parent.mol is None or child.mol is None:
        return math.nan
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    return DataStructs.TanimotoSimilarity(
        generator.GetFingerprint(parent.mol), generator.GetFingerprint(child.mol)
    )


def measure(options: argparse.Namespace) -> None:
    """Heritability, then the ablation."""
    target = default_target()
    scorer = (
        QedScore()
        if options.score == "qed"
        else VinaScore(target.receptor, ligand=target.ligand, mode=options.score)
    )
    experiment = Experiment(
        options.folder, options.atoms, options.steps, options.eta, scorer, options.queries
    )
    if options.parents:
        inherited(experiment, options.parents)
    if options.seeds:
        ablation(experiment, options)


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--score", choices=("minimize", "dock", "qed"), default="minimize")
    parser.add_argument("--atoms", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--eta", type=float, default=1.0)
    parser.add_argument("--queries", type=int, default=192)
    parser.add_argument("--seeds", type=int, default=3, help="of the ablation; 0 leaves it out")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--parents", type=int, default=32, help="of the heritability; 0 likewise")
    parser.add_argument("--only", nargs="+", help="methods whose name holds one of these")
    options = parser.parse_args()
    return exit_code(lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())

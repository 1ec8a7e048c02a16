"""Ways to spend the same number of dockings: plain sampling, the best of it, and steering.

Each gets Q dockings. Plain sampling spends them on Q samples of the model; the best of them is its
best share, as large as the share of fresh samples in steering. Steering spends most on learning and
that share on fresh samples from the controls it has learned: samples that no update has seen, which
its means are taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .comparison import Column
from .errors import DockingInputError
from .metrics.numbers import finite
from .pose_quality import pose_quality
from .run_metrics import query_metrics
from .tables import ScoredMolecule, scored_molecules

if TYPE_CHECKING:
    from casbo.controls import Controls
    from casbo.result import Result

    from .docking_run import DockingOptions
    from .molecule import Molecule
    from .vina import VinaScore

FRESH_SHARE = 0.2  # of the dockings, for fresh samples of what was learned


@dataclass(frozen=True)
class Spending:
    """How dockings are spent.

    Parameters
    ----------
    queries
        Q, the dockings of every arm.
    population
        Dockings of an iteration of steering.
    seed
        Determines all samples.
    workers
        Docking processes.
    fresh_share
        Share of Q that steering leaves for fresh samples, at least.
    checked
        So many of an arm's samples are looked at closely (:mod:`.pose_quality`).

    Raises
    ------
    DockingInputError
        If the dockings do not suffice.
    """

    queries: int
    population: int = 32
    seed: int = 1
    workers: int = 1
    fresh_share: float = FRESH_SHARE
    checked: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.fresh_share < 1:
            raise DockingInputError(
                f"expected a share of fresh samples between 0 and 1, got {self.fresh_share}"
            )
        if self.learning < 2 * self.population:
            raise DockingInputError(
                f"expected dockings for at least 2 iterations of {self.population} and fresh "
                f"samples, got {self.queries}; ask for {3 * self.population} or more"
            )

    @property
    def learning(self) -> int:
        """Dockings that steering learns from, in whole iterations."""
        return int(self.queries * (1 - self.fresh_share)) // self.population * self.population

    @property
    def fresh(self) -> int:
        """Dockings of fresh samples."""
        return self.queries - self.learning


@dataclass(frozen=True)
class Arm:
    """What Q dockings bought.

    Parameters
    ----------
    options, vina, spending
        What was run.
    samples
        The samples that stand for the arm; their numbers are rows of its noise.
    spent
        Every docking.
    controls
        What the samples were drawn from, None for the plain model.
    """

    options: DockingOptions
    vina: VinaScore
    spending: Spending
    samples: tuple[ScoredMolecule, ...]
    spent: tuple[ScoredMolecule, ...]
    controls: Controls | None = None

    def docked(self) -> list[ScoredMolecule]:
        """The samples that were docked, in the order in which they were drawn."""
        rows = [row for row in self.samples if not row.failed]
        return sorted(rows, key=lambda row: row.number)

    def molecules(self, rows: list[ScoredMolecule]) -> list[Molecule]:
        """These samples as the model made them: made again, at the cost of no docking."""
        from casbo.evaluation import plain_noise

        from .docking_run import molecule_rollout

        if not rows:
            return []
        rollout = molecule_rollout(self.options)
        numbers, seed = [row.number for row in rows], self.spending.seed
        count = max(numbers) + 1
        plain = self.controls is None
        noise = (
            plain_noise(count, rollout.shape, seed) if plain else self.controls.noise(count, seed)
        )
        return list(rollout(noise[torch.tensor(numbers)]).samples)

    def column(self, name: str) -> Column:
        """The arm's numbers; the first :attr:`Spending.checked` docked samples are checked."""
        quality = pose_quality(self.molecules(self.docked()[: self.spending.checked]), self.vina)
        energies = finite([row.components.get("vina", float("nan")) for row in self.spent])
        metrics = query_metrics(
            self.samples,
            vina_min=quality.vina_min,
            posebusters=quality.posebusters,
            posebusters_dock=quality.posebusters_dock,
        )
        best = min(energies.tolist(), default=float("nan"))
        return Column(name, dockings=len(self.spent), best=best, metrics=metrics)


def plain_arm(options: DockingOptions, vina: VinaScore, spending: Spending) -> Arm:
    """Dock Q samples of the plain model, in the run folder of these options.

    Raises
    ------
    casbo.errors.CasboError
        If something cannot be read or written.
    """
    from .docking_run import dock_samples

    label = dock_samples(
        options, vina, None, n=spending.queries, seed=spending.seed, workers=spending.workers
    )
    rows = tuple(scored_molecules(Path(options.out), "evaluation", label)[: spending.queries])
    return Arm(options, vina, spending, samples=rows, spent=rows)


def best_arm(plain: Arm, key: Callable[[ScoredMolecule], float]) -> Arm:
    """Of a plain arm the samples with the lowest ``key``, as many as steering has fresh ones."""
    best = sorted(plain.docked(), key=key)[: plain.spending.fresh]
    return replace(plain, samples=tuple(best))


def steered_arm(
    options: DockingOptions, vina: VinaScore, spending: Spending, *, outputs: bool = False
) -> tuple[Arm, Result]:
    """Steer, then dock fresh samples, in the run folder of these options.

    Parameters
    ----------
    outputs
        Whether to write the files of a docking run: best.sdf, metrics.json and so on.

    Raises
    ------
    casbo.errors.CasboError
        If something cannot be read or written, or too much fails.
    """
    from .docking_run import dock_samples, steer_docking

    result = steer_docking(
        options,
        vina,
        queries=spending.learning,
        population=spending.population,
        seed=spending.seed,
        workers=spending.workers,
        outputs=outputs,
    )
    label = dock_samples(
        options,
        vina,
        result.controls,
        n=spending.fresh,
        seed=spending.seed,
        workers=spending.workers,
        label=f"fresh-{spending.seed}-after-{spending.learning}",
    )
    folder = Path(options.out)
    fresh = tuple(scored_molecules(folder, "evaluation", label))
    spent = (*scored_molecules(folder), *fresh)
    return Arm(options, vina, spending, fresh, spent, result.controls), result

"""The options of a docking run, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from casbo.errors import CasboError
from casbo.options import RunOptions

from .box import PADDING
from .errors import DockingInputError

#: A search that is nearly as good as Vina's default for ranking and 30 times faster; docs/docking.md.
FAST_EXHAUSTIVENESS = 4
FAST_EVALUATIONS = 25_000

KEPT = 20  # molecules in best.sdf
DEADLINE = 120.0  # seconds for one docking, a hundred times what one takes
FAILURE_LIMIT = 0.5
FILTERED_FAILURE_LIMIT = 0.95  # hard filters refuse molecules by the dozen, and cost no docking


@dataclass(frozen=True)
class DockingOptions(RunOptions):
    """Everything that a docking run is built from, as JSON values.

    Parameters
    ----------
    out
        The run folder.
    receptor, ligand
        Paths; ``ligand`` may be None when ``center`` and ``size`` are given.
    center, size
        The box in Å, or None to take it from the ligand or the residues.
    residues
        Residues that line the pocket, such as ``("A:45", "A:102")``: their place is the box.
    padding
        Å added to the ligand's extent along each axis.
    atoms
        Atoms of every molecule; None for what the model's :class:`~.generators.Generator` takes.
    model
        A name of :data:`.generators.NAMED` or a folder, None for the shipped model.
    checkpoint, device, steer
        File or folder of a named model's weights; where it computes; which parts of its noise are
        steered, all if none is named.
    sampler
        Options of the model's own sampler.
    exhaustiveness, max_evals, vina_seed
        Of :class:`~casbo_molecules.vina.VinaScore`.
    hydrogens, ph, keep, drop, chains, altloc, modified, incomplete
        Of :class:`~casbo_molecules.receptor.Preparation`.
    objective, term, qed_weight, sa_weight
        Of :func:`~casbo_molecules.objectives.objective_of`.
    require, forbid, alerts, max_weight, max_rotatable, max_ring
        Of :func:`~casbo_molecules.filters.filters_of`.
    buckets, bucket_threshold, scaffold
        Of :func:`~casbo_molecules.scaffolds.buckets_of`.
    score_steps
        Steps of the model whose predicted molecules are docked as well, each for a query.
    guess_steps, guess_credit
        Steps of a :class:`casbo.stand_in.StandIn`, which guesses them for none, and its credit.
    receptor_sha256
        Digest of the prepared receptor when the run began; None before.
    """

    error: ClassVar[type[CasboError]] = DockingInputError

    out: str
    receptor: str
    ligand: str | None = None
    center: tuple[float, ...] | None = None
    size: tuple[float, ...] | None = None
    padding: float = PADDING
    atoms: int | None = None
    model: str | None = None
    checkpoint: str | None = None
    device: str = "cpu"
    steer: tuple[str, ...] = ()
    sampler: Mapping[str, Any] | None = None
    exhaustiveness: int = FAST_EXHAUSTIVENESS
    max_evals: int = FAST_EVALUATIONS
    vina_seed: int = 42
    hydrogens: str = "auto"
    ph: float = 7.4
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    qed_weight: float | None = None
    sa_weight: float | None = None
    receptor_sha256: str | None = None
    residues: tuple[str, ...] = ()
    altloc: tuple[str, ...] = ()
    modified: str = "keep"
    incomplete: str = "keep"
    objective: str = "sum"
    term: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    max_weight: float | None = None
    max_rotatable: int | None = None
    max_ring: int | None = None
    buckets: int | None = None
    bucket_threshold: float | None = None
    scaffold: str = "murcko"
    score_steps: tuple[int, ...] = ()
    guess_steps: tuple[int, ...] = ()
    guess_credit: str = "baseline"


def failure_limit_of(options: DockingOptions, asked: float | None) -> float:
    """The share of queries that may fail: as asked for, else larger where filters refuse some."""
    if asked is not None:
        return asked
    bounds = (options.max_weight, options.max_rotatable, options.max_ring)
    filtered = options.require or options.forbid or options.alerts
    return FILTERED_FAILURE_LIMIT if filtered or bounds != (None,) * 3 else FAILURE_LIMIT

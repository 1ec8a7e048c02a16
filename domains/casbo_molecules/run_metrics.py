"""The metrics of a docking run: measured from its ledger and its poses, kept in ``metrics.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from casbo.atomic import write_atomically
from casbo.errors import CandidateFailed

from .metrics import MoleculeMetrics, chemistry_metrics
from .metrics.numbers import mean, median
from .metrics.table import to_json
from .pose_analysis import PoseAnalysis, analyse_poses
from .tables import ScoredMolecule, scored_molecules

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from .vina import VinaScore

#: Which metric the energies of a mode are.
ENERGIES = {"dock": "vina", "minimize": "vina_min", "score_only": "vina_score"}


@dataclass(frozen=True)
class RunMetrics:
    """What ``metrics.json`` holds.

    Parameters
    ----------
    metrics
        Of all queries; the pose-based ones of the best poses.
    poses
        What is known of the poses in ``best.sdf``, in their order.
    reference
        Name of the reference ligand's file; None without one.
    reference_vina
        Its energy in kcal/mol from the run's own scorer; NaN where it cannot be scored.
    """

    metrics: MoleculeMetrics
    poses: tuple[PoseAnalysis, ...]
    reference: str | None
    reference_vina: float

    def to_json(self) -> dict[str, Any]:
        """JSON values; None stands for what was not measured."""
        return {
            "metrics": to_json(self.metrics.as_dict()),
            "reference": {
                "ligand": self.reference,
                "vina": self.reference_vina if math.isfinite(self.reference_vina) else None,
            },
            "poses": [pose.to_json() for pose in self.poses],
        }


def measure_run(
    run: Path,
    vina: VinaScore,
    poses: Sequence[Mol],
    *,
    known: Collection[str] | None = None,
) -> RunMetrics:
    """Measure a run folder.

    Parameters
    ----------
    run
        The run folder; all steered queries in its ledger count.
    vina
        The run's scorer: scores the reference ligand the same way.
    poses
        The best molecules as docked.
    known
        Constitutions that are not new: :func:`~casbo_molecules.metrics.read_known`.
    """
    analyses = analyse_poses(poses, vina.receptor.pdbqt)
    reference = reference_energy(vina)
    measured = query_metrics(
        scored_molecules(run),
        vina.settings.mode,
        reference=None if math.isnan(reference) else reference,
        known=known,
        posebusters_dock=mean([float(pose.plausible) for pose in analyses]),
        strain_median=median([pose.strain for pose in analyses]),
    )
    name = None if vina.reference is None else vina.reference.name
    return RunMetrics(measured, tuple(analyses), name, reference)


def query_metrics(
    rows: Sequence[ScoredMolecule],
    mode: str = "dock",
    **options: Any,  # noqa: ANN401
) -> MoleculeMetrics:
    """Metrics of the queries in a ledger.

    Parameters
    ----------
    rows
        The queries, failed ones included.
    mode
        Vina's mode that scored them: says which metric the energies are.
    options
        Of :func:`~casbo_molecules.metrics.chemistry_metrics`.
    """
    from rdkit import Chem

    energies = np.array([row.components.get("vina", math.nan) for row in rows], dtype=float)
    mols = [None if row.smiles is None else Chem.MolFromSmiles(row.smiles) for row in rows]
    return chemistry_metrics(mols, **{ENERGIES[mode]: energies}, **options)


def reference_energy(vina: VinaScore) -> float:
    """The reference ligand's energy in kcal/mol; NaN without one, or where it cannot be scored."""
    from .reference_ligand import reference_molecule

    if vina.reference is None:
        return math.nan
    try:
        return vina.energy(reference_molecule(vina.reference))
    except CandidateFailed:
        return math.nan


def record_metrics(
    run: Path, vina: VinaScore, poses: Sequence[Mol], *, known: Collection[str] | None = None
) -> RunMetrics:
    """Measure a run folder, write ``metrics.json`` and bring its report up to date.

    Raises
    ------
    casbo.errors.RunFolderError
        If something cannot be read or written.
    """
    from casbo.report import rewrite_report
    from casbo.run_folder import RunFolder

    measured = measure_run(run, vina, poses, known=known)
    write_metrics(measured, run)
    rewrite_report(RunFolder.existing(run))
    return measured


def read_metrics(run: Path) -> dict[str, float | None]:
    """The numbers in a run folder's ``metrics.json``; none where it is missing or damaged."""
    try:
        numbers = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["metrics"]
        return {str(name): value for name, value in numbers.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_metrics(measured: RunMetrics, run: Path) -> Path:
    """Write ``metrics.json`` into the run folder.

    Raises
    ------
    casbo.errors.RunFolderError
        If it cannot be written.
    """
    path = run / "metrics.json"
    text = json.dumps(measured.to_json(), indent=2, allow_nan=False) + "\n"
    write_atomically(path, text.encode())
    return path

"""What the field reports about generated molecules, by its own definitions: docs/metrics.md."""

from __future__ import annotations

from .affinity import Success, high_affinity, success_rate
from .molecules import MoleculeMetrics, chemistry_metrics, molecule_metrics
from .poses import pose_checks, posebusters_pass_rate
from .sets import constitution, diversity, novelty, read_known

__all__ = [
    "MoleculeMetrics",
    "Success",
    "chemistry_metrics",
    "constitution",
    "diversity",
    "high_affinity",
    "molecule_metrics",
    "novelty",
    "pose_checks",
    "posebusters_pass_rate",
    "read_known",
    "success_rate",
]

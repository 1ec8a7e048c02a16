"""What is known of the best poses of a run besides their scores: plausibility, strain, contacts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casbo.errors import CandidateFailed

from .errors import DockingInputError
from .interactions import Interaction, interactions
from .metrics import pose_checks
from .strain import StrainSettings, strain_energy

if TYPE_CHECKING:
    from rdkit.Chem import Mol


@dataclass(frozen=True)
class PoseAnalysis:
    """One pose.

    Parameters
    ----------
    failed_checks
        PoseBusters' ``dock`` checks that it fails, by their names.
    strain
        kcal/mol, NaN where MMFF has no parameters.
    interactions
        With which residues, and how; empty too where the receptor's bonds are not understood.
    """

    failed_checks: tuple[str, ...]
    strain: float
    interactions: tuple[Interaction, ...]

    @property
    def plausible(self) -> bool:
        """Whether every check is passed."""
        return not self.failed_checks

    def to_json(self) -> dict[str, Any]:
        """JSON values that :meth:`from_json` reads."""
        return {
            "failed_checks": list(self.failed_checks),
            "strain": self.strain if math.isfinite(self.strain) else None,
            "interactions": [[one.residue, one.kind] for one in self.interactions],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PoseAnalysis:
        """The inverse of :meth:`to_json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the values are others.
        """
        strain = values["strain"]
        return cls(
            failed_checks=tuple(str(name) for name in values["failed_checks"]),
            strain=math.nan if strain is None else float(strain),
            interactions=tuple(
                Interaction(str(residue), str(kind)) for residue, kind in values["interactions"]
            ),
        )


def analyse_poses(
    poses: Sequence[Mol], receptor: Path, settings: StrainSettings | None = None
) -> list[PoseAnalysis]:
    """Analyse docked poses; some seconds for each.

    Parameters
    ----------
    poses
        Sanitised molecules with one conformer each in the receptor's frame.
    receptor
        PDB or PDBQT file.
    settings
        Of the strain.
    """
    checks = pose_checks(poses, receptor)
    try:
        contacts = interactions(poses, receptor)
    except DockingInputError:
        contacts = [()] * len(poses)
    return [
        PoseAnalysis(
            failed_checks=tuple(name for name, passed in row.items() if not passed),
            strain=_strain(pose, settings),
            interactions=found,
        )
        for pose, row, found in zip(poses, checks, contacts, strict=True)
    ]


def _strain(pose: Mol, settings: StrainSettings | None) -> float:
    try:
        return strain_energy(pose, settings)
    except CandidateFailed:
        return math.nan

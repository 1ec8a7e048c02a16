"""What docking scores do not show: how samples fit as they are, and whether poses are plausible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from casbo.errors import CandidateFailed

from .metrics import posebusters_pass_rate
from .molecule import Molecule
from .vina import VinaScore

if TYPE_CHECKING:
    from rdkit.Chem import Mol

LARGEST_MATCHES = 1000  # ways to lay a symmetric molecule on itself that are tried


@dataclass(frozen=True)
class PoseQuality:
    """Measures of n molecules that were docked.

    Parameters
    ----------
    vina_min
        n energies in kcal/mol: the sample's own geometry, laid on its docked pose and relaxed
        there by Vina. Docking begins with a conformer of its own, so this is what tells whether
        the geometry that the model made fits too. NaN where it leaves the box.
    posebusters
        Share of the samples, as the model made them, that pass PoseBusters' ``mol`` checks.
    posebusters_dock
        Share of the docked poses that pass its ``dock`` checks.
    """

    vina_min: tuple[float, ...]
    posebusters: float
    posebusters_dock: float


def pose_quality(molecules: Sequence[Molecule], vina: VinaScore) -> PoseQuality:
    """Dock n molecules again and look at them closely; two or three seconds for each.

    Parameters
    ----------
    molecules
        Samples of a model that knows no pocket; what is no molecule is left out.
    vina
        The scorer that docked them.
    """
    molecules = [molecule for molecule in molecules if molecule.mol is not None]
    relaxing = VinaScore(
        vina.receptor, center=vina.box.center, size=vina.box.size, mode="minimize"
    )
    docked = [
        (molecule, pose)
        for molecule, pose in zip(molecules, vina.poses(molecules), strict=True)
        if pose is not None
    ]
    return PoseQuality(
        vina_min=tuple(_energy(relaxing, laid_on(*pair)) for pair in docked),
        posebusters=posebusters_pass_rate([molecule.require() for molecule, _ in docked]),
        posebusters_dock=posebusters_pass_rate([pose for _, pose in docked], vina.receptor.pdbqt),
    )


def laid_on(molecule: Molecule, pose: Mol) -> Molecule | None:
    """The sample, unchanged in itself, where it lies closest to a pose of the same molecule.

    Closest is the least root mean square distance of heavy atoms over rigid motions and the
    molecule's symmetries; None where the two are not the same molecule.
    """
    from rdkit import Chem
    from rdkit.Chem import rdMolAlign

    moved = Chem.Mol(molecule.require())
    try:
        rdMolAlign.GetBestRMS(moved, Chem.RemoveHs(pose), maxMatches=LARGEST_MATCHES)
    except RuntimeError:
        return None
    return Molecule.from_mol(moved)


def _energy(relaxing: VinaScore, molecule: Molecule | None) -> float:
    try:
        return math.nan if molecule is None else relaxing.energy(molecule)
    except CandidateFailed:
        return math.nan

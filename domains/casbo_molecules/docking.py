"""AutoDock Vina on one molecule at a time, in the calling process.

Vina's C++ code may end the whole process on input it does not like, so nothing here is called in
a process that matters: :mod:`.vina` sees to that. Setting a ligand costs Vina more than scoring
it (it tabulates the potential for every pair of atoms), so ``score_only`` goes without it
(:mod:`.vina_function`); maps are computed once per process, for all atom types. They are not stored: maps that Vina reads from disk lack the receptor's atoms, so
poses are neither refined nor scored against them: docking scores were 0.3 kcal/mol higher on
average (``benchmarks/docking_settings.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from casbo.errors import CandidateFailed

from .errors import DockingInputError
from .vina_function import score_in_place

if TYPE_CHECKING:
    from rdkit.Chem import Mol
    from vina import Vina

Mode = Literal["dock", "minimize", "score_only"]
MODES: tuple[Mode, ...] = ("dock", "minimize", "score_only")
KEPT_POSES = 3  # of a search; Vina refines them against the receptor's atoms and the best is taken
EMBEDDING_SEED = 20240601
EMBEDDING_ATTEMPTS = 40  # a sound molecule needs one or two; an impossible cage, all there are
REMEMBERED = 4096  # dockings a process keeps


@dataclass(frozen=True)
class DockingSettings:
    """Everything besides the ligand that decides a score.

    Parameters
    ----------
    receptor
        Path of the prepared receptor (PDBQT).
    center, size
        The box in Å.
    mode
        "dock" searches poses, "minimize" relaxes the given one, "score_only" scores it.
    exhaustiveness
        Independent Monte-Carlo runs of a search.
    max_evals
        Most energy evaluations in each run; 0 for Vina's own rule.
    seed
        Seed of the search, 1 .. 2**31 - 1.
    geometry
        Of a molecule that is docked: "embedded" takes the canonical SMILES and embeds one relaxed
        conformer, so that a molecule always has the same score; "sampled" keeps the bond lengths
        and rings it came with. The other modes always keep the sample's coordinates.
    """

    receptor: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    mode: Mode = "dock"
    exhaustiveness: int = 8
    max_evals: int = 0
    seed: int = 42
    geometry: Literal["embedded", "sampled"] = "embedded"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise DockingInputError(f"expected a mode of {', '.join(MODES)}, got {self.mode!r}")
        if self.geometry not in ("embedded", "sampled"):
            raise DockingInputError(
                f"expected geometry as 'embedded' or 'sampled', got {self.geometry!r}"
            )
        if self.exhaustiveness < 1 or self.max_evals < 0:
            raise DockingInputError(
                "expected exhaustiveness above 0 and max_evals of 0 or more, got "
                f"{self.exhaustiveness} and {self.max_evals}"
            )
        if not 0 < self.seed < 2**31:
            raise DockingInputError(
                f"expected a Vina seed from 1 to 2147483647, got {self.seed}: "
                "Vina takes 0 for a random one"
            )


@dataclass(frozen=True)
class Docked:
    """A score in kcal/mol and the pose it belongs to, as PDBQT text with the ligand's SMILES."""

    energy: float
    pdbqt: str


def dock(settings: DockingSettings, mol: Mol, *, pose: bool = True) -> Docked:
    """Score one sanitised molecule with 3D coordinates; kcal/mol, lower is better.

    ``pose=False`` leaves the pose's text empty where it costs time (mode "minimize").

    Raises
    ------
    casbo.errors.CandidateFailed
        If the molecule cannot be prepared, lies outside the box or no pose fits into it.
    """
    if settings.mode == "dock" and settings.geometry == "embedded":
        from rdkit import Chem

        return _dock_smiles(settings, Chem.MolToSmiles(mol))
    if settings.mode == "dock":
        return _search(settings, ligand_pdbqt(_moved(mol, settings.center)))
    return _in_place(settings, ligand_pdbqt(mol), pose)


@lru_cache(maxsize=2)
def engine(receptor: str, center: tuple[float, ...], size: tuple[float, ...], seed: int) -> Vina:
    """Vina with its receptor and maps; about one second, once per process and box.

    Raises
    ------
    DockingInputError
        If the prepared receptor is gone or refused.
    """
    from vina import Vina

    _require_receptor(receptor)
    vina = Vina(sf_name="vina", cpu=1, seed=seed, verbosity=0)
    try:
        vina.set_receptor(receptor)
        vina.compute_vina_maps(list(center), list(size))  # before any ligand: all atom types
    except (RuntimeError, TypeError, ValueError) as error:
        raise DockingInputError(f"{receptor}: Vina refuses the receptor: {error}") from error
    return vina


def engine_for(settings: DockingSettings) -> Vina:
    """The engine of these settings, made on the first call in a process."""
    return engine(settings.receptor, settings.center, settings.size, settings.seed)


def warm(settings: DockingSettings) -> None:
    """Do everything slow that is done once per process: imports, and maps or tables.

    Raises
    ------
    DockingInputError
        If the prepared receptor is gone or refused.
    """
    ligand = ligand_pdbqt(embedded("C"))
    if settings.mode != "score_only" or _score_in_place(settings, ligand) is None:
        engine_for(settings)


def ligand_pdbqt(mol: Mol) -> str:
    """Meeko's PDBQT of a molecule with one conformer; missing hydrogens are placed.

    Raises
    ------
    casbo.errors.CandidateFailed
        If Meeko cannot type or write it.
    """
    from meeko import MoleculePreparation, PDBQTWriterLegacy
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        try:
            hydrogenated = Chem.AddHs(mol, addCoords=True)
            setup = MoleculePreparation(rigid_macrocycles=True).prepare(hydrogenated)[0]
            text, written, problem = PDBQTWriterLegacy.write_string(setup)
        except (RuntimeError, ValueError, KeyError, IndexError) as error:
            raise CandidateFailed(f"Meeko cannot prepare the ligand: {error}") from error
    if not written:
        raise CandidateFailed(f"Meeko cannot prepare the ligand: {problem.strip()}")
    ligand: str = text
    return ligand


def embedded(smiles: str) -> Mol:
    """One relaxed conformer (ETKDG, MMFF94) with hydrogens; the same for the same SMILES.

    Raises
    ------
    casbo.errors.CandidateFailed
        If no conformer can be embedded.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = EMBEDDING_SEED
    parameters.maxIterations = EMBEDDING_ATTEMPTS
    with rdBase.BlockLogs():
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
            parameters.useRandomCoords = True
            if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
                raise CandidateFailed("no 3D conformer can be embedded")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
            rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=500)
    return mol


@lru_cache(maxsize=REMEMBERED)
def _dock_smiles(settings: DockingSettings, smiles: str) -> Docked:
    return _search(settings, ligand_pdbqt(_moved(embedded(smiles), settings.center)))


def _search(settings: DockingSettings, ligand: str) -> Docked:
    vina = engine_for(settings)
    try:
        vina.set_ligand_from_string(ligand)
        vina.dock(settings.exhaustiveness, n_poses=KEPT_POSES, max_evals=settings.max_evals)
        energies = vina.energies(n_poses=1)
        if np.size(energies) == 0:
            raise CandidateFailed("no pose fits into the box")
        return Docked(_finite(energies[0][0]), vina.poses(n_poses=1))
    except (RuntimeError, TypeError, ValueError) as error:
        raise _failure(error) from error


def _in_place(settings: DockingSettings, ligand: str, pose: bool) -> Docked:
    _require_inside(settings, ligand)
    if settings.mode == "score_only":
        energy = _score_in_place(settings, ligand)
        if energy is not None:
            return Docked(energy, ligand)
    vina = engine_for(settings)
    try:
        vina.set_ligand_from_string(ligand)
        if settings.mode == "score_only":
            return Docked(_finite(vina.score()[0]), ligand)
        energy = _finite(vina.optimize()[0])
        return Docked(energy, _current_pose(vina) if pose else "")
    except (RuntimeError, TypeError, ValueError) as error:
        raise _failure(error) from error


def _score_in_place(settings: DockingSettings, ligand: str) -> float | None:
    _require_receptor(settings.receptor)
    return score_in_place(settings.receptor, settings.center, settings.size, ligand)


def _require_receptor(receptor: str) -> None:
    if not Path(receptor).is_file():
        raise DockingInputError(f"{receptor}: the prepared receptor is gone; prepare it again")


def _current_pose(vina: Vina) -> str:
    """Vina hands out a minimised pose as a file only."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pose.pdbqt"
        vina.write_pose(str(path))
        return path.read_text(encoding="utf-8")


def _require_inside(settings: DockingSettings, ligand: str) -> None:
    """Vina cannot score a ligand that leaves the grid."""
    atoms = [line for line in ligand.splitlines() if line.startswith(("ATOM", "HETATM"))]
    xyz = np.array([[float(line[start : start + 8]) for start in (30, 38, 46)] for line in atoms])
    beyond = np.abs(xyz - np.array(settings.center)) - np.array(settings.size) / 2
    outside = int((beyond > 0).any(axis=1).sum())
    if outside:
        raise CandidateFailed(
            f"{outside} of {len(atoms)} atoms lie outside the box by up to {beyond.max():.1f} Å"
        )


def _moved(mol: Mol, center: tuple[float, ...]) -> Mol:
    """A copy whose heavy atoms are centred on the box: a search starts there."""
    from rdkit import Chem
    from rdkit.Chem import rdMolTransforms

    moved = Chem.Mol(mol)
    conformer = moved.GetConformer()
    shift = np.eye(4)
    shift[:3, 3] = np.asarray(center) - conformer.GetPositions().mean(axis=0)
    rdMolTransforms.TransformConformer(conformer, shift)
    return moved


def _finite(energy: float) -> float:
    if not math.isfinite(energy):
        raise CandidateFailed(f"Vina returned {energy}")
    return float(energy)


def _failure(error: Exception) -> CandidateFailed:
    """A candidate's own failure stays as it is; Vina's messages become one."""
    if isinstance(error, CandidateFailed):
        return error
    return CandidateFailed(f"Vina: {' '.join(str(error).split())}")

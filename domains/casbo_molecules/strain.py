r"""Strain: what it costs a molecule to take up its pose, without the receptor.

.. math:: E_\mathrm{strain} = E(\text{pose, relaxed locally}) - \min_c E(\text{conformer } c)

as defined by Perola and Charifson (J. Med. Chem. 2004, 47, 2499), here with MMFF94s in vacuum:
the pose is minimised with its heavy atoms held within a flat-bottomed well, which takes out the
noise of bond lengths but no torsion, and compared with the lowest of a set of minimised
conformers. Most ligands of crystal structures stay below 9 kcal/mol there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from casbo.errors import CandidateFailed

from .errors import DockingInputError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

VARIANT = "MMFF94s"
WELL_FORCE = 100.0  # kcal/mol/Å^2 outside the well
MOST_ITERATIONS = 2000
EMBEDDING_ATTEMPTS = 40


@dataclass(frozen=True)
class StrainSettings:
    """How strain is measured.

    Parameters
    ----------
    conformers
        Conformers that stand for all of them.
    well
        Å that a heavy atom of the pose may move.
    seed
        Of the conformers.

    Raises
    ------
    DockingInputError
        If there is no conformer, or the well's size is not positive.
    """

    conformers: int = 30
    well: float = 0.3
    seed: int = 42

    def __post_init__(self) -> None:
        if self.conformers < 1 or not self.well > 0.0:
            raise DockingInputError(
                "expected at least 1 conformer and a well above 0 Å, got "
                f"{self.conformers} and {self.well}"
            )


def strain_energy(pose: Mol, settings: StrainSettings | None = None) -> float:
    """The strain of a pose in kcal/mol, 0 or more.

    Parameters
    ----------
    pose
        A sanitised molecule with one conformer; missing hydrogens are placed.
    settings
        See :class:`StrainSettings`.

    Raises
    ------
    casbo.errors.CandidateFailed
        If MMFF has no parameters for it.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdForceFieldHelpers

    settings = settings or StrainSettings()
    with rdBase.BlockLogs():
        posed = Chem.AddHs(pose, addCoords=True)
        properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(posed, mmffVariant=VARIANT)
        if properties is None:
            raise CandidateFailed("MMFF has no parameters for this molecule")
        local = _relaxed_locally(posed, properties, settings.well)
        # the pose's own basin is a conformer too: a short search cannot make strain negative
        lowest = min(_relaxed(posed, properties), *_conformer_energies(posed, settings), local)
    return local - lowest


def _relaxed_locally(mol: Mol, properties: object, well: float) -> float:
    """Energy after minimisation with the heavy atoms held; the wells' own energy left out."""
    from rdkit import Chem
    from rdkit.Chem import rdForceFieldHelpers

    held = Chem.Mol(mol)
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(held, properties)
    field.Initialize()
    for atom in held.GetAtoms():
        if atom.GetAtomicNum() > 1:
            field.MMFFAddPositionConstraint(atom.GetIdx(), well, WELL_FORCE)
    field.Minimize(maxIts=MOST_ITERATIONS)
    free = rdForceFieldHelpers.MMFFGetMoleculeForceField(held, properties)
    return float(free.CalcEnergy())


def _relaxed(mol: Mol, properties: object) -> float:
    """Energy of the minimum whose basin the pose lies in."""
    from rdkit import Chem
    from rdkit.Chem import rdForceFieldHelpers

    free = Chem.Mol(mol)  # named: the field keeps no hold on it
    field = rdForceFieldHelpers.MMFFGetMoleculeForceField(free, properties)
    field.Minimize(maxIts=MOST_ITERATIONS)
    return float(field.CalcEnergy())


def _conformer_energies(mol: Mol, settings: StrainSettings) -> list[float]:
    """Energies of minimised conformers with the pose's stereochemistry."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    # the search begins from the graph in canonical order: atom numbering must not matter
    smiles = Chem.MolToSmiles(Chem.RemoveHs(mol))
    flexible = Chem.AddHs(Chem.MolFromSmiles(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = settings.seed
    parameters.maxIterations = EMBEDDING_ATTEMPTS
    parameters.numThreads = 1
    rdDistGeom.EmbedMultipleConfs(flexible, settings.conformers, parameters)
    results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(
        flexible, numThreads=1, maxIters=MOST_ITERATIONS, mmffVariant=VARIANT
    )
    return [energy for _, energy in results]

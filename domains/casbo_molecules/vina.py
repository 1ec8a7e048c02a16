"""Docking energy as a scorer: molecules in, kcal/mol out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from casbo.errors import CandidateFailed

from .box import PADDING, Box, docking_box
from .candidates import score_each
from .docking import Docked, DockingSettings, Mode, dock, warm
from .isolation import Child, expendable
from .molecule import Molecule
from .receptor import Receptor, prepare_receptor
from .reference_ligand import read_reference_ligand

if TYPE_CHECKING:
    from rdkit.Chem import Mol

_child = Child()


class VinaScore:
    """Scorer: N molecules -> ``{"vina": (N,)}``, AutoDock Vina's energy in kcal/mol.

    Lower is better. Everything about the receptor and the box is checked when the scorer is made;
    maps are computed once per process, by :meth:`prepare` or the first call. The scorer can be
    pickled. Vina never runs in a main process: there, calls go to one child process.

    Parameters
    ----------
    receptor
        A PDB, mmCIF or PDBQT file, prepared with the default
        :class:`~casbo_molecules.receptor.Preparation`; or a prepared receptor.
    ligand
        File (SDF, MOL, MOL2, PDB) of a reference ligand: its bounding box plus ``padding`` Å on
        each axis is searched.
    residues
        Residues that line the pocket, such as ``("A:45", "A:102")``, instead: the bounding box of
        their atoms plus ``padding`` is searched.
    center, size
        The box in Å instead; with a ligand too, the ligand must lie inside.
    mode
        "dock" searches poses, "minimize" relaxes the sample where it is, "score_only" scores it
        where it is: the last two expect samples in the receptor's frame.
    exhaustiveness, max_evals
        Independent Monte-Carlo runs of a search, and the most energy evaluations in each (0 for
        Vina's own rule).
    seed
        Seed of the search, never 0. The same molecule always gets the same score.
    geometry
        "embedded" docks a relaxed conformer made from the canonical SMILES, "sampled" the
        sample's own bond lengths and rings; see :class:`~casbo_molecules.docking.DockingSettings`.

    Raises
    ------
    casbo_molecules.errors.DockingInputError
        If receptor, ligand, box or an option cannot be used.
    """

    direction = "minimize"
    components = ("vina",)

    def __init__(
        self,
        receptor: Receptor | Path | str,
        *,
        ligand: Path | str | None = None,
        residues: Sequence[str] | None = None,
        center: Sequence[float] | None = None,
        size: Sequence[float] | None = None,
        padding: float = PADDING,
        mode: Mode = "dock",
        exhaustiveness: int = 8,
        max_evals: int = 0,
        seed: int = 42,
        geometry: Literal["embedded", "sampled"] = "embedded",
    ) -> None:
        self.receptor = receptor if isinstance(receptor, Receptor) else prepare_receptor(receptor)
        self.reference = None if ligand is None else Path(ligand)
        self.box: Box = docking_box(
            self.receptor.positions(),
            center=center,
            size=size,
            ligand=None if ligand is None else read_reference_ligand(ligand),
            residues=None if residues is None else self.receptor.residue_positions(residues),
            padding=padding,
        )
        self.settings = DockingSettings(
            receptor=str(self.receptor.pdbqt),
            center=self.box.center,
            size=self.box.size,
            mode=mode,
            exhaustiveness=exhaustiveness,
            max_evals=max_evals,
            seed=seed,
            geometry=geometry,
        )

    def prepare(self) -> None:
        """Compute the maps in this process, if Vina may run in it; else in the child."""
        if expendable():
            warm(self.settings)
        else:
            _child.call(warm, self.settings)

    def __call__(self, samples: Sequence[Molecule]) -> dict[str, np.ndarray]:
        return score_each(
            samples, self.components, lambda molecule: {"vina": self.energy(molecule)}
        )

    def effort(self, molecule: Molecule) -> float:
        """About how long a molecule takes: more with every atom and every bond that turns."""
        from rdkit.Chem import rdMolDescriptors

        if molecule.mol is None:
            return 0.0
        bonds = rdMolDescriptors.CalcNumRotatableBonds(molecule.mol)
        return float(molecule.mol.GetNumHeavyAtoms() + bonds)

    def energy(self, molecule: Molecule) -> float:
        """Score one molecule.

        Raises
        ------
        casbo.errors.CandidateFailed
            With the reason.
        """
        return self._dock(molecule, pose=False).energy

    def poses(self, molecules: Sequence[Molecule]) -> list[Mol | None]:
        """Return each molecule as docked, with hydrogens and the SD field ``vina`` (kcal/mol).

        Where a molecule cannot be docked, None stands in its place.
        """
        found: list[Mol | None] = []
        for molecule in molecules:
            try:
                found.append(_with_score(self._dock(molecule, pose=True)))
            except CandidateFailed:
                found.append(None)
        return found

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        return {
            "name": "VinaScore",
            "receptor": self.receptor.source.name,
            "receptor_sha256": self.receptor.sha256(),
            "center": list(self.box.center),
            "size": list(self.box.size),
            "mode": self.settings.mode,
            "exhaustiveness": self.settings.exhaustiveness,
            "max_evals": self.settings.max_evals,
            "seed": self.settings.seed,
            "geometry": self.settings.geometry,
        }

    def _dock(self, molecule: Molecule, *, pose: bool) -> Docked:
        mol = molecule.require()
        if expendable():
            return dock(self.settings, mol, pose=pose)
        docked: Docked = _child.call(_dock, self.settings, mol, pose)
        return docked


def _dock(settings: DockingSettings, mol: Mol, pose: bool) -> Docked:
    return dock(settings, mol, pose=pose)


def _with_score(docked: Docked) -> Mol:
    """The pose as an RDKit molecule; its bonds come from the SMILES that Meeko wrote beside it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside what Meeko imports
        from meeko import PDBQTMolecule, RDKitMolCreate

    pose = PDBQTMolecule(docked.pdbqt, skip_typing=True)
    mol = RDKitMolCreate.from_pdbqt_mol(pose)[0]
    mol.ClearProp("meeko")
    mol.SetDoubleProp("vina", docked.energy)
    return mol

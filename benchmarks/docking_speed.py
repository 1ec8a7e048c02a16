"""Claim: scoring and minimising poses takes a fifth or less of the usual recipe's time, same scores.

    python benchmarks/docking_speed.py --repeats 3
    python benchmarks/docking_speed.py --receptor protein.pdb --ligand ligand.sdf

The usual recipe, for every ligand: write it to a file, add hydrogens with Open Babel into another,
prepare it with Meeko into a third, make a Vina object, set receptor and ligand from files, compute
the maps, score. Ours is `VinaScore` in one worker. Both get the same docked poses on the embedded
receptor (or yours), in turns on one core in one process, so that what else the machine does
falls on both; workers are independent processes, so the ratio is the same on any number of cores.
Prints CPU seconds for each ligand, their ratio per repetition, and the largest difference.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from rdkit import Chem

from casbo_molecules.docking import DockingSettings, dock, embedded, warm
from casbo_molecules.target import default_target
from casbo_molecules.vina import VinaScore

LIGANDS = (
    "CC(=O)Nc1ccccc1",
    "Cc1nc(-c2ccncc2)no1",
    "COc1ccc(CCN)cc1",
    "O=C(O)Cc1ccc(Cl)cc1",
    "Cc1nnc(SCC(=O)N2CCNCC2)o1",
    "CC(C)NCC(O)COc1ccccc1",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "CN1CCN(CC1)c1ccc(cc1)C(=O)Nc1ccccc1",
    "COc1ccccc1OCC(O)CN1CCN(CC1)c1ccccc1",
    "CC(C)c1nc(cs1)CN(C)C(=O)NC(C)C(=O)N1CCOCC1",
)
MODES = ("score_only", "minimize")


def main() -> None:
    """Read the arguments, dock the ligands and time both ways of scoring the poses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--receptor", type=Path, help="by default the embedded receptor")
    parser.add_argument("--ligand", type=Path, help="reference ligand: its place is the box")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    target = default_target()
    vina = VinaScore(
        options.receptor or target.receptor,
        ligand=options.ligand or target.ligand,
        exhaustiveness=1,
        max_evals=10_000,
    )
    mols = poses(vina)
    heavy = [mol.GetNumHeavyAtoms() for mol in mols]
    print(
        f"{len(mols)} ligands of {min(heavy)} to {max(heavy)} heavy atoms on {vina.receptor.source.name}"
    )
    for mode in MODES:
        compare(replace(vina.settings, mode=mode), mols, options.repeats)


def poses(vina: VinaScore) -> list[Chem.Mol]:
    """The ligands as docked, without hydrogens, as a model would make them in the pocket."""
    from casbo_molecules.molecule import Molecule

    made = vina.poses([Molecule.from_mol(Chem.RemoveHs(embedded(smiles))) for smiles in LIGANDS])
    inside = [Chem.RemoveHs(mol) for mol in made if mol is not None]
    return [mol for mol in inside if vina.box.holds(mol.GetConformer().GetPositions(), -0.5).all()]


def compare(settings: DockingSettings, mols: list[Chem.Mol], repeats: int) -> None:
    """Time both recipes in turns and print what they took and how far their scores differ."""
    warm(settings)
    with tempfile.TemporaryDirectory() as folder:
        usual_recipe(settings, mols[0], Path(folder))  # imports are paid here
        ratios, spent, gaps = [], {"usual": [], "ours": []}, []
        for _ in range(repeats):
            usual, ours = 0.0, 0.0
            for mol in mols:
                seconds, expected = timed(lambda m=mol: usual_recipe(settings, m, Path(folder)))
                usual += seconds
                seconds, found = timed(lambda m=mol: dock(settings, m, pose=False).energy)
                ours += seconds
                gaps.append(abs(found - expected))
            spent["usual"].append(usual / len(mols))
            spent["ours"].append(ours / len(mols))
            ratios.append(usual / ours)
    print(
        f"{settings.mode:>10}: usual {np.median(spent['usual']) * 1e3:.0f} ms, ours "
        f"{np.median(spent['ours']) * 1e3:.1f} ms a ligand; {np.median(ratios):.0f} times as many "
        f"ligands ({', '.join(f'{ratio:.1f}' for ratio in ratios)}); largest difference "
        f"{max(gaps):.4f} kcal/mol"
    )


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """CPU seconds of a call, and what it returned."""
    begun = time.process_time()
    value = call()
    return time.process_time() - begun, value


def usual_recipe(settings: DockingSettings, mol: Chem.Mol, folder: Path) -> float:
    """Score one molecule as scripts around Vina do: three files, a new Vina, new maps."""
    from meeko import MoleculePreparation, PDBQTWriterLegacy
    from openbabel import openbabel
    from vina import Vina

    plain, hydrogenated, pdbqt = folder / "l.sdf", folder / "h.sdf", folder / "l.pdbqt"
    Chem.MolToMolFile(mol, str(plain))
    conversion = openbabel.OBConversion()
    conversion.SetInAndOutFormats("sdf", "sdf")
    molecule = openbabel.OBMol()
    conversion.ReadFile(molecule, str(plain))
    molecule.AddHydrogens()
    conversion.WriteFile(molecule, str(hydrogenated))
    conversion.CloseOutFile()
    ligand = Chem.MolFromMolFile(str(hydrogenated), removeHs=False)
    setup = MoleculePreparation(rigid_macrocycles=True).prepare(ligand)[0]
    pdbqt.write_text(PDBQTWriterLegacy.write_string(setup)[0])
    vina = Vina(sf_name="vina", cpu=1, seed=settings.seed, verbosity=0)
    vina.set_receptor(settings.receptor)
    vina.set_ligand_from_file(str(pdbqt))
    vina.compute_vina_maps(list(settings.center), list(settings.size))
    return float((vina.score() if settings.mode == "score_only" else vina.optimize())[0])


if __name__ == "__main__":
    main()

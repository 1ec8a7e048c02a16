"""The flags of ``casbo dock``, in the groups that ``--help`` shows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

Text = str | None
Number = float | None
Whole = int | None
Texts = list[str] | None

_box = partial(typer.Option, rich_help_panel="The box")
_receptor = partial(typer.Option, rich_help_panel="The receptor")
_steered = partial(typer.Option, rich_help_panel="What is steered")
_docking = partial(typer.Option, rich_help_panel="Docking")
_model = partial(typer.Option, rich_help_panel="The model")

Config = Annotated[
    Path | None, typer.Option(help="A TOML file of these settings; the command line wins.")
]
Receptor = Annotated[Text, typer.Option(help="The protein: PDB, mmCIF or PDBQT.")]
Out = Annotated[Text, typer.Option(help="The run folder.")]
Ligand = Annotated[
    Text,
    _box(help="A ligand in the pocket (SDF, MOL, MOL2, PDB); its place is the box."),
]
Center = Annotated[Text, _box(metavar="X,Y,Z", help="The box's centre in Å.")]
Size = Annotated[Text, _box(metavar="A,B,C", help="Its sides in Å.")]
Residue = Annotated[
    Texts,
    _box(metavar="A:45", help="A residue of the pocket; their place is the box."),
]
Padding = Annotated[Number, _box(help="Å added to the extent; 5 by default.")]
Queries = Annotated[Whole, typer.Option(help="Dockings to spend; 640 by default.")]
Atoms = Annotated[
    Text,
    _model(
        metavar="N[,N...]",
        help="Atoms of a molecule, several numbers that share the dockings, or prior; by "
        "default those of the ligand.",
    ),
]
Population = Annotated[Whole, typer.Option(help="Dockings per iteration; 32 by default.")]
Seed = Annotated[Whole, typer.Option(help="Determines the run; 1 by default.")]
Workers = Annotated[Whole, _docking(help="Docking processes; by default one per core.")]
Deadline = Annotated[Number, _docking(help="Seconds for a docking; 120.")]
FailureLimit = Annotated[
    Number,
    typer.Option(help="Stop when a larger share fails; 0.5, or 0.95 with hard filters."),
]
Exhaustiveness = Annotated[
    Whole, _docking(help="Vina's independent searches for each docking; 4.")
]
MaxEvals = Annotated[
    Whole, _docking(help="Energy evaluations in each; 25000. 0 for Vina's own rule.")
]
VinaSeed = Annotated[Whole, _docking(help="Seed of the docking, not 0.")]
Hydrogens = Annotated[
    Text, _receptor(help="auto: add them where the file has none; or add, or keep.")
]
Ph = Annotated[Number, _receptor(help="pH at which hydrogens are added; 7.4.")]
Keep = Annotated[Texts, _receptor(help="Metal, cofactor or water to keep, such as ZN or A:401.")]
Drop = Annotated[Texts, _receptor(help="Residue to remove, such as a ligand named LIG, or A:500.")]
Chains = Annotated[Texts, _receptor(help="Chain to use; all by default.")]
Altloc = Annotated[
    Texts,
    _receptor(help="Alternate location: B, or A:45=B; the most occupied by default."),
]
Modified = Annotated[Text, _receptor(help="Modified residues such as MSE: keep, standard, drop.")]
Incomplete = Annotated[Text, _receptor(help="Residues that lack heavy atoms: keep, drop, refuse.")]
QedWeight = Annotated[Number, _steered(help="kcal/mol that QED = 1 is worth; 8 by default.")]
SaWeight = Annotated[
    Number,
    _steered(help="kcal/mol that the best synthetic accessibility is worth; 3."),
]
Objective = Annotated[
    Text, _steered(help="sum (minimised) or product (of desirabilities, maximised).")
]
Term = Annotated[
    Texts,
    _steered(
        metavar="NAME=WEIGHT[,TRANSFORM,NUMBERS]",
        help="A term of it, such as vina=2,ramp,-5,-11 or qed=-8.",
    ),
]
Require = Annotated[Texts, _steered(metavar="SMARTS", help="What every molecule must have.")]
Forbid = Annotated[Texts, _steered(metavar="SMARTS", help="What no molecule may have.")]
Alerts = Annotated[Texts, _steered(help="Structural alerts to refuse: PAINS, BRENK, NIH, ZINC.")]
MaxWeight = Annotated[Number, _steered(help="g/mol of a molecule at most.")]
MaxRotatable = Annotated[Whole, _steered(help="Its rotatable bonds at most.")]
MaxRing = Annotated[Whole, _steered(help="Atoms of a ring at most.")]
Buckets = Annotated[Whole, _steered(metavar="N", help="Molecules of one scaffold that count.")]
ScoreSteps = Annotated[
    Text,
    _steered(metavar="K[,K...]", help="Dock what is predicted after these steps as well."),
]
GuessSteps = Annotated[
    Text,
    _steered(metavar="K[,K...]", help="Guess the scores of these steps, without dockings."),
]
GuessCredit = Annotated[Text, _steered(help="What guesses are for: baseline or cumulative.")]
Steps = Annotated[Whole, _model(help="Steps of the diffusion.")]
Model = Annotated[Text, _model(help="targetdiff, edm, or the folder of another model.")]
Checkpoint = Annotated[Text, _model(help="Weights of targetdiff (a file) or edm (a folder).")]
Device = Annotated[Text, _model(help="Where the model computes: cpu, cuda.")]
Steer = Annotated[Text, _model(metavar="PARTS", help="targetdiff: positions, or positions,types.")]
